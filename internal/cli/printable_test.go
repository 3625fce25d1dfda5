package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"doorbell/internal/doorbell"
)

// TestTerminalText: what a sender signed moves no cursor and forges no line.
func TestTerminalText(t *testing.T) {
	const evil = "T\x1b[2J\x9b1m\nfake line\t\u202ex\x00"
	c := doorbell.Callback{Notice: doorbell.Notice{Provider: "webhook", Kind: doorbell.PaymentNotice, Transaction: evil, Number: evil, Money: doorbell.Money{Minor: 1, Currency: evil}}, Reason: evil}
	var out bytes.Buffer
	if err := showCallback(c, &out); err != nil {
		t.Fatal(err)
	}
	w := watcher{out: &out, zone: time.UTC, raw: true}
	w.alert([]byte("{\"content\":\"\u009b\u202e\x7f\"}"))
	w.event("announce", []byte("{\"text\":\"\u009b\x7f\"}"))
	w.raw = false
	w.event("announce", []byte("{\"text\":\"\u202e\"}"))
	for line := range strings.Lines(out.String()) {
		if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), unprintable) || strings.HasPrefix(line, "fake") {
			t.Errorf("printed %q", line)
		}
	}
	if got := printable("您有新的订单🔔 x"); got != "您有新的订单🔔 x" {
		t.Errorf("good text is printed as %q", got)
	}
}
