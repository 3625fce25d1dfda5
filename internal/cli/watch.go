package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"doorbell/internal/client"
	"doorbell/internal/doorbell"
)

// watch runs the command: a console in the terminal.
func watch(ctx context.Context, args []string, out io.Writer) error {
	fs, file := flags("watch", out)
	url := remoteFlags(fs)
	shop := fs.String("shop", "1", "the shops to follow, by comma")
	kind := fs.String("transport", "ws", "ws, sse or poll")
	after := fs.String("after", "", "a cursor, or 0 for all that is kept (default: from now)")
	asJSON := fs.Bool("json", false, "print alerts and events as they come")
	if err := parse(fs, args); err != nil {
		return err
	}
	cfg, err := settings(*file)
	if err != nil {
		return err
	}
	set, err := shopSet(*shop)
	if err != nil {
		return usageError{err}
	}
	if !slices.Contains([]string{"ws", "sse", "poll"}, *kind) {
		return usageError{fmt.Errorf("--transport: %q is none of ws, sse, poll", *kind)}
	}
	zone, err := cfg.Location()
	if err != nil {
		return usageError{err}
	}
	r, err := dial(ctx, cfg.Config, *url, doorbell.Grant{Subject: "watch", Role: doorbell.RoleConsole, Shops: set})
	if err != nil {
		return err
	}
	w := watcher{out: out, zone: zone, raw: *asJSON}
	err = client.Follow(ctx, client.Options{
		URL: r.base, Token: r.token, Transport: *kind, Shops: *shop, After: *after, Alert: w.alert, Event: w.event, TLS: r.trust,
	})
	if e, ok := errors.AsType[*client.Refused](err); ok && e.Status == http.StatusUnauthorized {
		return fmt.Errorf("%w. %s", err, otherSecret)
	}
	return err
}

type watcher struct {
	out  io.Writer
	zone *time.Location
	raw  bool
}

var typeNames = map[doorbell.Type]string{
	doorbell.NewOrder: "来单提醒 new order", doorbell.Reminder: "客户催单 reminder",
	doorbell.TakenCare: "已处理 taken care of", doorbell.CalledOff: "已取消 called off",
}

func (w watcher) say(format string, args ...any) {
	_, _ = fmt.Fprintf(w.out, format, args...) // a closed terminal ends the program by itself
}

func (w watcher) alert(data []byte) {
	var a struct {
		Type    doorbell.Type   `json:"type"`
		Shop    doorbell.ShopID `json:"shopId"`
		Seq     doorbell.Seq    `json:"seq"`
		Content string          `json:"content"`
		Time    time.Time       `json:"time"`
	}
	if w.raw || json.Unmarshal(data, &a) != nil {
		w.say("%s\n", printable(string(data)))
		return
	}
	// %q keeps what came from outside from moving the cursor of a terminal.
	w.say("%s  shop %d #%d  %s  %s\n", a.Time.In(w.zone).Format("15:04:05"), a.Shop, a.Seq, typeNames[a.Type], strings.Trim(fmt.Sprintf("%q", a.Content), `"`))
}

func (w watcher) event(name string, data []byte) {
	switch {
	case w.raw && name != "offline":
		w.say("%s\n", printable(string(data)))
	case name == "ping":
	case name == "hello" || name == "offline" || name == "reset" || name == "bye" || name == "announce":
		w.say("-- %s %s\n", name, printable(string(data)))
	}
}
