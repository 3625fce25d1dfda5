package transport

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// gatedLog answers a read of alerts once the gate opens, with the state from when
// the read began.
type gatedLog struct {
	*fakeLog
	mu      sync.Mutex
	shut    chan struct{} // nil: open
	waiting []doorbell.ShopID
}

func (l *gatedLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut = make(chan struct{})
}

func (l *gatedLog) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.shut)
	l.shut, l.waiting = nil, nil
}

// underWay returns the shops whose reads wait at the gate.
func (l *gatedLog) underWay() []doorbell.ShopID {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(slices.Values(l.waiting))
}

func (l *gatedLog) AlertsAfter(ctx context.Context, shop doorbell.ShopID, after doorbell.Seq, limit int) ([]doorbell.Alert, error) {
	alerts, err := l.fakeLog.AlertsAfter(ctx, shop, after, limit)
	l.mu.Lock()
	gate := l.shut
	if gate != nil {
		l.waiting = append(l.waiting, shop)
	}
	l.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return alerts, err
}

// gated runs a hub over a gated log in virtual time.
func gated(t *testing.T, test func(t *testing.T, h *Hub, l *gatedLog)) {
	t.Helper()
	testrun.Bubble(t, func(t *testing.T) {
		l := &gatedLog{fakeLog: newLog()}
		runHub(t, Options{Log: l, Version: "v", Heartbeat: time.Second}, func(h *Hub) { test(t, h, l) })
	})
}

// rewrite gives the log another epoch, with n alerts of the shop whose order ids
// begin with the given one.
func (l *fakeLog) rewrite(epoch string, shop doorbell.ShopID, n int, order doorbell.OrderID) {
	l.set(func() { l.logs[shop], l.epoch = nil, epoch })
	l.commit(shop, n)
	l.set(func() {
		for i := range l.logs[shop] {
			l.logs[shop][i].OrderID = order + doorbell.OrderID(i)
		}
	})
}

// orders returns the order ids of the alerts that a sink got, with 0 for each
// event between them.
func (f *fakeSink) orders(t *testing.T) (out []int64) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.got {
		if m.Event == "ping" {
			continue
		}
		var a struct{ OrderID int64 }
		if err := json.Unmarshal(m.Data, &a); err != nil {
			t.Fatal(err)
		}
		out = append(out, a.OrderID)
	}
	return out
}

// TestWhatWasReadOnceIsReadOnce: for many consoles that are behind, the log is
// read as often as for one.
func TestWhatWasReadOnceIsReadOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		const alerts, consoles = 1000, 100
		l.commit(1, alerts)
		sessions, sinks := make([]*Session, consoles), make([]*fakeSink, consoles)
		for i := range sessions {
			sessions[i], sinks[i] = open(t, h, Subscription{Start: FromOldest})
		}
		for i, s := range sessions {
			sinks[i].drain(s)
			wantSeqs(t, sinks[i], upTo(alerts))
		}
		if want := (alerts + pageSize - 1) / pageSize; l.reads != want {
			t.Errorf("the log was read %d times for %d consoles, want %d", l.reads, consoles, want)
		}
		h.Deliver(l.commit(1, 1))
		sinks[0].drain(sessions[0])
		wantSeqs(t, sinks[0], upTo(alerts+1))
	})
}

// TestConsolesWaitForOneRead: while a page is being read, other consoles wait for
// it, each until its own context ends.
func TestConsolesWaitForOneRead(t *testing.T) {
	gated(t, func(t *testing.T, h *Hub, l *gatedLog) {
		l.commit(1, 100)
		l.close()
		var running sync.WaitGroup
		begin := func(ctx context.Context) (*Session, *fakeSink) {
			s, err := h.Open(t.Context(), Subscription{Transport: WebSocket, Shops: []doorbell.ShopID{1}, Start: FromOldest}) //nolint:contextcheck // the hub opens for the test, not for the console
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Leave(context.Background(), 0, "test") }) //nolint:contextcheck // it leaves when its own is over
			f := &fakeSink{}
			running.Go(func() { s.Run(ctx, f) })
			synctest.Wait()
			return s, f
		}
		impatient, cancel := context.WithCancel(t.Context())
		first, firstSink := begin(t.Context())
		var sessions []*Session
		var sinks []*fakeSink
		for range 50 {
			s, f := begin(t.Context())
			sessions, sinks = append(sessions, s), append(sinks, f)
		}
		gone, none := begin(impatient)
		cancel()
		if got := l.underWay(); !slices.Equal(got, []doorbell.ShopID{1}) {
			t.Errorf("reads under way: %v, want one", got)
		}
		if !gone.Stalled() {
			t.Error("a console waits after its context ended")
		}
		l.open()
		running.Wait()
		for i, s := range sessions {
			sinks[i].drain(s)
			wantSeqs(t, sinks[i], upTo(100))
		}
		firstSink.drain(first)
		wantSeqs(t, firstSink, upTo(100))
		if want := (100 + pageSize - 1) / pageSize; l.reads != want {
			t.Errorf("the log was read %d times, want %d", l.reads, want)
		}
		time.Sleep(2 * time.Second) // it was only late
		none.drain(gone)
		wantSeqs(t, none, upTo(100))
	})
}

