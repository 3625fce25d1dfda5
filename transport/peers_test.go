package transport

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// fakeBus records what is followed, and can be down.
type fakeBus struct {
	mu      sync.Mutex
	follows map[doorbell.ShopID]bool
	down    error
	others  []*Hub
}

func (b *fakeBus) Follow(shop doorbell.ShopID)   { b.set(shop, true) }
func (b *fakeBus) Unfollow(shop doorbell.ShopID) { b.set(shop, false) }

func (b *fakeBus) set(shop doorbell.ShopID, on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.follows[shop] = on
}

func (b *fakeBus) followed(shop doorbell.ShopID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.follows[shop]
}

func (b *fakeBus) Err() error { return b.down }

func (b *fakeBus) Ask(_ context.Context, question []byte) (answers [][]byte, whole bool) {
	if b.down != nil {
		return nil, false
	}
	for _, h := range b.others {
		answers = append(answers, h.Answer(question))
	}
	return answers, true
}

// onBus runs a hub over a fake log with a fake bus in virtual time.
func onBus(t *testing.T, test func(t *testing.T, h *Hub, l *fakeLog, b *fakeBus)) {
	t.Helper()
	testrun.Bubble(t, func(t *testing.T) {
		l, b := newLog(), &fakeBus{follows: map[doorbell.ShopID]bool{}}
		runHub(t, Options{Log: l, Version: "v", Heartbeat: 15 * time.Second, Bus: b}, func(h *Hub) { test(t, h, l, b) })
	})
}

func peerAlert(a doorbell.Alert) doorbell.PeerAlert {
	return doorbell.PeerAlert{Link: a.Link, Shop: a.Shop, Seq: a.Seq, Type: a.Type, Data: a.Encode()}
}

// TestAnotherNodesAlerts: alerts from the bus are delivered at once, in any order,
// doubled or without their content; one that the bus lost, within the audit's
// second.
func TestAnotherNodesAlerts(t *testing.T) {
	for _, c := range []struct {
		name   string
		bring  func(h *Hub, alerts []doorbell.Alert)
		within time.Duration
	}{
		{"in order", func(h *Hub, alerts []doorbell.Alert) {
			for _, a := range alerts {
				h.Receive(peerAlert(a))
			}
		}, 0},
		{"backwards and twice", func(h *Hub, alerts []doorbell.Alert) {
			for _, a := range slices.Backward(alerts) {
				h.Receive(peerAlert(a))
				h.Receive(peerAlert(a))
			}
		}, 0},
		{"too long for the bus", func(h *Hub, alerts []doorbell.Alert) {
			for _, a := range alerts {
				n := peerAlert(a)
				n.Data = nil
				h.Receive(n)
			}
		}, reorderWait / 2},
		{"not at all", func(*Hub, []doorbell.Alert) {}, auditEvery},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBus(t, func(t *testing.T, h *Hub, l *fakeLog, _ *fakeBus) {
				s, f := open(t, h, Subscription{})
				synctest.Wait()
				c.bring(h, l.commit(1, 5))
				time.Sleep(c.within)
				synctest.Wait()
				f.drain(s)
				wantSeqs(t, f, upTo(5))
			})
		})
	}
}

// TestInterest: a node follows on the bus what its consoles follow, before it
// reads the heads, and stops when the feed is dropped.
func TestInterest(t *testing.T) {
	onBus(t, func(t *testing.T, h *Hub, l *fakeLog, b *fakeBus) {
		l.set(func() { l.fails = true })
		if _, err := h.Open(t.Context(), Subscription{Transport: WebSocket, Shops: []doorbell.ShopID{7}}); err == nil || !b.followed(7) {
			t.Errorf("open: %v; want shop 7 followed before its head was read", err)
		}
		l.set(func() { l.fails = false })
		s, _ := open(t, h, Subscription{Shops: []doorbell.ShopID{1, 2}})
		time.Sleep(2 * feedIdle)
		if !b.followed(1) || !b.followed(2) || b.followed(7) {
			t.Errorf("follows %v, want 1 and 2", b.follows)
		}
		s.Leave(t.Context(), 0, "test")
		time.Sleep(feedIdle + 2*auditEvery)
		if b.followed(1) || b.followed(2) {
			t.Errorf("follows %v a minute after the last console left", b.follows)
		}
	})
}

// TestAuditsWithoutABus: with many feeds audits are rarer while the bus is
// connected; without it no alert is more than 2 s late.
func TestAuditsWithoutABus(t *testing.T) {
	b := &fakeBus{follows: map[doorbell.ShopID]bool{}}
	h := New(Options{Log: newLog(), Logger: slog.New(slog.DiscardHandler), Bus: b})
	if got := h.auditWait(20_000); got != 5*time.Second {
		t.Errorf("20,000 feeds are audited every %s with the bus, want 5s", got)
	}
	b.down = errors.New("gone")
	if got := h.auditWait(20_000); got >= 2*time.Second {
		t.Errorf("20,000 feeds are audited every %s without the bus, want less than 2s", got)
	}
	if got := h.auditWait(1); got != auditEvery {
		t.Errorf("one feed is audited every %s, want 1s", got)
	}
}

// TestAuditNow: a requested audit does not wait for the next second, and many
// requests do not keep the log busy.
func TestAuditNow(t *testing.T) {
	onBus(t, func(t *testing.T, h *Hub, l *fakeLog, _ *fakeBus) {
		s, f := open(t, h, Subscription{})
		time.Sleep(auditEvery + 200*time.Millisecond)
		l.commit(1, 1)
		h.AuditNow()
		synctest.Wait()
		f.drain(s)
		wantSeqs(t, f, upTo(1))
		before := l.asked
		for range 1000 {
			h.AuditNow()
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if n := l.asked - before; n > 15 {
			t.Errorf("%d audits within a second", n)
		}
	})
}
