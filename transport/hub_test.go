package transport

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"doorbell/internal/doorbell"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDeliveryIsHealedFromTheLog(t *testing.T) {
	for _, c := range []struct {
		name    string
		deliver func(h *Hub, alerts []doorbell.Alert)
		within  time.Duration
	}{
		{"in order", func(h *Hub, a []doorbell.Alert) { h.Deliver(a) }, 0},
		{"doubled", func(h *Hub, a []doorbell.Alert) { h.Deliver(a); h.Deliver(a) }, 0},
		{"backwards", func(h *Hub, a []doorbell.Alert) { slices.Reverse(a); h.Deliver(a) }, 0},
		{"one in the middle lost", func(h *Hub, a []doorbell.Alert) { h.Deliver(a[:3]); h.Deliver(a[4:]) }, reorderWait},
		{"the last one lost", func(h *Hub, a []doorbell.Alert) { h.Deliver(a[:len(a)-1]) }, auditEvery},
		{"all lost", func(*Hub, []doorbell.Alert) {}, auditEvery},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
				s, f := open(t, h, Subscription{})
				c.deliver(h, l.commit(1, 10))
				time.Sleep(c.within)
				synctest.Wait()
				f.drain(s)
				wantSeqs(t, f, upTo(10))
			})
		})
	}
}

func TestFullWindow(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		slow, stuck := open(t, h, Subscription{})
		quick, good := open(t, h, Subscription{})
		for range 500 {
			h.Deliver(l.commit(1, 1))
			good.drain(quick)
		}
		wantSeqs(t, good, upTo(500))
		if n := len(stuck.got); n != Window || stuck.most != Window {
			t.Errorf("the console that reads nothing holds %d messages, want %d", n, Window)
		}
		if stuck.closed != nil {
			t.Errorf("closed with %v; a full window must not close the session", stuck.closed)
		}
		stuck.drain(slow)
		wantSeqs(t, stuck, upTo(500))
		h.Deliver(l.commit(1, 1))
		stuck.drain(slow)
		wantSeqs(t, stuck, upTo(501))
	})
}

// TestBehind: a console that reads nothing is behind by what is not on its way to it
// yet, until it has read on; a reset is counted by its reason.
func TestBehind(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		slow, stuck := open(t, h, Subscription{})
		quick, good := open(t, h, Subscription{})
		for range 500 {
			h.Deliver(l.commit(1, 1))
			good.drain(quick)
		}
		if n, most := h.Behind(); n != 1 || most != 500-(Window-1) { // hello takes one place
			t.Errorf("%d consoles behind by at most %d, want one by %d", n, most, 500-(Window-1))
		}
		stuck.drain(slow)
		if n, most := h.Behind(); n != 0 || most != 0 {
			t.Errorf("%d consoles behind by at most %d after they read on, want none", n, most)
		}
		l.cut(1, 4)
		time.Sleep(3 * auditEvery)
		synctest.Wait()
		if got := h.Resets(); got[EpochChanged] != 2 || got[Pruned]+got[AboveHead]+got[BadCursor] != 0 {
			t.Errorf("resets %v, want two for the epoch", got)
		}
	})
}

func TestLogDownWhileReadingOn(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		l.commit(1, 300)
		s, f := open(t, h, Subscription{Start: FromOldest})
		l.set(func() { l.fails = true })
		f.drain(s)
		before := len(f.seqs(t))
		time.Sleep(10 * time.Second)
		if n := len(f.seqs(t)); n != before || f.closed != nil {
			t.Errorf("%d alerts while the log is down, want %d; closed %v", n, before, f.closed)
		}
		l.set(func() { l.fails = false })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		f.drain(s)
		wantSeqs(t, f, upTo(300))
	})
}