// TestReaderOfAPageLeaves: the console that reads a page for others may leave.
func TestReaderOfAPageLeaves(t *testing.T) {
	gated(t, func(t *testing.T, h *Hub, l *gatedLog) {
		l.commit(1, 100)
		l.close()
		ctx, cancel := context.WithCancel(t.Context())
		reader, err := h.Open(t.Context(), Subscription{Transport: Poll, Shops: []doorbell.ShopID{1}, Start: FromOldest})
		if err != nil {
			t.Fatal(err)
		}
		var running sync.WaitGroup
		running.Go(func() { reader.Run(ctx, &fakeSink{}) })
		synctest.Wait()
		other, err := h.Open(t.Context(), Subscription{Transport: WebSocket, Shops: []doorbell.ShopID{1}, Start: FromOldest})
		if err != nil {
			t.Fatal(err)
		}
		f := &fakeSink{}
		running.Go(func() { other.Run(t.Context(), f) })
		synctest.Wait()
		cancel()
		reader.Leave(context.Background(), 0, "gone")
		synctest.Wait()
		l.open()
		running.Wait()
		f.drain(other)
		wantSeqs(t, f, upTo(100))
		if l.reads != 4 {
			t.Errorf("%d reads, want 4: the first page is not read again", l.reads)
		}
		other.Leave(context.Background(), 0, "test")
	})
}

// TestHeartbeatsWhileTheLogHangs: consoles that wait for the log delay no
// heartbeat, and read on when the log answers.
func TestHeartbeatsWhileTheLogHangs(t *testing.T) {
	gated(t, func(t *testing.T, h *Hub, l *gatedLog) {
		l.commit(1, 100)
		s, f := open(t, h, Subscription{Shops: []doorbell.ShopID{2}})
		l.close()
		slow, err := h.Open(t.Context(), Subscription{Transport: WebSocket, Shops: []doorbell.ShopID{1}, Start: FromOldest})
		if err != nil {
			t.Fatal(err)
		}
		behind := &fakeSink{}
		go slow.Run(t.Context(), behind)
		for range 60 {
			time.Sleep(time.Second)
			f.drain(s)
		}
		if n := len(f.events(t)); n < 60 {
			t.Errorf("%d events in a minute of a heartbeat a second", n)
		}
		l.open()
		time.Sleep(2*pageWait + 2*time.Second)
		behind.drain(slow)
		wantSeqs(t, behind, upTo(100))
		slow.Leave(context.Background(), 0, "test")
	})
}

// TestPagesOfWhatWasPruned: a cursor below what the log keeps gets a reset, even
// if a page still has its alerts; a console that already reads continues.
func TestPagesOfWhatWasPruned(t *testing.T) {
	at := func(seq doorbell.Seq) Subscription {
		return Subscription{Start: FromCursor, Cursor: doorbell.Cursor{Epoch: "e1", Seqs: map[doorbell.ShopID]doorbell.Seq{1: seq}}}
	}
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		l.commit(1, 100)
		reader, read := open(t, h, at(0))
		l.set(func() { l.first[1] = 50 })
		h.pages.drop(h.feeds[1])
		for _, c := range []struct {
			name   string
			cursor doorbell.Seq
			reset  bool
			first  int64
		}{
			{"far below what is kept", 5, true, 101},
			{"one below", 48, true, 101},
			{"just above", 49, false, 50},
			{"within", 60, false, 61},
		} {
			s, f := open(t, h, at(c.cursor))
			f.drain(s)
			if got := slices.Contains(f.events(t), "reset"); got != c.reset {
				t.Errorf("%s: reset %v, want %v", c.name, got, c.reset)
			}
			if got := f.seqs(t); !c.reset && got[0] != c.first {
				t.Errorf("%s: begins with %d, want %d", c.name, got[0], c.first)
			}
		}
		read.drain(reader)
		if got := read.events(t); !slices.Equal(got, []string{"hello", "reset"}) {
			t.Errorf("the console that read on got %v, want a reset", got)
		}
		if c := reader.Cursor(); c.Seqs[1] != 100 {
			t.Errorf("stands at %v after it, want the head", c)
		}
	})
}

