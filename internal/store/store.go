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
	"log/slog"
	"strings"
	"time"

	"doorbell/internal/doorbell"
)

var now = time.Now

// Options of Open.
type Options struct {
	// URL is sqlite://FILE.
	URL string
	// Publish is handed what a commit appended, in the order of seq for each
	// shop, from one goroutine, before the callers are answered. It must not
	// block. May be nil.
	Publish func([]doorbell.Alert)
	Log     *slog.Logger

	pragmas []string // further ones for the writer: tests make a disk small
}

// Store is one open database. Run must be running for writes to be answered.
type Store struct {
	dialect *dialect
	writes  *sql.DB
	reads   *reader
	writer  *groupWriter
	log     *slog.Logger
	lock    io.Closer // tells a restore that the database is in use
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
	scheme, _, _ := strings.Cut(o.URL, ":")
	switch scheme {
	case "sqlite":
	case "postgres", "postgresql", "mysql":
		return nil, fmt.Errorf("database.url: %s is not supported yet; use sqlite://FILE", scheme)
	default:
		return nil, fmt.Errorf("database.url: %q is not sqlite://FILE", scheme)
	}
	s, err := openSQLite(ctx, o)
	if err != nil {
		return nil, err
	}
	if _, err := s.writes.ExecContext(ctx, `insert into meta (name, value) values ('epoch', ?) on conflict (name) do nothing`, newEpoch()); err != nil {
		return nil, errors.Join(fmt.Errorf("draw the log's epoch: %w", err), s.Close())
	}
	return s, nil
}

func openPool(dsn string, conns int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// newEpoch is ten letters and digits, about 50 bits: two epochs of one
// installation never meet.
func newEpoch() string { return strings.ToLower(rand.Text()[:10]) }

// Run answers writes until ctx ends. What was queued by then is still written.
func (s *Store) Run(ctx context.Context) error { return s.writer.run(ctx) }

// Close ends the connections; Run must have returned, or never have started.
func (s *Store) Close() error {
	s.writer.stop()
	return errors.Join(s.reads.close(), s.writes.Close(), s.lock.Close())
}

// Write implements doorbell.Store.
func (s *Store) Write(ctx context.Context, change func(doorbell.Tx) error) error {
	return s.writer.do(ctx, func(t *txn) error { return change(t) })
}

// Check reports why the store can't serve: a read that fails, or a last write
// that did.
func (s *Store) Check(ctx context.Context) error {
	var one int
	if err := s.reads.one(ctx, `select 1`).Scan(&one); err != nil {
		return fmt.Errorf("read the database: %w", err)
	}
	return s.writer.lastFailure()
}

func unavailable(cause error) error {
	e := doorbell.Refuse(doorbell.Unavailable, "The database can't write just now; nothing was changed. Try again.",
		"数据库暂时无法写入，未做任何更改，请稍后重试。").Because(cause)
	e.RetryAfter = time.Second
	return e
}

// millis is how a time is kept; the zero time is 0.
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
