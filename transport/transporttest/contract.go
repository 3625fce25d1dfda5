package transporttest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/transport"
)

// Implementation describes a transport.Transport for Contract.
type Implementation struct {
	Transport // its name, and a client of its own
	New       func() transport.Transport
	Outcome   transport.Outcome // of Serve over HTTP/1
	Outlives  bool              // sessions outlive their request: Shutdown waits for them
	Path      string            // where its clients look for it
	// Refusals are those that Refuse answers itself; for all others it returns Unanswered.
	Refusals []TransportRefusal
}

// TransportRefusal is a refusal that a transport answers itself.
type TransportRefusal struct {
	Why  transport.Refusal
	Told string // what the client gets, as Ask returns it
	// Ask sends a request that is refused, and returns the answer.
	Ask func(t *testing.T, base string) string
}

// Contract checks that an implementation keeps what transport.Transport promises. It
// uses a hub over a log in memory, and real connections.
func Contract(t *testing.T, i Implementation) {
	for name, test := range map[string]func(*testing.T, Implementation){
		"serves a session in order and gives it back": contractServe,
		"a client that leaves is counted out":         contractLeave,
		"Shutdown waits for the last session":         contractShutdown,
		"a session that comes after Shutdown":         contractLate,
		"refusals of its own":                         contractRefusals,
		"all other refusals are the caller's":         contractUnanswered,
	} {
		t.Run(name, func(t *testing.T) { test(t, i) })
	}
}

// memoryLog is one shop's log in memory.
type memoryLog struct {
	mu     sync.Mutex
	alerts []doorbell.Alert
}

// Positions implements transport.Log.
func (l *memoryLog) Positions(_ context.Context, shops []doorbell.ShopID) (string, map[doorbell.ShopID]doorbell.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := map[doorbell.ShopID]doorbell.Position{}
	for _, shop := range shops {
		at[shop] = doorbell.Position{Head: doorbell.Seq(len(l.alerts)), Oldest: 1}
	}
	return "e1", at, nil
}

// AlertsAfter implements transport.Log.
func (l *memoryLog) AlertsAfter(_ context.Context, _ doorbell.ShopID, after doorbell.Seq, limit int) ([]doorbell.Alert, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rest := l.alerts[min(int(after), len(l.alerts)):]
	return rest[:min(limit, len(rest))], nil
}

// DrawEpoch implements transport.Log.
func (*memoryLog) DrawEpoch(context.Context, string) error { return errors.New("not in this test") }

// node is a hub and one transport behind a bare HTTP server.
type node struct {
	t       *testing.T
	url     string // ends in /
	log     *memoryLog
	hub     *transport.Hub
	carrier transport.Transport
	served  chan served // of each Serve, when it has returned
}

type served struct {
	outcome transport.Outcome
	err     error
}

// newNode starts a node. If refusal is not nil, the node refuses every request with it.
func newNode(t *testing.T, i Implementation, refusal *transport.Refusal) *node {
	t.Helper()
	n := &node{t: t, log: &memoryLog{}, carrier: i.New(), served: make(chan served, 64)}
	n.hub = transport.New(transport.Options{
		Log: n.log, Logger: slog.New(slog.DiscardHandler), Version: "test", Heartbeat: 15 * time.Second,
		Limits: transport.Limits{PerToken: 1}, // a session that is not given back keeps the next one out
	})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = n.hub.Run(ctx) }) // nil always
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refusal != nil {
			n.refuse(w, r, *refusal)
			return
		}
		n.serve(w, r, i.Name)
	}))
	n.url = hs.URL + "/"
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if err := errors.Join(n.hub.Shutdown(ctx), n.carrier.Shutdown(ctx)); err != nil {
			t.Error(err)
		}
		hs.Close()
		stop()
		running.Wait()
	})
	return n
}

// serve opens a session for a request, as the HTTP edge does.
func (n *node) serve(w http.ResponseWriter, r *http.Request, kind string) {
	sub := transport.Subscription{
		Transport: kind, Shops: []doorbell.ShopID{1}, Cursors: true, Start: transport.FromOldest, Console: r.FormValue("console"),
		Wait: 2 * time.Second, Grant: doorbell.Grant{Subject: "till", Expires: time.Now().Add(time.Hour)},
	}
	if r.FormValue("wait") == "0" {
		sub.Wait = 0
	}
	if after := r.FormValue("after"); after != "" {
		cursor, err := doorbell.ParseCursor(after)
		if err != nil {
			n.t.Error(err)
		}
		sub.Start, sub.Cursor = transport.FromCursor, cursor
	}
	s, err := n.hub.Open(r.Context(), sub)
	if err != nil {
		http.Error(w, err.Error(), http.StatusTooManyRequests)
		return
	}
	outcome, err := n.carrier.Serve(w, r, s)
	n.served <- served{outcome, err}
	if outcome == transport.Unanswered {
		http.Error(w, "unanswered", http.StatusServiceUnavailable)
	}
}

