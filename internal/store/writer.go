package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"

	"doorbell/internal/doorbell"
)

// maxBatch bounds one transaction, so that the first caller of a burst does not
// wait for the whole burst.
const maxBatch = 256

// groupWriter is SQLite's only writer: it runs all queued changes as one
// transaction, so that one fsync serves them (64 callers went from 783 to 6,444
// operations a second). If a change wrote something and then failed, the batch
// runs again with a savepoint for each change: that is rare, and a savepoint for
// every change took a tenth of the writer's CPU.
type groupWriter struct {
	*queue
	db      *sql.DB
	dialect *dialect
	publish func([]doorbell.Alert)
	log     *slog.Logger

	conn *sql.Conn // owned by run
	txn  *txn      // on conn
}

func newGroupWriter(db *sql.DB, d *dialect, publish func([]doorbell.Alert), log *slog.Logger) *groupWriter {
	q := newQueue()
	q.receipts = q.ops // receipts share the fsync of the others
	return &groupWriter{queue: q, db: db, dialect: d, publish: publish, log: log}
}

func (w *groupWriter) run(ctx context.Context) error {
	defer w.stop()
	defer w.discard()
	batch := make([]*op, 0, maxBatch)
	for {
		batch = batch[:0]
		select {
		case o := <-w.urgent:
			batch = taking(batch, o)
		case o := <-w.presses:
			batch = taking(batch, o)
		case o := <-w.ops:
			batch = taking(batch, o)
		case <-ctx.Done():
			// Changes that were queued before the end are still run.
			for batch = w.fill(batch); len(batch) > 0; batch = w.fill(batch[:0]) {
				w.write(batch)
			}
			return nil
		}
		if batch = w.fill(batch); len(batch) > 0 {
			w.write(batch)
		}
	}
}

// taking adds a change whose caller still waits for it.
func taking(batch []*op, o *op) []*op {
	if o.take() {
		batch = append(batch, o)
	}
	return batch
}

// fill takes the queued changes: payments first, then presses. It leaves a quarter
// of a batch to those after payments, and half of that to those after presses, so
// that a device that presses without end delays nobody.
func (w *groupWriter) fill(batch []*op) []*op {
	batch = drain(batch, w.urgent, maxBatch-maxBatch/4)
	batch = drain(batch, w.presses, max(len(batch), maxBatch/2)+maxBatch/8)
	batch = drain(batch, w.ops, maxBatch)
	batch = drain(batch, w.urgent, maxBatch)
	return drain(batch, w.presses, maxBatch)
}

// drain takes changes from a lane until it is empty or the batch has upTo.
func drain(batch []*op, lane <-chan *op, upTo int) []*op {
	for len(batch) < upTo {
		select {
		case o := <-lane:
			batch = taking(batch, o)
		default:
			return batch
		}
	}
	return batch
}

// write commits a batch, publishes its alerts and answers the callers, in this
// order. After a failure that is not one caller's own, nothing is published and
// all callers are told to retry.
func (w *groupWriter) write(batch []*op) {
	err := w.commit(batch)
	if err != nil {
		w.discard()
		w.fail(err)
		w.log.Error("batch not written", "operations", len(batch), "error", err)
		for _, o := range batch {
			o.result = unavailable(err)
		}
	} else {
		// A batch that only read or was refused proves nothing about the disk: its
		// commit succeeds on a full one, and a stranger's invalid ticket would make
		// the node ready.
		if slices.ContainsFunc(batch, func(o *op) bool { return o.wrote && o.result == nil }) {
			w.succeed()
		}
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

// commit runs the batch in one transaction. Any error that it returns makes the
// connection unusable: SQLITE_FULL, IOERR and NOMEM roll the whole transaction
// back by themselves, and the next statement would commit by itself.
func (w *groupWriter) commit(batch []*op) error {
	if err := w.connect(); err != nil {
		return err
	}
	err := w.attempt(batch, w.runOne)
	if errors.Is(err, errUndo) {
		if err := w.txn.exec(`rollback`); err != nil {
			return fmt.Errorf("roll back to run again: %w", err)
		}
		w.txn.links.forget()
		err = w.attempt(batch, w.runInSavepoint)
	}
	return err
}

// errUndo says that a change failed after it had written.
var errUndo = errors.New("a change must be undone")

func (w *groupWriter) attempt(batch []*op, one func(*op) error) error {
	if err := w.txn.exec(`begin immediate`); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	w.txn.links.epoch = "" // another process may have changed it
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

// runOne runs one change; its refusal goes to o.result. An error that runOne
// returns ends the batch.
func (w *groupWriter) runOne(o *op) error {
	t := w.txn
	t.begins()
	o.result = guarded(o.change, t)
	if t.broken != nil {
		return t.broken
	}
	if o.result != nil && t.wrote {
		return errUndo
	}
	o.alerts, o.wrote = t.alerts, t.wrote
	return nil
}

// runInSavepoint runs one change as runOne does, and undoes it if it fails.
func (w *groupWriter) runInSavepoint(o *op) error {
	t := w.txn
	if err := t.exec(`savepoint op`); err != nil {
		return fmt.Errorf("savepoint: %w", err)
	}
	if err := w.runOne(o); errors.Is(err, errUndo) {
		if err := t.exec(`rollback to op`); err != nil {
			return fmt.Errorf("roll back to the savepoint: %w", err)
		}
		t.links.forget()
	} else if err != nil {
		return err
	}
	if err := t.exec(`release op`); err != nil {
		return fmt.Errorf("release the savepoint: %w", err)
	}
	return nil
}

// guarded turns a panic in a change into a failure of its batch: a callback that
// causes a panic must not crash the server at every retry.
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
	w.txn = newTxn(c, w.dialect)
	return nil
}

// discard closes the connection with whatever transaction is open on it.
func (w *groupWriter) discard() {
	if w.conn == nil {
		return
	}
	w.txn.discard(w.log)
	w.conn, w.txn = nil, nil
}
