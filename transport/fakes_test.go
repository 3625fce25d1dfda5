package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// fakeLog is a log in memory.
type fakeLog struct {
	mu    sync.Mutex
	epoch string
	logs  map[doorbell.ShopID][]doorbell.Alert
	first map[doorbell.ShopID]doorbell.Seq // the oldest kept seq
	fails bool
	reads int
	asked int // number of queries for positions
	drawn doorbell.Nonce
}

func newLog() *fakeLog {
	return &fakeLog{epoch: "e1", logs: map[doorbell.ShopID][]doorbell.Alert{}, first: map[doorbell.ShopID]doorbell.Seq{}}
}

var errDown = errors.New("the database is down")

func (l *fakeLog) Positions(_ context.Context, shops []doorbell.ShopID) (string, map[doorbell.ShopID]doorbell.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if l.fails {
		return "", nil, errDown
	}
	at := map[doorbell.ShopID]doorbell.Position{}
	for _, shop := range shops {
		at[shop] = doorbell.Position{Head: doorbell.Seq(len(l.logs[shop])), Oldest: max(1, l.first[shop]), Nonce: l.last(shop)}
	}
	return l.epoch, at, nil
}

func (l *fakeLog) AlertsAfter(_ context.Context, shop doorbell.ShopID, after doorbell.Seq, limit int) ([]doorbell.Alert, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	if l.fails {
		return nil, errDown
	}
	var out []doorbell.Alert
	for _, a := range l.logs[shop] {
		if a.Seq > after && a.Seq >= l.first[shop] && len(out) < limit {
			a.Link = doorbell.Link{Nonce: a.Nonce} // a row stores no more
			out = append(out, a)
		}
	}
	return out, nil
}

func (l *fakeLog) DrawEpoch(_ context.Context, old string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoch == old {
		l.epoch = old + "x"
	}
	return nil
}

// commit appends n alerts and returns them; the test delivers them.
func (l *fakeLog) commit(shop doorbell.ShopID, n int) []doorbell.Alert {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := len(l.logs[shop])
	for range n {
		l.drawn++
		l.logs[shop] = append(l.logs[shop], doorbell.Alert{
			Type: doorbell.NewOrder, Shop: shop, Seq: doorbell.Seq(len(l.logs[shop]) + 1), OrderID: 1, Time: time.Now(),
			Content: fmt.Sprint(l.drawn), Link: doorbell.Link{Epoch: l.epoch, Nonce: l.drawn, Prev: l.last(shop)},
		})
	}
	return slices.Clone(l.logs[shop][from:])
}

// last returns the nonce at the head. Needs l.mu.
func (l *fakeLog) last(shop doorbell.ShopID) doorbell.Nonce {
	if n := len(l.logs[shop]); n > 0 {
		return l.logs[shop][n-1].Nonce
	}
	return 0
}

// cut takes the log back to n alerts, as restoring a backup does.
func (l *fakeLog) cut(shop doorbell.ShopID, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logs[shop] = l.logs[shop][:n]
}

func (l *fakeLog) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// fakeSink accepts messages and reports them as sent only when asked to.
type fakeSink struct {
	mu     sync.Mutex
	got    []Message
	held   int // accepted, not yet sent
	most   int
	bursts int
	closed []Reason
}

func (f *fakeSink) TrySend(m Message) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, m)
	f.held++
	f.most = max(f.most, f.held)
	return true
}

// TrySendBurst counts its alerts one by one.
func (f *fakeSink) TrySendBurst(b Burst) bool {
	for i, a := range b.Alerts {
		f.TrySend(Message{Data: a.Data, Cursor: string(b.AppendCursor(nil, i))})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bursts++
	return true
}

func (f *fakeSink) Close(r Reason) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = append(f.closed, r)
}

// drain sends messages until no more come.
func (f *fakeSink) drain(s *Session) {
	for {
		f.mu.Lock()
		n := f.held
		if n > 0 {
			f.held--
		}
		f.mu.Unlock()
		if n == 0 {
			return
		}
		s.Sent(context.Background(), 1)
	}
}

func (f *fakeSink) events(t *testing.T) (names []string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.got {
		if m.Event != "" {
			names = append(names, m.Event)
		}
	}
	return names
}

func (f *fakeSink) seqs(t *testing.T) (out []int64) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.got {
		if m.Event != "" {
			continue
		}
		var a struct{ Seq int64 }
		if err := json.Unmarshal(m.Data, &a); err != nil {
			t.Fatal(err)
		}
		out = append(out, a.Seq)
	}
	return out
}

func upTo(n int64) (out []int64) {
	for i := range n {
		out = append(out, i+1)
	}
	return out
}

func wantSeqs(t *testing.T, f *fakeSink, want []int64) {
	t.Helper()
	if got := f.seqs(t); !slices.Equal(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
}

// runHub runs a hub as long as test runs, in a bubble, and logs nothing.
func runHub(t *testing.T, o Options, test func(h *Hub)) {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	h := New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	test(h)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// inBubble runs a hub over a fake log in virtual time.
func inBubble(t *testing.T, test func(t *testing.T, h *Hub, l *fakeLog)) {
	t.Helper()
	testrun.Bubble(t, func(t *testing.T) {
		l := newLog()
		runHub(t, Options{Log: l, Version: "v", Heartbeat: 15 * time.Second}, func(h *Hub) { test(t, h, l) })
	})
}

func open(t *testing.T, h *Hub, sub Subscription) (*Session, *fakeSink) {
	t.Helper()
	if sub.Shops == nil {
		sub.Shops = []doorbell.ShopID{1}
	}
	if sub.Transport == "" {
		sub.Transport = WebSocket
	}
	s, err := h.Open(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeSink{}
	s.Run(t.Context(), f)
	t.Cleanup(func() { s.Leave(context.Background(), 0, "test") })
	return s, f
}