func TestPrunedUnderASlowReader(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		s, f := open(t, h, Subscription{})
		h.Deliver(l.commit(1, 500))
		l.set(func() { l.first[1] = 490 })
		// The ring could still serve the console; it is emptied, as in a restarted
		// node.
		h.feeds[1].mu.Lock()
		h.feeds[1].ring = nil
		h.feeds[1].mu.Unlock()
		f.drain(s)
		if got := f.events(t); !slices.Equal(got, []string{"hello", "reset"}) {
			t.Errorf("events %v, want a reset", got)
		}
		h.Deliver(l.commit(1, 1))
		f.drain(s)
		if got := f.seqs(t); got[len(got)-1] != 501 || len(got) != Window-1+1 {
			t.Errorf("sent %v, want what was in the window, then 501", got)
		}
	})
}

func TestTheLogGoesBack(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		s, f := open(t, h, Subscription{})
		h.Deliver(l.commit(1, 10))
		f.drain(s)
		l.cut(1, 4) // a backup is restored while the node runs
		time.Sleep(3 * auditEvery)
		synctest.Wait()
		f.drain(s)
		if got := f.events(t); !slices.Contains(got, "reset") {
			t.Fatalf("events %v, want a reset", got)
		}
		if c := s.Cursor(); c.Epoch != "e1x" || c.Seqs[1] != 4 {
			t.Errorf("goes on from %s, want e1x.1:4", c)
		}
		h.Deliver(l.commit(1, 2))
		f.drain(s)
		wantSeqs(t, f, append(upTo(10), 5, 6))
	})
}

func TestIdleFeedsAreForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		s, err := h.Open(t.Context(), Subscription{Shops: []doorbell.ShopID{1, 2}, Transport: WebSocket})
		if err != nil {
			t.Fatal(err)
		}
		s.Run(t.Context(), &fakeSink{})
		time.Sleep(2 * feedIdle)
		if n := len(h.followed()); n != 2 {
			t.Errorf("%d feeds while followed, want 2", n)
		}
		s.Leave(t.Context(), 0, "test")
		time.Sleep(feedIdle + 2*auditEvery)
		if n := len(h.followed()); n != 0 {
			t.Errorf("%d feeds a minute after, want none", n)
		}
		_ = l
	})
}

// TestShutdownEndsAll: connected consoles get bye and are waited for; later ones
// get it in a stream that begins and ends, and delay nothing.
func TestShutdownEndsAll(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, _ *fakeLog) {
		s, f := open(t, h, Subscription{})
		done := make(chan error, 1)
		go func() { done <- h.Shutdown(t.Context()) }()
		synctest.Wait()
		if got := f.events(t); !slices.Equal(got, []string{"hello", "bye"}) || !slices.Equal(f.closed, []Reason{Shutdown}) {
			t.Errorf("events %v, closed %v; want bye", got, f.closed)
		}
		late, g := open(t, h, Subscription{})
		if got := g.events(t); !slices.Equal(got, []string{"hello", "bye"}) || !slices.Equal(g.closed, []Reason{Shutdown}) {
			t.Errorf("a new stream while stopping: events %v, closed %v; want bye", got, g.closed)
		}
		if n := h.Count(); n != 1 {
			t.Errorf("Shutdown waits for %d sessions, want the earlier one", n)
		}
		defer late.Leave(t.Context(), 1012, "shutdown")
		s.Leave(t.Context(), 1012, "shutdown")
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestCursorAheadOfTheFeed: another node wrote alerts that this node has not heard
// of, and the console already has them. The repair must not send them again.
func TestCursorAheadOfTheFeed(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		first, behind := open(t, h, Subscription{})
		h.Deliver(l.commit(1, 5))
		behind.drain(first)
		l.commit(1, 5) // not delivered to the hub
		cursor := doorbell.Cursor{Epoch: "e1", Seqs: map[doorbell.ShopID]doorbell.Seq{1: 10}}
		s, ahead := open(t, h, Subscription{Start: FromCursor, Cursor: cursor})
		time.Sleep(auditEvery)
		synctest.Wait()
		h.Deliver(l.commit(1, 1))
		ahead.drain(s)
		behind.drain(first)
		wantSeqs(t, ahead, []int64{11})
		wantSeqs(t, behind, upTo(11))
		if got := ahead.events(t); !slices.Equal(got, []string{"hello"}) {
			t.Errorf("events %v, want no reset", got)
		}
	})
}

