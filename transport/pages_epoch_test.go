package transport

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
)

// TestAReadThatOutlivesItsEpoch: what was read before the log got a new epoch
// reaches nobody after it, whatever its number.
func TestAReadThatOutlivesItsEpoch(t *testing.T) {
	gated(t, func(t *testing.T, h *Hub, l *gatedLog) {
		l.rewrite("e1", 1, 100, 1000)
		l.close()
		s, err := h.Open(t.Context(), Subscription{Transport: WebSocket, Shops: []doorbell.ShopID{1}, Start: FromOldest})
		if err != nil {
			t.Fatal(err)
		}
		old := &fakeSink{}
		var running sync.WaitGroup
		running.Go(func() { s.Run(t.Context(), old) })
		if got := l.underWay(); len(got) != 1 {
			t.Fatalf("reads under way: %v, want one", got)
		}
		l.rewrite("e2", 1, 4, 2000) // the console is then at 5, which the read contains
		time.Sleep(2 * auditEvery)
		if c := s.Cursor(); c.Epoch != "e2" || c.Seqs[1] != 4 {
			t.Fatalf("stands at %v, want e2.1:4", c)
		}
		l.open()
		running.Wait()
		fresh, now := open(t, h, Subscription{Start: FromOldest})
		now.drain(fresh)
		if got, want := now.orders(t), []int64{0, 2000, 2001, 2002, 2003}; !slices.Equal(got, want) {
			t.Errorf("a console of the new epoch got %v, want %v", got, want)
		}
		h.Deliver(l.commit(1, 1))
		old.drain(s)
		if got, want := old.orders(t), []int64{0, 0, 1}; !slices.Equal(got, want) { // hello, reset, the new alert
			t.Errorf("the console of the old epoch got %v, want %v", got, want)
		}
	})
}

// TestAReadForTheSameNumber is the same test for a console that is at the same
// number in the new epoch, which the feed's ring has passed.
func TestAReadForTheSameNumber(t *testing.T) {
	gated(t, func(t *testing.T, h *Hub, l *gatedLog) {
		l.rewrite("e1", 1, 100, 1000)
		l.close()
		s, err := h.Open(t.Context(), Subscription{Transport: WebSocket, Shops: []doorbell.ShopID{1}, Start: FromOldest})
		if err != nil {
			t.Fatal(err)
		}
		f := &fakeSink{}
		var running sync.WaitGroup
		running.Go(func() { s.Run(t.Context(), f) })
		l.underWay()
		l.rewrite("e2", 1, 0, 0)
		time.Sleep(2 * auditEvery)
		h.Deliver(l.commit(1, 2*ringSize))
		l.open()
		running.Wait()
		f.drain(s)
		got := f.orders(t)
		if got = slices.DeleteFunc(got, func(order int64) bool { return order == 0 }); len(got) != 2*ringSize || slices.Max(got) != 1 {
			t.Errorf("got %v, want the new epoch's alerts", got)
		}
		s.Leave(context.Background(), 0, "test")
	})
}

// TestPagesGoWithTheirEpoch: kept pages are dropped with their epoch.
func TestPagesGoWithTheirEpoch(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		l.rewrite("e1", 1, 50, 1000)
		s, f := open(t, h, Subscription{Start: FromOldest})
		f.drain(s)
		wantSeqs(t, f, upTo(50))
		if n, _ := h.pages.kept(); n == 0 {
			t.Fatal("nothing was kept")
		}
		l.rewrite("e2", 1, 40, 2000)
		time.Sleep(2 * auditEvery)
		synctest.Wait()
		if n, size := h.pages.kept(); n != 0 || size != 0 || h.feeds[1].shelf != nil {
			t.Errorf("%d bytes in %d pages are kept of the old epoch", size, n)
		}
		fresh, now := open(t, h, Subscription{Start: FromOldest})
		now.drain(fresh)
		want := []int64{0}
		for i := range int64(40) {
			want = append(want, 2000+i)
		}
		if got := now.orders(t); !slices.Equal(got, want) {
			t.Errorf("got %v, want those of the new epoch", got)
		}
	})
}
