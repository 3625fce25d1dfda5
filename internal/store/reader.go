package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"
)

// readTime bounds one read, its rows included: a server that hangs must not block
// the audit of the heads, nor a node's heartbeats.
const readTime = 5 * time.Second

// maxPrepared bounds the statements that are kept: lists come in ten lengths, and
// filters in some tens of combinations.
const maxPrepared = 100

// reader is the pool of reading connections. Each statement is prepared once:
// preparing took half the time of a small read.
type reader struct {
	db      *sql.DB
	dialect *dialect

	mu    sync.Mutex
	stmts map[string]*sql.Stmt
}

func newReader(db *sql.DB, d *dialect) *reader {
	return &reader{db: db, dialect: d, stmts: map[string]*sql.Stmt{}}
}

// kept returns the prepared statement, or nil where it is not prepared yet.
func (r *reader) kept(query string) *sql.Stmt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stmts[query]
}

// prepared returns the prepared statement, or nil where too many are kept already.
// It needs a connection. Never call it while holding one, because all callers
// could wait for each other, nor under the lock, because callers with a connection
// wait for that.
func (r *reader) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if s := r.kept(query); s != nil {
		return s, nil
	}
	s, err := r.db.PrepareContext(ctx, r.dialect.rebind(query))
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if first := r.stmts[query]; first != nil || len(r.stmts) >= maxPrepared {
		return first, s.Close() //nolint:sqlclosecheck // the other goroutine's is used
	}
	r.stmts[query] = s
	return s, nil
}

// prepare prepares statements for later callers.
func (r *reader) prepare(ctx context.Context, queries []string) {
	for _, query := range queries {
		// A failure does no harm: this query was answered without, and the next one
		// tries again.
		_, _ = r.prepared(ctx, query) //nolint:sqlclosecheck // kept
	}
}

// rows are sql.Rows with a time limit for reading them.
type rows struct {
	*sql.Rows
	cancel context.CancelFunc
}

// Close ends the read and its timer.
func (r rows) Close() error {
	defer r.cancel()
	return r.Rows.Close()
}

// query returns rows, which the caller closes, as eachRow does.
func (r *reader) query(ctx context.Context, query string, args ...any) (rows, error) {
	args, err := r.dialect.bound(args)
	if err != nil {
		return rows{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, readTime)
	found, err := r.start(ctx, query, args) //nolint:rowserrcheck // the caller checks it
	if err != nil {
		cancel()
		return rows{}, err
	}
	return rows{found, cancel}, nil
}

func (r *reader) start(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	s, err := r.prepared(ctx, query) //nolint:sqlclosecheck // kept
	if err != nil {
		return nil, err
	}
	if s == nil {
		return r.db.QueryContext(ctx, r.dialect.rebind(query), args...)
	}
	return s.QueryContext(ctx, args...)
}

// one reads a single row; its Scan returns sql.ErrNoRows when there is none.
func (r *reader) one(ctx context.Context, query string, args ...any) scan {
	rows, err := r.query(ctx, query, args...)
	return scan{rows, err}
}

// scan is a row to be read, or the error instead.
type scan struct {
	rows rows
	err  error
}

// Scan implements sql.Row's Scan.
func (s scan) Scan(to ...any) (err error) {
	if s.err != nil {
		return s.err
	}
	defer func() { err = errors.Join(err, s.rows.Close()) }()
	if !s.rows.Next() {
		if err := s.rows.Err(); err != nil {
			return err
		}
		return sql.ErrNoRows
	}
	return s.rows.Scan(to...)
}

func (r *reader) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, s := range r.stmts { // an open statement keeps its connection open
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, r.db.Close())...)
}

// snapshot is one read-only transaction. A statement that it runs for the first
// time is prepared after the transaction has returned its connection.
type snapshot struct {
	tx     *sql.Tx
	r      *reader
	wanted *[]string
}

func (s snapshot) query(ctx context.Context, query string, args ...any) (rows, error) {
	args, err := s.r.dialect.bound(args)
	if err != nil {
		return rows{}, err
	}
	found, err := s.start(ctx, query, args) //nolint:rowserrcheck // the caller checks it
	return rows{found, func() {}}, err      // the transaction has its own time limit
}

func (s snapshot) start(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	stmt := s.r.kept(query)
	if stmt == nil {
		*s.wanted = append(*s.wanted, query)
		return s.tx.QueryContext(ctx, s.r.dialect.rebind(query), args...)
	}
	return s.tx.StmtContext(ctx, stmt).QueryContext(ctx, args...) //nolint:sqlclosecheck // the transaction closes it
}

func (s snapshot) one(ctx context.Context, query string, args ...any) scan {
	rows, err := s.query(ctx, query, args...)
	return scan{rows, err}
}
