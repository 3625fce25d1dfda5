package store

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// inQueueBubble runs test with a store whose writer is busy with a change until
// release is called.
func inQueueBubble(t *testing.T, test func(t *testing.T, s *Store, release func())) {
	t.Helper()
	folder := t.TempDir()
	testrun.Bubble(t, func(t *testing.T) {
		s, err := Open(t.Context(), Options{URL: "sqlite://" + filepath.Join(folder, "d.db"), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		held, free := make(chan struct{}), make(chan struct{})
		go func() {
			_ = s.Write(context.Background(), func(doorbell.Tx) error { close(held); <-free; return nil })
		}()
		<-held
		release := sync.OnceFunc(func() { close(free) })
		test(t, s, release)
		release()
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestAFullQueueRefuses: a caller who waits too long for the writer is told to
// come again, and a refused change never runs.
func TestAFullQueueRefuses(t *testing.T) {
	inQueueBubble(t, func(t *testing.T, s *Store, release func()) {
		var mu sync.Mutex
		var ran []int
		const n = 2*maxQueued + 100 // more than the queue has room for
		start := time.Now()
		refused := make(chan error, n)
		for i := range n {
			go func() {
				refused <- s.Write(context.Background(), func(doorbell.Tx) error {
					mu.Lock()
					defer mu.Unlock()
					ran = append(ran, i)
					return nil
				})
			}()
		}
		for range n {
			err := <-refused
			if e, ok := err.(*doorbell.Error); !ok || e.Code != doorbell.Unavailable || e.RetryAfter == 0 { //nolint:errorlint // returned unwrapped
				t.Fatalf("a change that waits is answered %v, want unavailable and RetryAfter", err)
			}
		}
		if waited := time.Since(start); waited != queueWait {
			t.Errorf("the callers waited %v, want %v", waited, queueWait)
		}
		release()
		if err := s.Write(context.Background(), func(doorbell.Tx) error { return nil }); err != nil {
			t.Errorf("the next change: %v", err)
		}
		if len(ran) > 0 {
			t.Errorf("%d changes ran after their callers were told that nothing was changed", len(ran))
		}
	})
}

// TestACallerWhoLeaves: a caller who leaves before its turn withdraws the change;
// one whose change the writer has taken gets its result.
func TestACallerWhoLeaves(t *testing.T) {
	inQueueBubble(t, func(t *testing.T, s *Store, release func()) {
		ctx, leave := context.WithCancel(t.Context())
		ran := false
		answered := make(chan error, 1)
		go func() { answered <- s.Write(ctx, func(doorbell.Tx) error { ran = true; return nil }) }()
		synctest.Wait()
		leave()
		if err := <-answered; doorbell.CodeOf(err) != doorbell.Unavailable {
			t.Errorf("the caller who left got %v", err)
		}
		release()
		inside, goOn := make(chan struct{}), make(chan struct{})
		go func() {
			answered <- s.Write(context.Background(), func(doorbell.Tx) error { close(inside); <-goOn; return nil })
		}()
		<-inside
		time.Sleep(3 * queueWait) // a slow disk
		close(goOn)
		if err := <-answered; err != nil {
			t.Errorf("a change that was committed late is answered %v", err)
		}
		if ran {
			t.Error("the change of the caller who left ran")
		}
	})
}

// TestAPressOvertakes: a cook's press is in the next batch, however many API calls
// and payments wait; however many presses come, the calls go on.
func TestAPressOvertakes(t *testing.T) {
	inQueueBubble(t, func(t *testing.T, s *Store, release func()) {
		var mu sync.Mutex
		ran := map[string][]int{} // the positions at which each kind ran
		all := 0
		write := func(kind string, n int, how func(context.Context, func(doorbell.Tx) error) error) {
			for range n {
				go func() {
					_ = how(context.Background(), func(doorbell.Tx) error {
						mu.Lock()
						defer mu.Unlock()
						ran[kind] = append(ran[kind], all)
						all++
						return nil
					})
				}()
			}
			synctest.Wait()
		}
		write("api", 3*maxQueued, s.Write)
		write("money", maxQueued, s.WriteUrgent)
		write("press", maxQueued, s.WritePress)
		release()
		synctest.Wait()
		if all != 5*maxQueued {
			t.Fatalf("%d ran, want all %d", all, 5*maxQueued)
		}
		for kind, want := range map[string]int{"money": 1, "press": maxBatch, "api": maxBatch} {
			if first := ran[kind][0]; first > want {
				t.Errorf("the first %s ran as number %d, want at most %d", kind, first, want)
			}
		}
		if last := slices.Max(ran["money"]); last > maxQueued*4/3+maxBatch {
			t.Errorf("presses delayed a payment: the last ran as number %d", last)
		}
		if last := slices.Max(ran["press"]); last > 3*maxQueued {
			t.Errorf("calls delayed presses: the last ran as number %d", last)
		}
	})
}

// TestMoneyOvertakes: however many calls wait, a payment is in the next batch, and
// the lane of payments leaves room for the calls.
func TestMoneyOvertakes(t *testing.T) {
	inQueueBubble(t, func(t *testing.T, s *Store, release func()) {
		var mu sync.Mutex
		var order []string
		write := func(name string, how func(context.Context, func(doorbell.Tx) error) error) {
			go func() {
				_ = how(context.Background(), func(doorbell.Tx) error {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, name)
					return nil
				})
			}()
		}
		for range 3 * maxQueued { // fills the lane, and more wait for room
			write("api", s.Write)
		}
		synctest.Wait()
		const payments = 2 * maxBatch
		for i := range payments {
			write(fmt.Sprintf("pay %d", i), s.WriteUrgent)
		}
		synctest.Wait()
		release()
		synctest.Wait()
		last := 0
		for i, name := range order {
			if name != "api" {
				last = i
			}
		}
		first := slices.Index(order, "api")
		if len(order) != payments+3*maxQueued || last > payments*4/3+maxBatch || first > maxBatch {
			t.Errorf("%d ran; the last of %d payments as number %d, the first other call as number %d", len(order), payments, last, first)
		}
	})
}
