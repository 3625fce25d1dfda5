package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"doorbell/internal/doorbell"
)

// txn is the open transaction on the writer's connection; it implements
// doorbell.Tx. Statements are prepared once per connection.
type txn struct {
	conn    *sql.Conn
	dialect *dialect
	stmts   map[string]statement

	// Of the change that runs:
	alerts []doorbell.Alert // what it appended
	wrote  bool             // it ran more than reads
	broken error            // a failure after which this transaction can't go on
}

// statement is one that was prepared.
type statement struct {
	*sql.Stmt
	reads bool
}

// note keeps a failure that no savepoint undoes, whatever the change makes of it.
func (t *txn) note(err error) error {
	if err != nil && !errors.Is(err, sql.ErrNoRows) && !t.dialect.undoable(err) && t.broken == nil {
		t.broken = err
	}
	return err
}

// prepare returns the statement to be run. After a failure that ended the
// transaction there is none: what ran then would be committed by itself.
func (t *txn) prepare(query string) (*sql.Stmt, error) {
	if t.broken != nil {
		return nil, t.broken
	}
	s, known := t.stmts[query]
	if !known {
		stmt, err := t.conn.PrepareContext(context.Background(), t.dialect.rebind(query))
		if err != nil {
			return nil, t.note(fmt.Errorf("prepare: %w", err))
		}
		s = statement{stmt, strings.HasPrefix(query, "select ")}
		t.stmts[query] = s
	}
	t.wrote = t.wrote || !s.reads
	return s.Stmt, nil
}

func (t *txn) exec(query string, args ...any) error {
	_, err := t.affect(query, args...)
	return err
}

// affect runs a statement and returns how many rows it changed.
func (t *txn) affect(query string, args ...any) (int64, error) {
	s, err := t.prepare(query)
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, t.note(err)
	}
	return res.RowsAffected()
}

// scanner is a row, or why there is none.
type scanner struct {
	row *sql.Row
	err error
	t   *txn
}

// Scan is sql.Row's.
func (s scanner) Scan(to ...any) error {
	if s.err != nil {
		return s.err
	}
	return s.t.note(s.row.Scan(to...))
}

func (t *txn) row(query string, args ...any) scanner {
	s, err := t.prepare(query)
	if err != nil {
		return scanner{err: err}
	}
	return scanner{row: s.QueryRowContext(context.Background(), args...), t: t}
}

// each calls scan for every row.
func (t *txn) each(query string, args []any, scan func(*sql.Rows) error) error {
	s, err := t.prepare(query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(context.Background(), args...)
	if err != nil {
		return t.note(err)
	}
	return t.note(eachRow(rows, scan))
}

func eachRow(rows *sql.Rows, scan func(*sql.Rows) error) error {
	defer rows.Close() //nolint:errcheck // Err below has it
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
