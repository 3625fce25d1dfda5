package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"doorbell/internal/doorbell"
)

const (
	// maxBatch bounds one transaction, so that the first caller of a burst
	// does not wait for all of it.
	maxBatch = 256
	// maxQueued bounds the callers that wait; further ones wait for room until
	// their context ends.
	maxQueued = 1024
)

// groupWriter is SQLite's only writer: it runs what has queued as one
// transaction, so that one fsync serves all of it (64 callers went from 783 to
// 6,444 operations a second). Where a change wrote something and then failed,
// the batch is run again with a savepoint for each: that is rare, and a
// savepoint for every change took a tenth of the writer's CPU.
type groupWriter struct {
	db      *sql.DB
	dialect *dialect
	publish func([]doorbell.Alert)
	log     *slog.Logger

	ops     chan *op
	stopped chan struct{}
	stopOne sync.Once
	failed  atomic.Pointer[error] // the last batch's, nil after one that was committed

	conn *sql.Conn // owned by run
	txn  *txn      // on conn
}

// op is one caller's change. Its context is asked before it starts and never
// reaches a statement: a caller who leaves must not break the batch.
type op struct {
	ctx    context.Context //nolint:containedctx // a queued call
	change func(*txn) error
	result error
	alerts []doorbell.Alert
	done   chan struct{}
}

func newGroupWriter(db *sql.DB, d *dialect, publish func([]doorbell.Alert), log *slog.Logger) *groupWriter {
	return &groupWriter{
		db: db, dialect: d, publish: publish, log: log,
		ops: make(chan *op, maxQueued), stopped: make(chan struct{}),
	}
}

// do queues a change and waits for its commit. Once queued it waits whatever
// becomes of ctx: the answer must tell what happened.
func (w *groupWriter) do(ctx context.Context, change func(*txn) error) error {
	o := &op{ctx: ctx, change: change, done: make(chan struct{})}
	select {
	case <-w.stopped:
		return unavailable(errStopped)
	default:
	}
	select {
	case w.ops <- o:
	case <-w.stopped:
		return unavailable(errStopped)
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
	select {
	case <-o.done:
		return o.result
	case <-w.stopped:
	}
	// The writer stopped: either it answered first, or it never took the op.
	select {
	case <-o.done:
		return o.result
	default:
		return unavailable(errStopped)
	}
}

var errStopped = errors.New("the store is closed")

func (w *groupWriter) stop() { w.stopOne.Do(func() { close(w.stopped) }) }

func (w *groupWriter) lastFailure() error {
	if e := w.failed.Load(); e != nil {
		return *e
	}
	return nil
}

func (w *groupWriter) run(ctx context.Context) error {
	defer w.stop()
	defer w.discard()
	batch := make([]*op, 0, maxBatch)
	for {
		select {
		case o := <-w.ops:
			batch = w.fill(append(batch[:0], o))
			w.write(batch)
		case <-ctx.Done():
			// Callers that queued before the end are still served.
			for batch = w.fill(batch[:0]); len(batch) > 0; batch = w.fill(batch[:0]) {
				w.write(batch)
			}
			return nil
		}
	}
}

// fill takes what has queued by now.
func (w *groupWriter) fill(batch []*op) []*op {
	for len(batch) < maxBatch {
		select {
		case o := <-w.ops:
			batch = append(batch, o)
		default:
			return batch
		}
	}
	return batch
}

// write commits a batch, hands its alerts on and answers the callers, in this
// order. After a failure that is not one caller's own nothing is published and
// everybody is told to come again.
func (w *groupWriter) write(batch []*op) {
	err := w.commit(batch)
	if err != nil {
		w.discard()
		w.failed.Store(&err)
		w.log.Error("batch not written", "operations", len(batch), "error", err)
		for _, o := range batch {
			o.result = unavailable(err)
		}
	} else {
		w.failed.Store(nil)
		var alerts []doorbell.Alert
		for _, o := range batch {
			if o.result == nil {
				alerts = append(alerts, o.alerts...)
			}
		}
		if len(alerts) > 0 {
			w.publish(alerts)
		}
	}
	for _, o := range batch {
		close(o.done)
	}
}

// commit runs the batch in one transaction. Any error that it returns leaves
// the connection unfit: SQLITE_FULL, IOERR and NOMEM roll the whole
// transaction back by themselves, after which the next statement would commit
// by itself.
func (w *groupWriter) commit(batch []*op) error {
	if err := w.connect(); err != nil {
		return err
	}
	err := w.attempt(batch, w.runOne)
	if errors.Is(err, errUndo) {
		if err := w.txn.exec(`rollback`); err != nil {
			return fmt.Errorf("roll back to run again: %w", err)
		}
		err = w.attempt(batch, w.runInSavepoint)
	}
	return err
}

// errUndo says that a change failed after it had written.
var errUndo = errors.New("a change has to be undone")

func (w *groupWriter) attempt(batch []*op, one func(*op) error) error {
	if err := w.txn.exec(`begin immediate`); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	for _, o := range batch {
		if err := o.ctx.Err(); err != nil {
			o.result = unavailable(err)
			continue
		}
		if err := one(o); err != nil {
			return err
		}
	}
	if err := w.txn.exec(`commit`); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// runOne runs one change, whose refusal goes to o.result. What runOne returns
// ends the batch.
func (w *groupWriter) runOne(o *op) error {
	t := w.txn
	t.broken, t.alerts, t.wrote = nil, nil, false
	o.result = guarded(o.change, t)
	if t.broken != nil {
		return t.broken
	}
	if o.result != nil && t.wrote {
		return errUndo
	}
	o.alerts = t.alerts
	return nil
}

// runInSavepoint is runOne where a change that fails is undone.
func (w *groupWriter) runInSavepoint(o *op) error {
	t := w.txn
	if err := t.exec(`savepoint op`); err != nil {
		return fmt.Errorf("savepoint: %w", err)
	}
	if err := w.runOne(o); errors.Is(err, errUndo) {
		if err := t.exec(`rollback to op`); err != nil {
			return fmt.Errorf("roll back to the savepoint: %w", err)
		}
	} else if err != nil {
		return err
	}
	if err := t.exec(`release op`); err != nil {
		return fmt.Errorf("release the savepoint: %w", err)
	}
	return nil
}

// guarded turns a panic of one change into a failure of its batch: a callback
// that trips a rule must not take the server down at every retry.
func guarded(change func(*txn) error, t *txn) (err error) {
	defer func() {
		if p := recover(); p != nil {
			t.broken = fmt.Errorf("panic in a change: %v\n%s", p, debug.Stack())
		}
	}()
	return change(t)
}

func (w *groupWriter) connect() error {
	if w.conn != nil {
		return nil
	}
	c, err := w.db.Conn(context.Background())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	w.conn = c
	w.txn = &txn{conn: c, dialect: w.dialect, stmts: map[string]statement{}}
	return nil
}

// discard throws the connection away, with whatever transaction is open on it.
func (w *groupWriter) discard() {
	if w.conn == nil {
		return
	}
	// An unfinalized statement keeps SQLite's connection, its transaction and
	// its lock alive after the close.
	for _, s := range w.txn.stmts {
		if err := s.Close(); err != nil {
			w.log.Error("close a statement", "error", err)
		}
	}
	// Telling database/sql that the connection is bad makes it close it
	// instead of handing it out again.
	err := w.conn.Raw(func(any) error { return driver.ErrBadConn })
	if err != nil && !errors.Is(err, driver.ErrBadConn) {
		w.log.Error("discard the writer's connection", "error", err)
	}
	w.conn, w.txn = nil, nil
}
