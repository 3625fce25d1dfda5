package store

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"doorbell/internal/testrun"
)

// inBubble opens a store in virtual time; its writer runs once start is called.
func inBubble(t *testing.T, use func(s *Store, start func())) {
	t.Helper()
	testrun.Bubble(t, func(t *testing.T) {
		s, err := Open(t.Context(), Options{URL: "sqlite://" + filepath.Join(t.TempDir(), "d.db")})
		if err != nil {
			t.Fatal(err)
		}
		stop := s.Close
		use(s, func() { stop = startOnce(s) })
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestChecksShareOneWrite: any number of checks at once share one test write, at
// most one a second, and need none where something was just written.
func TestChecksShareOneWrite(t *testing.T) {
	inBubble(t, func(s *Store, start func()) {
		start()
		crowd := func() {
			t.Helper()
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if err := s.Check(context.Background()); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		crowd()
		first := s.probe.op
		if first == nil {
			t.Fatal("nothing was written")
		}
		crowd()
		if s.probe.op != first {
			t.Error("a second test write within one second")
		}
		time.Sleep(2 * probeEvery)
		if err := s.queue.do(context.Background(), func(tx *txn) error { return tx.exec(`update probes set body = '' where one = 1`) }); err != nil {
			t.Fatal(err)
		}
		crowd()
		if s.probe.op != first {
			t.Error("a test write, though a change had just been written")
		}
		time.Sleep(2 * probeEvery)
		crowd()
		if s.probe.op == first {
			t.Error("Check returned an old result")
		}
	})
}

// TestCheckOfAWriterThatHangs: Check returns an error in a bounded time, and an
// hour of checks leaves one write in the queue.
func TestCheckOfAWriterThatHangs(t *testing.T) {
	inBubble(t, func(s *Store, start func()) {
		for range 100 {
			began := time.Now()
			if err := s.Check(context.Background()); err == nil || time.Since(began) > probeWait {
				t.Fatalf("after %v: %v", time.Since(began), err)
			}
			time.Sleep(36 * time.Second)
		}
		if n := len(s.queue.ops); n != 1 {
			t.Errorf("%d writes are queued, want 1", n)
		}
		start() // the writer goes on
		time.Sleep(2 * probeEvery)
		if err := s.Check(context.Background()); err != nil {
			t.Errorf("after the writer went on: %v", err)
		}
	})
}

// TestReadyComesBack: after a failed batch nobody writes, because the node is out
// of rotation. The check notices by itself when the fault is over, and not before.
func TestReadyComesBack(t *testing.T) {
	inBubble(t, func(s *Store, start func()) {
		start()
		fault := func(on bool) {
			t.Helper()
			change := `drop trigger broken`
			if on {
				change = `create trigger broken before update on probes begin select raise(abort, 'no probes'); end`
			}
			if err := s.queue.do(context.Background(), func(tx *txn) error { return tx.exec(change) }); err != nil {
				t.Fatal(err)
			}
		}
		fault(true)
		lost := errors.New("the disk is gone")
		_ = s.queue.do(context.Background(), func(tx *txn) error { tx.broken = lost; return lost }) // as an I/O error does
		for range 5 {
			// A refused change and a change that only reads prove nothing about the
			// disk.
			_ = s.queue.do(context.Background(), func(*txn) error { return errSpent() })
			_ = s.queue.do(context.Background(), func(tx *txn) error { return tx.row(`select 1`).Scan(new(int)) })
			var tried *op
			for range 20 { // many probes within the second
				if s.Check(context.Background()) == nil {
					t.Error("ready while nothing can be written")
				}
				if tried == nil {
					tried = s.probe.op
				}
			}
			if s.probe.op != tried {
				t.Error("the failing test write was repeated within the second")
			}
			time.Sleep(2 * probeEvery)
		}
		fault(false)
		time.Sleep(2 * probeEvery)
		_ = s.queue.do(context.Background(), func(tx *txn) error { tx.broken = lost; return lost })
		if s.queue.lastFailure() == nil {
			t.Fatal("the failure was not noted")
		}
		if err := s.Check(context.Background()); err != nil || s.queue.lastFailure() != nil {
			t.Errorf("after the fault was over: %v", err)
		}
	})
}