// refuse passes a refusal to the transport as the HTTP edge does.
func (n *node) refuse(w http.ResponseWriter, r *http.Request, why transport.Refusal) {
	outcome, err := n.carrier.Refuse(w, r, why)
	if err != nil {
		n.t.Errorf("refuse: %v", err)
	}
	if outcome == transport.Unanswered {
		http.Error(w, "unanswered", why.Status)
	}
}

// raise commits alerts and delivers them to the hub.
func (n *node) raise(count int) {
	n.log.mu.Lock()
	from := len(n.log.alerts)
	for range count {
		n.log.alerts = append(n.log.alerts, doorbell.Alert{Type: doorbell.NewOrder, Shop: 1, Seq: doorbell.Seq(len(n.log.alerts) + 1), OrderID: 1, Time: time.Now()})
	}
	raised := n.log.alerts[from:]
	n.log.mu.Unlock()
	n.hub.Deliver(raised)
}

func (n *node) dial(i Implementation) Stream {
	n.t.Helper()
	stream, err := i.Dial(n.url, Dial{})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(stream.Close)
	wantEvent(n.t, stream, "hello")
	return stream
}

// wantServed checks how a Serve has returned.
func (n *node) wantServed(outcome transport.Outcome, want error) {
	n.t.Helper()
	select {
	case got := <-n.served:
		if got.outcome != outcome || !errors.Is(got.err, want) {
			n.t.Errorf("Serve returned %d, %v; want %d, %v", got.outcome, got.err, outcome, want)
		}
	case <-time.After(patience):
		n.t.Error("Serve has not returned")
	}
}

// wantSessions waits until that many sessions run.
func (n *node) wantSessions(want int) {
	n.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); n.hub.Count() != want; {
		select {
		case <-tick.C:
		case <-deadline:
			n.t.Fatalf("%d sessions run, want %d", n.hub.Count(), want)
		}
	}
}

func contractServe(t *testing.T, i Implementation) {
	n := newNode(t, i, nil)
	stream := n.dial(i)
	n.wantServed(i.Outcome, nil) // a detached one while its client stays
	n.raise(100)
	wantSeqs(t, stream, 1, 1, 100)
	n.raise(1)
	wantSeqs(t, stream, 1, 101, 101)
}

func contractLeave(t *testing.T, i Implementation) {
	n := newNode(t, i, nil)
	for range 3 { // the hub has room for one
		n.dial(i).Close()
		n.wantSessions(0)
		n.wantServed(i.Outcome, nil)
	}
}

func contractShutdown(t *testing.T, i Implementation) {
	n := newNode(t, i, nil)
	stream := n.dial(i)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	err := n.carrier.Shutdown(over)
	if i.Outlives != (err != nil) {
		t.Errorf("Shutdown, while a session runs, returned %v", err)
	}
	if !i.Outlives {
		return
	}
	if err := n.hub.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.carrier.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	wantEvent(t, stream, "bye")
	if m, err := stream.Next(); err == nil {
		t.Errorf("after bye came %s", m.Raw)
	}
}

func contractLate(t *testing.T, i Implementation) {
	n := newNode(t, i, nil)
	if err := n.hub.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.carrier.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first one was given back: there is room for one
		stream, err := i.Dial(n.url, Dial{})
		if refused, ok := errors.AsType[*Refused](err); ok {
			if refused.Status != http.StatusServiceUnavailable || !strings.Contains(refused.Body, "unanswered") {
				t.Errorf("got %v, want the caller's answer and nothing before it", refused)
			}
			n.wantServed(transport.Unanswered, transport.ErrDraining)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var m Message
		for m.Event != "bye" {
			if m, err = stream.Next(); err != nil {
				t.Fatalf("%v, want bye", err)
			}
		}
		stream.Close()
		if got := <-n.served; got.outcome == transport.Unanswered || got.err != nil {
			t.Errorf("Serve returned %d, %v of a client that got bye", got.outcome, got.err)
		}
	}
}

func contractRefusals(t *testing.T, i Implementation) {
	for _, c := range i.Refusals {
		n := newNode(t, i, &c.Why)
		if got := c.Ask(t, n.url); got != c.Told {
			t.Errorf("%+v was told as %q, want %q", c.Why, got, c.Told)
		}
	}
}

func contractUnanswered(t *testing.T, i Implementation) {
	for _, status := range []int{400, 401, 403, 404, 429, 500, 503} {
		why := transport.Refusal{Status: status, Reason: "some_code", Retry: time.Second}
		n := newNode(t, i, &why)
		got := AskPlainly(t, n.url+i.Path)
		if want := fmt.Sprintf("%d unanswered\n", status); got != want {
			t.Errorf("a client that is no browser was told %q, want %q", got, want)
		}
	}
}

// AskPlainly sends a GET with further headers, by name and value, and returns the
// status and the body, or how the read of it ended.
func AskPlainly(t *testing.T, address string, header ...string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := dialTCP(u.Host, false)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the end of a test
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	lines := "GET " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\n"
	for at := 0; at+1 < len(header); at += 2 {
		lines += header[at] + ": " + header[at+1] + "\r\n"
	}
	if _, err := io.WriteString(c, lines+"\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", res.StatusCode, body)
}
