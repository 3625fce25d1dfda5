package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"doorbell/internal/doorbell"
)

const (
	// maxQueued bounds the callers that wait in a lane; others wait until there is
	// room.
	maxQueued = 1024
	// queueWait bounds the wait for the writer, the wait for room included. It is
	// less than a payment provider waits (WeChat Pay 5 s) and than any client does.
	queueWait = 4 * time.Second
)

// queue holds the changes that wait for SQLite's one writer, or for the
// connections to a server. Its lanes keep one kind of caller from blocking the
// others: a payment waits for other payments only, a cook's press for payments and
// other presses, receipts for all.
type queue struct {
	ops      chan *op
	presses  chan *op
	urgent   chan *op
	receipts chan *op
	stopped  chan struct{}
	stopOne  sync.Once
	failed   atomic.Pointer[error] // of the last change; nil after a commit
	// committed is the time of the last commit; nil before the first one.
	committed atomic.Pointer[time.Time]
	measures  Measures // nil until the store is open
}

// op is one caller's change. Its context is checked before the change starts and
// never reaches a statement: a caller who leaves must not break the batch.
type op struct {
	ctx    context.Context //nolint:containedctx // the caller's, while the op waits
	change func(*txn) error
	state  atomic.Int32 // queued, taken or left
	result error
	alerts []doorbell.Alert
	wrote  bool // it ran statements that write
	done   chan struct{}
}

// The states of an op. Either the writer takes it or its caller gives it up, never
// both: a change whose caller was told that nothing happened never runs.
const (
	queued = iota
	taken
	left
)

func (o *op) take() bool  { return o.state.CompareAndSwap(queued, taken) }
func (o *op) leave() bool { return o.state.CompareAndSwap(queued, left) }

func newQueue() *queue {
	return &queue{
		ops: make(chan *op, maxQueued), presses: make(chan *op, maxQueued), urgent: make(chan *op, maxQueued), receipts: make(chan *op, maxQueued),
		stopped: make(chan struct{}),
	}
}

// do queues a change and waits for its commit.
func (q *queue) do(ctx context.Context, change func(*txn) error) error {
	return q.wait(ctx, q.ops, change)
}

// wait queues a change in a lane and waits for its commit, at most queueWait or
// until ctx ends, while the writer has not taken it. Once the writer has taken the
// change, wait waits for its end: the caller must learn what happened.
func (q *queue) wait(ctx context.Context, lane chan<- *op, change func(*txn) error) error {
	o := &op{ctx: ctx, change: change, done: make(chan struct{})}
	if q.measures != nil {
		began := time.Now()
		defer func() { q.measures.Wrote(q.nameOf(lane), time.Since(began)) }()
	}
	select {
	case <-q.stopped:
		return unavailable(errStopped)
	default:
	}
	timer := time.NewTimer(queueWait)
	defer timer.Stop()
	select {
	case lane <- o:
	case <-q.stopped:
		return unavailable(errStopped)
	case <-ctx.Done():
		return unavailable(ctx.Err())
	case <-timer.C:
		return crowded()
	}
	select {
	case <-o.done:
		return o.result
	case <-q.stopped:
	case <-ctx.Done():
		if o.leave() {
			return unavailable(ctx.Err())
		}
	case <-timer.C:
		if o.leave() {
			return crowded()
		}
	}
	select {
	case <-o.done:
		return o.result
	case <-q.stopped:
	}
	// The writer stopped: either it answered first, or it never took the change.
	select {
	case <-o.done:
		return o.result
	default:
		return unavailable(errStopped)
	}
}

// nameOf returns a lane's name for the figures. On SQLite, whose receipts share the
// lane of the calls, both are call.
func (q *queue) nameOf(lane chan<- *op) string {
	switch lane {
	case q.urgent:
		return "urgent"
	case q.presses:
		return "press"
	case q.ops:
		return "call"
	default:
		return "receipt"
	}
}

// waiting returns how many changes wait in the lanes.
func (q *queue) waiting() int {
	n := len(q.urgent) + len(q.presses) + len(q.ops)
	if q.receipts != q.ops {
		n += len(q.receipts)
	}
	return n
}

var errStopped = errors.New("the store is closed")

func (q *queue) stop() { q.stopOne.Do(func() { close(q.stopped) }) }

func (q *queue) lastFailure() error {
	if e := q.failed.Load(); e != nil {
		return *e
	}
	return nil
}

// fail stores that a write failed.
func (q *queue) fail(err error) { q.failed.Store(&err) }

// succeed stores that a write succeeded now.
func (q *queue) succeed() {
	at := time.Now()
	q.failed.Store(nil)
	q.committed.Store(&at)
}

// lane is the index of one of the queue's lanes.
type lane int

const (
	opsLane lane = iota
	pressLane
	urgentLane
	receiptLane
)

func (q *queue) lane(l lane) chan *op {
	return [...]chan *op{q.ops, q.presses, q.urgent, q.receipts}[l]
}

// first takes the next change from the first of these lanes that is not empty; nil
// if all are.
func (q *queue) first(lanes []lane) *op {
	for _, l := range lanes {
		select {
		case o := <-q.lane(l):
			return o
		default:
		}
	}
	return nil
}

// next waits for a change in one of these lanes, at most three. It returns nil
// when ctx has ended and the lanes are empty.
func (q *queue) next(ctx context.Context, lanes []lane) *op {
	var in [3]chan *op // a nil channel is never ready
	for i, l := range lanes {
		in[i] = q.lane(l)
	}
	select {
	case o := <-in[0]:
		return o
	case o := <-in[1]:
		return o
	case o := <-in[2]:
		return o
	case <-ctx.Done():
		return q.first(lanes)
	}
}
