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

// prepared is the statement, or nil where there are too many to keep it.
func (r *reader) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.stmts[query]; s != nil {
		return s, nil
	}
	if len(r.stmts) >= maxPrepared {
		return nil, nil //nolint:nilnil // it is run without
	}
	s, err := r.db.PrepareContext(ctx, r.dialect.rebind(query)) //nolint:sqlclosecheck // close does
	if err == nil {
		r.stmts[query] = s
	}
	return s, err
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

// snapshot is one read-only transaction.
type snapshot struct {
	tx *sql.Tx
	r  *reader
}

func (s snapshot) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := s.r.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	if stmt == nil {
		return s.tx.QueryContext(ctx, s.r.dialect.rebind(query), args...)
	}
	return s.tx.StmtContext(ctx, stmt).QueryContext(ctx, args...) //nolint:sqlclosecheck // the transaction closes it
}

func (s snapshot) one(ctx context.Context, query string, args ...any) scan {
	rows, err := s.query(ctx, query, args...) //nolint:rowserrcheck // Scan does
	return scan{rows, err}
}
