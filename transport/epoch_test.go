package transport

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// restore gives the log another epoch and n alerts in each of the shops.
func (l *fakeLog) restore(epoch string, n int, shops ...doorbell.ShopID) {
	for _, shop := range shops {
		l.cut(shop, min(n, len(l.logs[shop])))
		l.commit(shop, n-len(l.logs[shop]))
	}
	l.set(func() { l.epoch = epoch })
}

// TestJoinedAfterTheEpochChanged: a session that is opened before the log gets a
// new epoch and runs after it is reset and continues, also after two changes.
func TestJoinedAfterTheEpochChanged(t *testing.T) {
	for _, c := range []struct {
		name   string
		epochs []string
		down   bool // the log can't be read when the session joins
	}{
		{"once", []string{"e2"}, false},
		{"twice", []string{"e2", "e3"}, false},
		{"with the log down at that moment", []string{"e2"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
				l.commit(1, 10)
				keeper, kept := open(t, h, Subscription{}) // keeps the feed in use
				s, err := h.Open(t.Context(), Subscription{Transport: WebSocket, Shops: []doorbell.ShopID{1}, Cursors: true})
				if err != nil {
					t.Fatal(err)
				}
				for _, epoch := range c.epochs {
					l.restore(epoch, 4, 1)
					time.Sleep(2 * auditEvery)
				}
				kept.drain(keeper)
				l.set(func() { l.fails = c.down })
				f := &fakeSink{}
				s.Run(t.Context(), f)
				t.Cleanup(func() { s.Leave(context.Background(), 0, "test") })
				if now := f.events(t); !c.down && !slices.Contains(now, "reset") {
					t.Errorf("events %v when it joined, want the reset among them", now)
				}
				l.set(func() { l.fails = false })
				time.Sleep(3 * time.Second)
				h.Deliver(l.commit(1, 3))
				synctest.Wait()
				f.drain(s)
				wantSeqs(t, f, []int64{5, 6, 7})
				if got := f.events(t); len(got) < 2 || !slices.Equal(got[:2], []string{"hello", "reset"}) {
					t.Errorf("events %v, want a reset after hello", got)
				}
				if cursor := s.Cursor(); cursor.Epoch != c.epochs[len(c.epochs)-1] || cursor.Seqs[1] != 7 {
					t.Errorf("stands at %v", cursor)
				}
			})
		})
	}
}

// slowLog answers its first read late, with the state from when that read began.
type slowLog struct {
	*fakeLog
	begun, goOn chan struct{}
	held        atomic.Bool
}

func (l *slowLog) Positions(ctx context.Context, shops []doorbell.ShopID) (epoch string, at map[doorbell.ShopID]doorbell.Position, err error) {
	epoch, at, err = l.fakeLog.Positions(ctx, shops)
	if len(shops) == 1 && shops[0] == 9 && l.held.CompareAndSwap(false, true) { // the slow session follows shop 9
		close(l.begun)
		<-l.goOn
	}
	return epoch, at, err
}

