package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"doorbell/internal/doorbell"
)

const (
	// changeTime bounds one change with its repetitions, from when a connection
	// takes it.
	changeTime = 4 * time.Second
	// maxRuns bounds how often a change runs that collides with others.
	maxRuns = 12
	// maxSame bounds the runs of a change whose row already exists: the second run
	// normally finds and reads it. A change that still inserts it gets the
	// constraint error.
	maxSame = 3
	// firstPause is the longest wait before a change's second run; the bound doubles
	// each time, up to longestPause.
	firstPause   = 4 * time.Millisecond
	longestPause = 250 * time.Millisecond
)

// crew lists, for each writing connection, the lanes that it takes changes from,
// in order of preference. Four connections serve payments only and two receipts
// only; two prefer other lanes to payments, so that no lane ever stands still.
var crew = [][]lane{
	{urgentLane},
	{urgentLane},
	{urgentLane},
	{urgentLane},
	{pressLane, urgentLane},
	{pressLane, urgentLane},
	{urgentLane, pressLane, opsLane},
	{urgentLane, pressLane, opsLane},
	{urgentLane, pressLane, opsLane},
	{urgentLane, pressLane, opsLane},
	{urgentLane, pressLane, opsLane},
	{urgentLane, pressLane, opsLane},
	{opsLane, pressLane, urgentLane},
	{opsLane, pressLane, urgentLane},
	{receiptLane},
	{receiptLane},
}

// poolWriter writes to a server: one of a few connections runs each change in a
// transaction of its own. The server itself makes one fsync serve several commits;
// batches like SQLite's would lock the heads of many shops at once, and deadlock
// with those of other nodes.
type poolWriter struct {
	*queue
	db      *sql.DB
	dialect *dialect
	log     *slog.Logger
	turns   *turns
	clock   *clock

	publishing sync.Mutex
	publish    func([]doorbell.Alert)

	again     atomic.Int64 // runs repeated after a deadlock, or after a lock was waited for too long
	deadlocks atomic.Int64 // as the server reported them
}

func newPoolWriter(db *sql.DB, d *dialect, c *clock, publish func([]doorbell.Alert), log *slog.Logger) *poolWriter {
	return &poolWriter{queue: newQueue(), db: db, dialect: d, log: log, publish: publish, turns: newTurns(), clock: c}
}

// run implements writer.
func (w *poolWriter) run(ctx context.Context) error {
	defer w.stop()
	var working sync.WaitGroup
	for _, lanes := range crew {
		working.Go(func() { w.work(ctx, lanes) })
	}
	working.Wait()
	return nil
}

// work takes changes from its lanes until ctx ends. Changes that were queued
// before the end are still run.
func (w *poolWriter) work(ctx context.Context, lanes []lane) {
	s := &writeSession{w: w}
	defer s.discard()
	for {
		o := w.first(lanes)
		if o == nil {
			o = w.next(ctx, lanes)
		}
		if o == nil {
			return
		}
		if !o.take() {
			continue
		}
		w.serve(s, o)
		close(o.done)
	}
}

// serve runs a change until it is committed, refused, or out of time.
func (w *poolWriter) serve(s *writeSession, o *op) {
	if err := o.ctx.Err(); err != nil {
		o.result = unavailable(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(o.ctx), changeTime)
	defer cancel()
	pause, same := firstPause, 0
	for run := 1; ; run++ {
		err := s.attempt(ctx, o)
		if err == nil {
			return
		}
		kind := w.dialect.judge(err)
		if kind == constraint {
			if same++; same >= maxSame && o.result != nil {
				return // the change's own refusal
			}
		}
		switch kind {
		case deadlocked:
			w.deadlocks.Add(1)
			w.again.Add(1)
		case collision:
			w.again.Add(1)
		case unfit:
			o.result = unfitText(err)
			return
		default:
		}
		if !kind.passes() || errors.Is(err, errOutcome) || run >= maxRuns && kind != disconnected || !sleep(ctx, rand.N(pause)) {
			w.fail(err)
			w.log.ErrorContext(ctx, "change not written", "runs", run, "error", err)
			o.result = unavailable(err)
			if errors.Is(err, errOutcome) {
				o.result = unknown(err)
			}
			return
		}
		pause = min(2*pause, longestPause)
	}
}

// unfitText returns the error for a text that the database can't store.
func unfitText(cause error) error {
	if e, ok := errors.AsType[*doorbell.Error](cause); ok {
		return e
	}
	return doorbell.Refuse(doorbell.Invalid, "A text has characters that can't be kept, or too many of them.", "文本包含无法保存的字符，或过长。").Because(cause)
}

// sleep returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// handOn publishes what a commit appended, after everything that was committed
// before it to the same shops.
func (w *poolWriter) handOn(alerts []doorbell.Alert) {
	if len(alerts) == 0 {
		return
	}
	w.turns.wait(alerts)
	w.publishing.Lock()
	w.publish(alerts)
	w.publishing.Unlock()
}

// errOutcome says that a commit got no answer.
var errOutcome = errors.New("the server did not answer the commit")

// unknown returns the error for a change that may have been written or not.
func unknown(cause error) error {
	e := doorbell.Refuse(doorbell.Unavailable, "The database did not say whether it was written; look before you try again.",
		"数据库未确认是否已写入，请先查看再重试。").Because(cause)
	e.RetryAfter = time.Second
	return e
}

// writeSession is one writing connection, opened when it is first needed.
type writeSession struct {
	w    *poolWriter
	conn *sql.Conn
	txn  *txn
}

func (s *writeSession) connect(ctx context.Context) error {
	if s.conn != nil {
		return nil
	}
	c, err := s.w.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	s.conn, s.txn = c, newTxn(c, s.w.dialect)
	s.txn.turns, s.txn.now = s.w.turns, s.w.clock.now
	return nil
}

func (s *writeSession) discard() {
	if s.conn != nil {
		s.txn.discard(s.w.log)
		s.conn, s.txn = nil, nil
	}
}

// attempt runs a change in one transaction. The change's refusal goes to o.result;
// an error that attempt returns means that the transaction failed.
func (s *writeSession) attempt(ctx context.Context, o *op) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	t := s.txn
	t.begins()
	t.ctx = ctx
	if _, err := s.conn.ExecContext(ctx, s.w.dialect.begin); err != nil {
		s.discard()
		return fmt.Errorf("begin: %w", err)
	}
	o.result = guarded(o.change, t)
	if t.broken != nil || o.result != nil || !t.wrote {
		s.w.turns.done(t.alerts) // before others can see the seq
		return s.giveUp(ctx)
	}
	defer s.w.turns.done(t.alerts)
	if _, err := s.conn.ExecContext(ctx, `commit`); err != nil {
		s.discard()
		switch s.w.dialect.judge(err) {
		case collision, deadlocked, constraint, readOnly:
			return fmt.Errorf("commit: %w", err)
		default:
			return fmt.Errorf("%w: %w", errOutcome, err)
		}
	}
	s.w.succeed()
	s.w.handOn(t.alerts)
	return nil
}

// giveUp rolls back a transaction that wrote nothing, was refused, or is broken.
// If the rollback fails, the connection is not used again.
func (s *writeSession) giveUp(ctx context.Context) error {
	broken := s.txn.broken
	if broken != nil {
		switch s.w.dialect.judge(broken) {
		case collision, deadlocked, constraint, unfit:
		default:
			s.discard()
			return broken
		}
	}
	if _, err := s.conn.ExecContext(ctx, `rollback`); err != nil {
		s.discard()
	}
	return broken
}