// TestAPageThatGrows: a page within which the log ended is read again when the log
// has grown.
func TestAPageThatGrows(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		l.commit(1, pageSize/2) // the only page
		s, f := open(t, h, Subscription{Start: FromOldest})
		f.drain(s)
		h.feeds[1].mu.Lock() // as in a node that hears of the next alerts late and has no ring
		h.feeds[1].next += 5
		h.feeds[1].mu.Unlock()
		l.commit(1, 5)
		late, g := open(t, h, Subscription{Start: FromOldest})
		g.drain(late)
		wantSeqs(t, g, upTo(pageSize/2+5))
	})
}

// TestPagesAreBounded: however many shops are behind, pages stay within their
// limit, no console misses an alert, and unused pages are dropped.
func TestPagesAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		const shops, alerts = 40, 150
		h.pages.limit = 20 << 10
		sessions, sinks := make([]*Session, 2*shops), make([]*fakeSink, 2*shops)
		for i := range sessions {
			shop := doorbell.ShopID(i%shops + 1)
			if i < shops {
				l.commit(shop, alerts)
			}
			sessions[i], sinks[i] = open(t, h, Subscription{Shops: []doorbell.ShopID{shop}, Start: FromOldest})
		}
		most := 0
		for range alerts + 10 { // each a step
			for i, s := range sessions {
				if f := sinks[i]; f.held > 0 {
					f.held--
					s.Sent(t.Context(), 1)
				}
				_, size := h.pages.kept()
				if most = max(most, size); size > h.pages.limit {
					t.Fatalf("%d bytes are kept, want at most %d", size, h.pages.limit)
				}
			}
		}
		for i, s := range sessions {
			sinks[i].drain(s)
			wantSeqs(t, sinks[i], upTo(alerts))
		}
		if most < h.pages.limit*8/10 {
			t.Errorf("at most %d bytes were kept: the limit was not met", most)
		}
		time.Sleep(pageIdle + 2*time.Second)
		synctest.Wait()
		if n, size := h.pages.kept(); n != 0 || size != 0 {
			t.Errorf("%d bytes in %d pages are kept that nobody reads", size, n)
		}
		for shop, f := range h.feeds {
			if f.shelf != nil {
				t.Errorf("shop %d has a shelf and no page", shop)
			}
		}
	})
}

// TestShopsTakeTurns: a shop whose consoles are spread over its log reads one page
// at a time, and delays no other shop.
func TestShopsTakeTurns(t *testing.T) {
	gated(t, func(t *testing.T, h *Hub, l *gatedLog) {
		var running sync.WaitGroup
		begin := func(shop doorbell.ShopID, seq doorbell.Seq) {
			s, err := h.Open(t.Context(), Subscription{
				Transport: WebSocket, Shops: []doorbell.ShopID{shop}, Start: FromCursor,
				Cursor: doorbell.Cursor{Epoch: "e1", Seqs: map[doorbell.ShopID]doorbell.Seq{shop: seq}},
			})
			if err != nil {
				t.Fatal(err)
			}
			running.Go(func() { s.Run(t.Context(), &fakeSink{}) })
			t.Cleanup(func() { s.Leave(context.Background(), 0, "test") })
		}
		l.commit(1, 50*pageSize)
		for shop := doorbell.ShopID(2); shop < 8; shop++ {
			l.commit(shop, 100)
		}
		l.close()
		for i := range 50 {
			begin(1, doorbell.Seq(i*pageSize))
		}
		begin(2, 0)
		begin(3, 0)
		if got, want := l.underWay(), []doorbell.ShopID{1, 2, 3}; !slices.Equal(got, want) {
			t.Errorf("reads under way of shops %v, want %v", got, want)
		}
		for shop := doorbell.ShopID(4); shop < 8; shop++ {
			begin(shop, 0)
		}
		if got := l.underWay(); len(got) != pageReads {
			t.Errorf("%d reads under way, want %d", len(got), pageReads)
		}
		l.open()
		running.Wait()
	})
}