// TestAStaleOpenKeepsTheEpoch: a read of the log that began before an epoch change
// and ends after it moves nobody back: every session is reset once.
func TestAStaleOpenKeepsTheEpoch(t *testing.T) {
	testrun.Bubble(t, func(t *testing.T) {
		l := &slowLog{fakeLog: newLog(), begun: make(chan struct{}), goOn: make(chan struct{})}
		h := New(Options{Log: l, Logger: slog.New(slog.DiscardHandler), Version: "v", Heartbeat: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		l.commit(1, 10)
		l.commit(9, 10)
		s, f := open(t, h, Subscription{})
		late := make(chan *Session)
		go func() {
			slow, err := h.Open(t.Context(), Subscription{Transport: WebSocket, Shops: []doorbell.ShopID{9}})
			if err != nil {
				t.Error(err)
			}
			late <- slow
		}()
		<-l.begun
		l.restore("e2", 4, 1, 9)
		time.Sleep(2 * auditEvery)
		close(l.goOn)
		slow := <-late
		stuck := &fakeSink{}
		slow.Run(t.Context(), stuck)
		time.Sleep(5 * auditEvery)
		h.Deliver(l.commit(1, 1))
		h.Deliver(l.commit(9, 1))
		time.Sleep(2 * auditEvery)
		f.drain(s)
		stuck.drain(slow)
		wantSeqs(t, f, []int64{5})
		wantSeqs(t, stuck, []int64{5})
		if got := f.events(t); !slices.Equal(got, []string{"hello", "reset"}) {
			t.Errorf("events %v, want one reset", got)
		}
		if epoch, n := h.epochKnown(); epoch != "e2" || n != 2 {
			t.Errorf("epoch %s after %d, want e2 after 2", epoch, n)
		}
		s.Leave(context.Background(), 0, "test")
		slow.Leave(context.Background(), 0, "test")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestEpochsWhileConsolesComeAndGo: epochs change while sessions open, join and
// leave concurrently; in the end each session gets each new alert once.
func TestEpochsWhileConsolesComeAndGo(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		l.commit(1, 5)
		var running sync.WaitGroup
		var mu sync.Mutex
		sinks := map[*Session]*fakeSink{}
		for i := range 60 {
			running.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond)
				s, err := h.Open(t.Context(), Subscription{Transport: WebSocket, Shops: []doorbell.ShopID{1}})
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Duration(i%7) * 300 * time.Millisecond)
				f := &fakeSink{}
				s.Run(t.Context(), f)
				mu.Lock()
				defer mu.Unlock()
				sinks[s] = f
			})
		}
		for _, epoch := range []string{"e2", "e3", "e4", "e5"} {
			time.Sleep(700 * time.Millisecond)
			l.restore(epoch, 5, 1)
		}
		running.Wait()
		time.Sleep(5 * auditEvery)
		for s, f := range sinks {
			f.drain(s)
			f.mu.Lock()
			f.got = nil
			f.mu.Unlock()
		}
		h.Deliver(l.commit(1, 3))
		synctest.Wait()
		for s, f := range sinks {
			f.drain(s)
			wantSeqs(t, f, []int64{6, 7, 8})
			s.Leave(context.Background(), 0, "test")
		}
	})
}

// stalledLog is an slog handler that blocks: each line waits until the test ends.
type stalledLog struct {
	slog.Handler
	begun, free chan struct{}
}

func (l stalledLog) Enabled(context.Context, slog.Level) bool { return true }

func (l stalledLog) Handle(context.Context, slog.Record) error {
	l.begun <- struct{}{}
	<-l.free
	return nil
}

// TestAStalledLogHoldsNobodyUp: consoles leave and stop polling while the log
// blocks; the writer still delivers its alerts.
func TestAStalledLogHoldsNobodyUp(t *testing.T) {
	stalled := stalledLog{slog.DiscardHandler, make(chan struct{}, 8), make(chan struct{})}
	l := newLog()
	h := New(Options{Log: l, Logger: slog.New(slog.DiscardHandler), Version: "v", Heartbeat: time.Hour})
	s, f := open(t, h, Subscription{})
	first, _ := open(t, h, Subscription{})
	pollOnce(t, h, Subscription{})
	h.logger = slog.New(stalled)
	var running sync.WaitGroup
	running.Go(func() { first.Leave(context.Background(), 0, "gone") })
	<-stalled.begun
	running.Go(func() { h.forgetPolls(context.Background(), time.Now().Add(time.Hour)) })
	select { // the poll's line waits without the lock, too
	case <-stalled.begun:
	case <-time.After(10 * time.Second):
		t.Error("a console that stops to poll waits for the log")
	}
	delivered := make(chan struct{})
	running.Go(func() {
		h.Deliver(l.commit(1, 3))
		close(delivered)
	})
	select {
	case <-delivered:
	case <-time.After(10 * time.Second):
		t.Error("the writer waits for the log")
	}
	close(stalled.free)
	running.Wait()
	f.drain(s)
	wantSeqs(t, f, upTo(3))
	h.logger = slog.New(slog.DiscardHandler)
}