// TestCursorWithinTheRing: a console that was away for a moment continues without
// the log; one that was away longer needs it.
func TestCursorWithinTheRing(t *testing.T) {
	const n = 2 * ringSize
	at := func(epoch string, seq doorbell.Seq) Subscription {
		return Subscription{
			Transport: WebSocket, Shops: []doorbell.ShopID{1}, Start: FromCursor,
			Cursor: doorbell.Cursor{Epoch: epoch, Seqs: map[doorbell.ShopID]doorbell.Seq{1: seq}},
		}
	}
	both := at("e1", n)
	both.Shops = []doorbell.ShopID{1, 2}
	for _, c := range []struct {
		name    string
		sub     Subscription
		asks    bool
		missing int
	}{
		{"the ring's oldest", at("e1", n-ringSize), false, ringSize},
		{"the last", at("e1", n), false, 0},
		{"before the ring", at("e1", n-ringSize-1), true, ringSize + 1},
		{"above the head", at("e1", n+1), true, 0},
		{"another epoch", at("e2", n), true, 0},
		{"a shop that the cursor does not know", both, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
				s, f := open(t, h, Subscription{})
				h.Deliver(l.commit(1, n))
				f.drain(s)
				l.set(func() { l.fails = true })
				s, err := h.Open(t.Context(), c.sub)
				if asked := errors.Is(err, errDown); asked != c.asks {
					t.Errorf("asked the log %v (%v), want %v", asked, err, c.asks)
				}
				if err == nil {
					s.Leave(context.Background(), 0, "test")
				}
				l.set(func() { l.fails = false })
				s, f = open(t, h, c.sub)
				f.drain(s)
				if got := f.seqs(t); !slices.Equal(got, upTo(n)[n-c.missing:]) {
					t.Errorf("sent %v, want the last %d of %d", got, c.missing, n)
				}
			})
		})
	}
}

// TestOpenWhileTheFeedsAreRewound: a console that connects while the node learns
// of a new epoch gets no alert of the old one.
func TestOpenWhileTheFeedsAreRewound(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		first, old := open(t, h, Subscription{})
		h.Deliver(l.commit(1, 10))
		old.drain(first)
		synctest.Wait() // the first audit is over
		l.cut(1, 8)
		l.set(func() { l.epoch = "e2" })
		h.mu.Lock()
		h.epoch = "e2" // as the first step of noteEpoch
		h.mu.Unlock()
		now, f := open(t, h, Subscription{})
		cursor := doorbell.Cursor{Epoch: "e2", Seqs: map[doorbell.ShopID]doorbell.Seq{1: 8}}
		again, g := open(t, h, Subscription{Start: FromCursor, Cursor: cursor})
		wantSeqs(t, f, nil)
		wantSeqs(t, g, nil)
		h.resetAll(t.Context(), "e2")
		h.Deliver(l.commit(1, 2))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for s, f := range map[*Session]*fakeSink{now: f, again: g} {
			f.drain(s)
			wantSeqs(t, f, []int64{9, 10})
			if got := f.events(t); !slices.Equal(got, []string{"hello"}) {
				t.Errorf("events %v, want no reset", got)
			}
		}
		if got := old.events(t); !slices.Contains(got, "reset") {
			t.Errorf("the one of the old epoch got %v, want a reset", got)
		}
	})
}

// TestRewoundPastASession: a session that a rewound feed has passed still gets
// every alert or a reset.
func TestRewoundPastASession(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		s, f := open(t, h, Subscription{})
		l.commit(1, 2)
		h.feeds[1].rewind("e1", doorbell.Position{Head: 2, Nonce: 2})
		h.Deliver(l.commit(1, 1))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		f.drain(s)
		wantSeqs(t, f, upTo(3))
	})
}
