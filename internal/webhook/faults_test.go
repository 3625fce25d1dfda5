package webhook

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/lease"
	"doorbell/internal/store"
)

// faultyQueue is a store whose writes fail, or whose leases are another's, or
// hang, when told so.
type faultyQueue struct {
	*store.Store
	mu         sync.Mutex
	full, lost bool
	hangs      chan struct{} // nil: they don't
	tries      int
}

func (q *faultyQueue) set(change func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	change()
}

func (q *faultyQueue) SaveAttempt(ctx context.Context, o doorbell.Outgoing) error {
	q.mu.Lock()
	full := q.full
	if full {
		q.tries++
	}
	q.mu.Unlock()
	if full {
		return errors.New("the disk is full")
	}
	return q.Store.SaveAttempt(ctx, o)
}

func (q *faultyQueue) Lease(ctx context.Context, name, holder string, until time.Time) (bool, error) {
	q.mu.Lock()
	lost, hangs := q.lost, q.hangs
	q.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	if lost {
		return false, nil
	}
	return q.Store.Lease(ctx, name, holder, until)
}

// orders pays n orders, spread over shops.
func (b *bench) orders(n, shops int) {
	for i := range n {
		number := fmt.Sprintf("M-%d", i)
		b.order(int64(i%shops+1), number)
		b.take(b.notice(number, doorbell.PaymentNotice, 100))
	}
}

// TestWhatCantBeWrittenDownIsNotSentOn: the disk is full; the sender sends what is
// under way and then nothing, however long that lasts, and looks seldom. With
// room again everything has been sent once.
func TestWhatCantBeWrittenDownIsNotSentOn(t *testing.T) {
	for _, shops := range []int{1, 20} {
		t.Run(fmt.Sprint(shops, " shops"), func(t *testing.T) {
			inBubble(t, []doorbell.Hook{{Name: "printer", Events: []doorbell.EventType{doorbell.OrderPaid}}}, func(b *bench, start func(string) context.CancelFunc) {
				const n = batch + 44
				b.orders(n, shops)
				printer := b.to["printer"]
				b.faults.set(func() { b.faults.full = true })
				defer start("one")()
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if got := len(printer.received()); got == 0 || got > workers {
					t.Errorf("%d sent in 5 s without a place to note it, want at most %d", got, workers)
				}
				time.Sleep(10 * time.Minute)
				tries := 0
				b.faults.set(func() { tries = b.faults.tries })
				if tries > 60 {
					t.Errorf("tried to write %d times in ten minutes", tries)
				}
				b.faults.set(func() { b.faults.full = false })
				time.Sleep(maxPause + time.Minute)
				synctest.Wait()
				seen := map[string]int{}
				for _, m := range printer.received() {
					seen[m.id]++
				}
				for id, times := range seen {
					if times != 1 {
						t.Errorf("%s was sent %d times", id, times)
					}
				}
				if waiting, _, err := b.store.Backlog(b.t.Context()); len(seen) != n || waiting != 0 || err != nil {
					t.Errorf("%d sent of %d, %d wait, %v", len(seen), n, waiting, err)
				}
			})
		})
	}
}

// TestALostLeaseEndsSending: within the time of a lease nothing more is sent,
// whether it was taken by another or its renewal hangs; the rest is sent, once,
// by whoever holds it then.
func TestALostLeaseEndsSending(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(*faultyQueue) (back func())
	}{
		{"taken by another", func(q *faultyQueue) func() {
			q.lost = true
			return func() { q.lost = false }
		}},
		{"a renewal hangs", func(q *faultyQueue) func() {
			q.hangs = make(chan struct{})
			return func() { close(q.hangs); q.hangs = nil }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, []doorbell.Hook{{Name: "printer", Events: []doorbell.EventType{doorbell.OrderPaid}}}, func(b *bench, start func(string) context.CancelFunc) {
				const n = 80
				b.orders(n, 1)
				printer := b.to["printer"]
				printer.answer = func(int) int { time.Sleep(500 * time.Millisecond); return 200 }
				stop := start("one")
				defer stop()
				time.Sleep(3 * time.Second)
				var back func()
				b.faults.set(func() { back = c.lose(b.faults) })
				time.Sleep(lease.Time)
				synctest.Wait()
				before := len(printer.received())
				time.Sleep(time.Minute)
				if after := len(printer.received()); before == 0 || after != before || after == n {
					t.Errorf("%d sent when the lease was over, %d a minute later", before, after)
				}
				b.faults.set(back)
				defer start("two")()
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				seen := map[string]int{}
				for _, m := range printer.received() {
					seen[m.id]++
				}
				twice := 0
				for _, times := range seen {
					twice += times - 1
				}
				if len(seen) != n || twice > 1 { // the one under way when it was lost
					t.Errorf("%d sent of %d, %d of them twice", len(seen), n, twice)
				}
			})
		})
	}
}
