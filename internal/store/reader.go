package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// maxPrepared bounds the statements that are kept: what has a list in it, or
// filters put together, comes in some tens of shapes.
const maxPrepared = 200

// reader is the pool of reading connections. A statement is prepared once and
// kept: preparing took half of a small read's time.
type reader struct {
	db      *sql.DB
	dialect *dialect

	mu    sync.Mutex
	stmts map[string]*sql.Stmt
}

func newReader(db *sql.DB, d *dialect) *reader {
	return &reader{db: db, dialect: d, stmts: map[string]*sql.Stmt{}}
}

// kept is the statement, or nil where it is not prepared yet.
func (r *reader) kept(query string) *sql.Stmt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stmts[query]
}

// prepared is the statement, or nil where there are too many to keep it. It
// needs a connection: never call it with one in hand, for all may wait so, nor
// under the lock, for those who have one wait for that.
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
		return first, s.Close() //nolint:sqlclosecheck // the other one is kept
	}
	r.stmts[query] = s
	return s, nil
}

// prepare keeps statements for those who ask next.
func (r *reader) prepare(ctx context.Context, queries []string) {
	for _, query := range queries {
		// What was asked was answered without; the next one tries again.
		_, _ = r.prepared(ctx, query) //nolint:sqlclosecheck // kept
	}
}

func (r *reader) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := r.prepared(ctx, query) //nolint:sqlclosecheck // kept
	if err != nil {
		return nil, err
	}
	if s == nil {
		return r.db.QueryContext(ctx, r.dialect.rebind(query), args...)
	}
	return s.QueryContext(ctx, args...)
}

// one reads a single row; sql.ErrNoRows when there is none.
func (r *reader) one(ctx context.Context, query string, args ...any) scan {
	rows, err := r.query(ctx, query, args...) //nolint:rowserrcheck // Scan does
	return scan{rows, err}
}

// scan is a row that is yet to be read, or why there is none.
type scan struct {
	rows *sql.Rows
	err  error
}

// Scan is sql.Row's.
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
	for _, s := range r.stmts { // one that is open keeps its connection so
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, r.db.Close())...)
}

// snapshot is one read-only transaction. What it asks for the first time is
// prepared when it has given its connection back.
type snapshot struct {
	tx     *sql.Tx
	r      *reader
	wanted *[]string
}

func (s snapshot) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt := s.r.kept(query)
	if stmt == nil {
		*s.wanted = append(*s.wanted, query)
		return s.tx.QueryContext(ctx, s.r.dialect.rebind(query), args...)
	}
	return s.tx.StmtContext(ctx, stmt).QueryContext(ctx, args...) //nolint:sqlclosecheck // the transaction closes it
}

func (s snapshot) one(ctx context.Context, query string, args ...any) scan {
	rows, err := s.query(ctx, query, args...) //nolint:rowserrcheck // Scan does
	return scan{rows, err}
}
