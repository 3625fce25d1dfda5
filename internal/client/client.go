// Package client follows a doorbell server from Go: over WebSocket, SSE or
// long poll, from a cursor on, every alert once.
package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"doorbell/internal/doorbell"
)

// Options of Follow.
type Options struct {
	URL       string // the server, ending in /
	Token     string
	Transport string // ws, sse or poll
	Shops     string // as in the query: 1,2
	After     string // a cursor, 0, or empty for now
	// Alert gets each alert once, in order; Event the rest. Neither is called
	// from two goroutines.
	Alert func(alert []byte)
	Event func(name string, data []byte)
}

const (
	firstWait = 500 * time.Millisecond
	maxWait   = 15 * time.Second
	// silence is how long nothing may come: two heartbeats and a half.
	silence = 40 * time.Second
	maxLine = 1 << 20
)

// Refused is an answer that coming again does not change.
type Refused struct {
	Status int
	Body   string
}

func (r *Refused) Error() string {
	return fmt.Sprintf("the server answers %d: %s", r.Status, strings.TrimSpace(r.Body))
}

// follower is one Follow.
type follower struct {
	Options
	cursor doorbell.Cursor
	known  bool // the cursor was told by the server
	wait   time.Duration
}

// Follow runs until ctx ends or the server refuses for good. It reconnects
// with full jitter and resumes where it was.
func Follow(ctx context.Context, o Options) error {
	f := &follower{Options: o, wait: firstWait}
	once := map[string]func(context.Context) error{"ws": f.webSocket, "sse": f.events, "poll": f.poll}[o.Transport]
	if once == nil {
		return fmt.Errorf("transport %q is none of ws, sse, poll", o.Transport)
	}
	for {
		err := once(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to end
		}
		if r, ok := errors.AsType[*Refused](err); ok && r.Status/100 == 4 && r.Status != http.StatusTooManyRequests {
			return r
		}
		if err != nil {
			o.Event("offline", []byte(err.Error()))
		}
		select {
		case <-time.After(rand.N(f.wait)):
		case <-ctx.Done():
			return nil
		}
		f.wait = min(2*f.wait, maxWait)
	}
}

// query is the stream's, from where we are.
func (f *follower) query() string {
	q := url.Values{}
	if f.Shops != "" {
		q.Set("shops", f.Shops)
	}
	switch {
	case f.known:
		q.Set("after", f.cursor.String())
	case f.After != "":
		q.Set("after", f.After)
	}
	return "?" + q.Encode()
}

func (f *follower) request(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL+path+f.query(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+f.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close() //nolint:errcheck // read
		text, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
		return nil, errors.Join(&Refused{Status: res.StatusCode, Body: string(text)}, err)
	}
	return res, nil
}

// take shows an alert, if it is the next one of its shop.
func (f *follower) take(data []byte) {
	var a struct {
		Shop doorbell.ShopID `json:"shopId"`
		Seq  doorbell.Seq    `json:"seq"`
	}
	if json.Unmarshal(data, &a) != nil || a.Seq <= f.cursor.Seqs[a.Shop] {
		return
	}
	f.cursor.Seqs[a.Shop] = a.Seq
	f.wait = firstWait
	f.Alert(data)
}

// note keeps the cursor of hello and reset, and shows the event.
func (f *follower) note(name string, data []byte) error {
	if name == "hello" || name == "reset" {
		var e struct {
			Cursor string `json:"cursor"`
		}
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		c, err := doorbell.ParseCursor(e.Cursor)
		if err != nil {
			return err
		}
		f.cursor, f.known, f.wait = c, true, firstWait
	}
	f.Event(name, data)
	return nil
}

func (f *follower) webSocket(ctx context.Context) error {
	d := websocket.Dialer{HandshakeTimeout: 10 * time.Second, Subprotocols: []string{"doorbell.v1"}}
	u := "ws" + strings.TrimPrefix(f.URL, "http") + "ws" + f.query()
	c, res, err := d.DialContext( //nolint:bodyclose // the dialer has closed it
		ctx, u, http.Header{"Authorization": {"Bearer " + f.Token}})
	if err != nil {
		if res != nil && res.StatusCode/100 == 4 {
			text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // the status says it
			return &Refused{Status: res.StatusCode, Body: string(text)}
		}
		return err
	}
	defer c.Close() //nolint:errcheck // over
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	for {
		if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		_, data, err := c.ReadMessage()
		if err != nil {
			return err
		}
		if err := f.dispatch(data); err != nil {
			return err
		}
	}
}

// dispatch tells an event from an alert by its "event".
func (f *follower) dispatch(data []byte) error {
	var e struct {
		Event string `json:"event"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("read a message: %w", err)
	}
	if e.Event != "" {
		return f.note(e.Event, data)
	}
	f.take(data)
	return nil
}

func (f *follower) events(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(silence, cancel)
	defer quiet.Stop()
	res, err := f.request(ctx, "events")
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // over
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxLine)
	var data []byte
	for lines.Scan() {
		quiet.Reset(silence)
		line := lines.Bytes()
		if rest, ok := strings.CutPrefix(string(line), "data: "); ok {
			data = []byte(rest)
		}
		if len(line) == 0 && data != nil {
			if err := f.dispatch(data); err != nil {
				return err
			}
			data = nil
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

func (f *follower) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	res, err := f.request(ctx, "poll")
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read
	var a struct {
		Cursor string            `json:"cursor"`
		Alerts []json.RawMessage `json:"alerts"`
		Events []json.RawMessage `json:"events"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 16<<20)).Decode(&a); err != nil {
		return fmt.Errorf("read a poll's answer: %w", err)
	}
	if !f.known {
		c, err := doorbell.ParseCursor(a.Cursor)
		if err != nil {
			return err
		}
		f.cursor = doorbell.Cursor{Epoch: c.Epoch, Seqs: map[doorbell.ShopID]doorbell.Seq{}}
	}
	for _, m := range append(a.Events, a.Alerts...) {
		if err := f.dispatch(m); err != nil {
			return err
		}
	}
	c, err := doorbell.ParseCursor(a.Cursor)
	if err != nil {
		return err
	}
	f.cursor, f.known, f.wait = c, true, time.Millisecond // the next one at once
	return nil
}
