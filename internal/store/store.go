// Package store keeps orders, the shops' logs, the callback inbox and the
// sessions in SQL. It implements doorbell.Store and transport.Log; one suite
// runs on every database.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"doorbell/internal/doorbell"
)

var now = time.Now

// Options are the arguments of Open.
type Options struct {
	// URL is sqlite://FILE, postgres://… or mysql://… (MySQL and MariaDB).
	URL string
	// Publish receives what a commit appended, in the order of seq for each shop,
	// one call after the other, before the callers get their answers. It must not
	// block. If a server's answer to a commit was lost, a later seq may come first,
	// or the lost one never: whoever follows a log reads the rest from it. May be
	// nil.
	Publish func([]doorbell.Alert)
	Log     *slog.Logger
	// Measures is told how long things took; nil: nobody is.
	Measures Measures
	// Beside says that another program's tables stand in the same database: ours
	// have names that begin with doorbell_. On MySQL and MariaDB only.
	Beside bool

	pragmas    []string         // further ones for SQLite's writer: tests limit the file's size
	migrations fs.FS            // of a server; tests use those of an older program
	clock      func() time.Time // this machine's; nil: time.Now
}

// Measures is told how long things took, after their commit. Its methods don't block.
type Measures interface {
	// Wrote is told how long a change took, from when it was handed in until its commit
	// or its refusal, in a lane: urgent, press, call or receipt.
	Wrote(lane string, took time.Duration)
	// Sounded is told when the first console sounded for an alert.
	Sounded(a doorbell.Alert, at time.Time)
}

// unmeasured is nobody who is told.
type unmeasured struct{}

// Wrote implements Measures.
func (unmeasured) Wrote(string, time.Duration) {}

// Sounded implements Measures.
func (unmeasured) Sounded(doorbell.Alert, time.Time) {}

// Waiting returns how many changes wait for the writer.
func (s *Store) Waiting() int { return s.queue.waiting() }

// Failing reports whether the last write failed.
func (s *Store) Failing() bool { return s.queue.lastFailure() != nil }

// Store is one open database. Writes are answered only while Run runs.
type Store struct {
	dialect  *dialect
	writes   *sql.DB
	reads    *reader
	searches *searches
	writer   writer
	queue    *queue // the writer's
	probe    prober
	clock    *clock
	log      *slog.Logger
	measures Measures

	holder      string // this process's name
	serverClock bool   // the database has a clock of its own

	// Only for SQLite:
	lock     io.Closer // shows a restore that the database is in use
	database string    // the file
	holding  *os.File  // locked while this process lives
}

// writer commits what is in its queue until ctx ends.
type writer interface {
	run(ctx context.Context) error
}

// Open opens the database, brings its schema up to date and draws the epoch of
// a new log.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Publish == nil {
		o.Publish = func([]doorbell.Alert) {}
	}
	if o.Measures == nil {
		o.Measures = unmeasured{}
	}
	open := openSQLite
	if onServer(o.URL) {
		open = openServer
	}
	s, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	s.measures, s.queue.measures = o.Measures, o.Measures
	insert := s.dialect.rebind(s.dialect.insertOr("meta", "name", "name, value"))
	for name, drawn := range map[string]string{"epoch": newEpoch(), "generation": newEpoch(), busKey: rand.Text()} {
		if _, err := s.writes.ExecContext(ctx, insert, name, drawn); err != nil {
			return nil, errors.Join(fmt.Errorf("draw the log's %s: %w", name, err), s.Close())
		}
	}
	return s, nil
}

// newEpoch returns ten random letters and digits, about 50 bits, so that an
// installation never draws the same epoch twice.
func newEpoch() string { return strings.ToLower(rand.Text()[:10]) }

// busKey is the name of BusKey's row in meta.
const busKey = "bus"

// BusKey returns the secret with which the nodes of this database seal their
// messages; others on the same broker don't know it.
func (s *Store) BusKey(ctx context.Context) ([]byte, error) {
	var key string
	if err := s.reads.one(ctx, `select value from meta where name = ?`, busKey).Scan(&key); err != nil {
		return nil, fmt.Errorf("read the bus's key: %w", err)
	}
	return []byte(key), nil
}

// Alone reports whether only this process can use the database, and no other node.
func (s *Store) Alone() bool { return !s.serverClock }

// Shared returns the secret that all nodes of this database have under a name: own
// if none has one yet.
func (s *Store) Shared(ctx context.Context, name, own string) (secret string, err error) {
	name = "secret " + name
	if _, err := s.writes.ExecContext(ctx, s.dialect.rebind(s.dialect.insertOr("meta", "name", "name, value")), name, own); err != nil {
		return "", fmt.Errorf("share the %s: %w", name, err)
	}
	if err := s.reads.one(ctx, `select value from meta where name = ?`, name).Scan(&secret); err != nil {
		return "", fmt.Errorf("read the %s: %w", name, err)
	}
	return secret, nil
}

// Run answers writes until ctx ends, and then still writes what is queued.
func (s *Store) Run(ctx context.Context) error {
	var keeping sync.WaitGroup
	defer keeping.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.serverClock {
		keeping.Go(func() { s.keepClock(ctx) })
	}
	return s.writer.run(ctx)
}

// Close ends the connections; Run must have returned, or never have started.
func (s *Store) Close() error {
	s.queue.stop()
	return errors.Join(s.reads.close(), s.writes.Close(), s.letGo())
}

// Write implements doorbell.Store.
func (s *Store) Write(ctx context.Context, change func(doorbell.Tx) error) error {
	return s.queue.do(ctx, func(t *txn) error { return change(t) })
}

// WriteUrgent implements doorbell.Store.
func (s *Store) WriteUrgent(ctx context.Context, change func(doorbell.Tx) error) error {
	return s.queue.wait(ctx, s.queue.urgent, func(t *txn) error { return change(t) })
}

// WritePress implements doorbell.Store.
func (s *Store) WritePress(ctx context.Context, change func(doorbell.Tx) error) error {
	return s.queue.wait(ctx, s.queue.presses, func(t *txn) error { return change(t) })
}

// crowded returns the error for a change that waited too long for the writer. The
// change did not run and will not, so the caller may repeat it.
func crowded() error {
	e := doorbell.Refuse(doorbell.Unavailable, "The database has more to write than it can just now; nothing was changed. Try again.",
		"数据库写入繁忙，未做任何更改，请稍后重试。").Because(errCrowded)
	e.RetryAfter = 2 * time.Second
	return e
}

var errCrowded = errors.New("the writer's queue is full")

func unavailable(cause error) error {
	e := doorbell.Refuse(doorbell.Unavailable, "The database can't write just now; nothing was changed. Try again.",
		"数据库暂时无法写入，未做任何更改，请稍后重试。").Because(cause)
	e.RetryAfter = time.Second
	return e
}

// millis returns a time as it is stored; the zero time is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
