package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
)

// channel is somebody's phone.
type channel struct {
	mu   sync.Mutex
	fail error
	got  []string // the messages that came together
	at   []time.Time
}

func (c *channel) deliver(_ context.Context, messages []doorbell.Outgoing) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return c.fail
	}
	c.got = append(c.got, fmt.Sprint(len(messages)))
	c.at = append(c.at, time.Now())
	return nil
}

func (c *channel) received() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

// times returns when the messages came.
func (c *channel) times() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.at)
}

// phone starts a sender with one channel of the service's ladder, and a webhook.
func phone(b *bench, c *channel) (stop func()) {
	targets := []Target{
		{Name: doorbell.ChannelTo("owner").Hook, Deliver: c.deliver, Together: true},
		{Name: "gateway", URL: "http://gateway/", Secret: secret},
	}
	s, err := New(Options{Queue: b.store, Targets: targets, Log: slog.New(slog.NewTextHandler(b, nil)), Node: "phone", Needed: func(ctx context.Context, o doorbell.Outgoing) (bool, error) {
		if o.About == 0 {
			return true, nil
		}
		return b.store.Rings(ctx, o.Shop, o.About)
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	s.client.Transport = b
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	return func() { cancel(); running.Wait() }
}

// TestChannels: what is due at once comes in one message, no two within 3 s, those
// that were accepted while the channel was down never, and a webhook's neither.
func TestChannels(t *testing.T) {
	inBubble(t, []doorbell.Hook{{Name: "gateway", Events: []doorbell.EventType{doorbell.AlertEscalated}}}, func(b *bench, _ func(string) context.CancelFunc) {
		c := &channel{fail: errors.New("down")}
		b.to["gateway"].answer = func(int) int { return 500 }
		escalate := func(seq doorbell.Seq, rung int) {
			page, err := b.service.Alerts(b.t.Context(), doorbell.AlertQuery{Shop: 1, Before: seq + 1, After: seq - 1, Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			if claimed, rings, err := b.service.Escalate(b.t.Context(), page.Alerts[0].Alert, doorbell.Step{Rung: rung}, time.Minute); !claimed || !rings || err != nil {
				t.Fatalf("alert %d: %v %v %v", seq, claimed, rings, err)
			}
		}
		const n = 45 // more than two messages of 20
		for i := range n {
			number := fmt.Sprint("A-", i)
			b.order(1, number)
			b.take(b.notice(number, doorbell.PaymentNotice, 100))
			escalate(doorbell.Seq(i+1), 0)
		}
		stop := phone(b, c)
		defer stop()
		time.Sleep(4 * time.Second)
		if _, err := b.service.AcceptAlert(b.t.Context(), 1, 1, "cook"); err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		c.fail = nil
		c.mu.Unlock()
		calls := len(b.to["gateway"].received())
		b.to["gateway"].mu.Lock()
		b.to["gateway"].answer = func(int) int { return 204 }
		b.to["gateway"].mu.Unlock()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		total, at := 0, c.times()
		for i, size := range c.received() {
			var k int
			_, _ = fmt.Sscan(size, &k)
			total += k
			if i > 0 && at[i].Sub(at[i-1]) < 3*time.Second {
				t.Errorf("messages %v apart, want 3 s at least", at[i].Sub(at[i-1]))
			}
		}
		if total != n-1 || len(c.received()) > 4 {
			t.Errorf("told of %d alerts in messages of %v; want %d in three or four", total, c.received(), n-1)
		}
		if got := len(b.to["gateway"].received()) - calls; got != n-1 {
			t.Errorf("the gateway was called %d times after the accept, want %d: not of what was accepted", got, n-1)
		}
		// What comes due later is told 3 s after the last at the soonest, too.
		for i := range 2 {
			number := fmt.Sprint("B-", i)
			b.order(1, number)
			b.take(b.notice(number, doorbell.PaymentNotice, 100))
			escalate(doorbell.Seq(n+2+i), 0) // one number is the accept's
			time.Sleep(1500 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		if at = c.times(); len(at) < 2 || at[len(at)-1].Sub(at[len(at)-2]) < 3*time.Second {
			t.Errorf("two messages of two looks at the queue came at %v, want 3 s apart", at)
		}
		if waiting, _, err := b.store.Backlog(b.t.Context()); waiting != 0 || err != nil {
			t.Errorf("%d wait, %v", waiting, err)
		}
	})
}
