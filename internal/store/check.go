package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// probeEvery is the least time between two test writes; checks in between get
	// the last result.
	probeEvery = time.Second
	// probeWait is how long a check waits for its write: as long as WeChat Pay
	// waits for the answer to a callback (5 s), with room for the way.
	probeWait = 3 * time.Second
	// probeBytes is the size of a test write after a failed write. It is larger than
	// an order, so that a disk with room for one page does not pass the check.
	probeBytes = 64 << 10
)

// prober writes a test row for readiness checks. The end of a failure must be
// found without a customer's order, because a node that was taken out of rotation
// receives none.
type prober struct {
	mu    sync.Mutex
	op    *op // the last test write, or the one under way
	began time.Time
}

// Check returns why the store can't serve: a read or a write that fails. If
// nothing was committed within the last second it writes a test row, at most once
// a second for all callers.
func (s *Store) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	var one int
	if err := s.reads.one(ctx, `select 1`).Scan(&one); err != nil {
		return fmt.Errorf("read the database: %w", err)
	}
	if at := s.queue.committed.Load(); at != nil && time.Since(*at) < probeEvery && s.queue.lastFailure() == nil {
		return nil
	}
	o, err := s.probed()
	if err != nil {
		return err
	}
	select {
	case <-o.done:
		return o.result
	case <-s.queue.stopped:
		return errStopped
	case <-ctx.Done():
		return fmt.Errorf("a test write has not finished within %v", time.Since(s.probe.since()).Round(time.Millisecond))
	}
}

func (p *prober) since() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.began
}

// probed returns the test write under way, or the last one while it is fresh, or
// starts a new one. While one hangs no further ones are started.
func (s *Store) probed() (*op, error) {
	p := &s.probe
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.op != nil {
		select {
		case <-p.op.done:
			if time.Since(p.began) < probeEvery {
				return p.op, nil
			}
		default:
			return p.op, nil
		}
	}
	size := 1
	if s.queue.lastFailure() != nil {
		size = probeBytes
	}
	o := &op{ctx: context.Background(), done: make(chan struct{}), change: func(t *txn) error {
		body := make([]byte, size)
		if _, err := rand.Read(body); err != nil {
			return err
		}
		return t.exec(`update probes set body = ? where one = 1`, body)
	}}
	select {
	case s.queue.ops <- o:
		p.op, p.began = o, time.Now()
		return o, nil
	default:
		return nil, errors.New("the writer's queue is full")
	}
}
