package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"doorbell/internal/doorbell"
)

// txn is the open transaction on a writer's connection and implements doorbell.Tx.
// Statements are prepared once per connection.
type txn struct {
	conn    *sql.Conn
	dialect *dialect
	stmts   map[string]statement
	// ctx bounds the statements on a server. Statements on SQLite have no deadline:
	// a caller who leaves must not break the batch.
	ctx context.Context //nolint:containedctx // of the transaction that is open

	turns *turns           // nil where only one connection writes
	now   func() time.Time // the clock of all nodes

	// Of the current change:
	alerts []doorbell.Alert // what it appended
	wrote  bool             // it ran statements that write
	broken error            // after this error the transaction can't go on
	locked map[string]bool  // the names that it has locked

	links links // SQLite only: a server has other writers
}

// statement is a prepared statement.
type statement struct {
	*sql.Stmt
	reads bool
}

func newTxn(conn *sql.Conn, d *dialect) *txn {
	return &txn{conn: conn, dialect: d, stmts: map[string]statement{}, ctx: context.Background(), now: now}
}

// begins resets the state of the change before.
func (t *txn) begins() {
	t.broken, t.alerts, t.wrote = nil, nil, false
	clear(t.locked)
}

// note stores a failure that no savepoint undoes, even if the change ignores it.
func (t *txn) note(err error) error {
	if err == nil || t.broken != nil || errors.Is(err, sql.ErrNoRows) || t.dialect.goesOn && t.dialect.judge(err) == constraint {
		return err
	}
	t.broken = err
	return err
}

// prepare returns the prepared statement. After a failure that ended the
// transaction it returns an error: a statement that ran then would commit by
// itself.
func (t *txn) prepare(query string) (*sql.Stmt, error) {
	if t.broken != nil {
		return nil, t.broken
	}
	s, known := t.stmts[query]
	if !known {
		stmt, err := t.conn.PrepareContext(t.ctx, t.dialect.rebind(query))
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
	_, err := t.run(query, args...)
	return err
}

// affect runs a statement and returns how many rows it changed.
func (t *txn) affect(query string, args ...any) (int64, error) {
	res, err := t.run(query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (t *txn) run(query string, args ...any) (sql.Result, error) {
	args, err := t.dialect.bound(args)
	if err != nil {
		return nil, t.note(err)
	}
	s, err := t.prepare(query)
	if err != nil {
		return nil, err
	}
	res, err := s.ExecContext(t.ctx, args...)
	return res, t.note(err)
}

// scanner is a row, or the error instead.
type scanner struct {
	row *sql.Row
	err error
	t   *txn
}

// Scan implements sql.Row's Scan.
func (s scanner) Scan(to ...any) error {
	if s.err != nil {
		return s.err
	}
	return s.t.note(s.row.Scan(to...))
}

func (t *txn) row(query string, args ...any) scanner {
	args, err := t.dialect.bound(args)
	if err != nil {
		return scanner{err: t.note(err)}
	}
	s, err := t.prepare(query)
	if err != nil {
		return scanner{err: err}
	}
	return scanner{row: s.QueryRowContext(t.ctx, args...), t: t}
}

// each calls scan for every row.
func (t *txn) each(query string, args []any, scan func(*sql.Rows) error) error {
	args, err := t.dialect.bound(args)
	if err != nil {
		return t.note(err)
	}
	s, err := t.prepare(query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(t.ctx, args...)
	if err != nil {
		return t.note(err)
	}
	return t.note(scanRows(rows, scan))
}

// lock locks a name until the transaction ends.
func (t *txn) lock(class lockClass, name string) error {
	key := string(rune('0'+class)) + name
	if t.dialect.lockName == nil || t.locked[key] {
		return nil
	}
	if err := t.dialect.lockName(t, class, name); err != nil {
		return fmt.Errorf("lock %s: %w", name, err)
	}
	if t.locked == nil {
		t.locked = map[string]bool{}
	}
	t.locked[key] = true
	return nil
}

// discard closes the connection with whatever transaction is open on it.
func (t *txn) discard(log *slog.Logger) {
	// An unfinalized statement keeps SQLite's connection, its transaction and
	// its lock alive after the close.
	for _, s := range t.stmts {
		if err := s.Close(); err != nil && !gone(err) {
			log.Error("prepared statement not closed", "error", err)
		}
	}
	// Telling database/sql that the connection is bad makes it close it
	// instead of handing it out again.
	err := t.conn.Raw(func(any) error { return driver.ErrBadConn })
	if err != nil && !gone(err) {
		log.Error("writer connection not discarded", "error", err)
	}
}

// gone reports whether an error says that the connection is already closed.
func gone(err error) bool {
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone)
}

// eachRow calls scan for every row and closes them.
func eachRow(r rows, scan func(*sql.Rows) error) error {
	defer r.cancel()
	return scanRows(r.Rows, scan)
}

func scanRows(rows *sql.Rows, scan func(*sql.Rows) error) error {
	defer rows.Close() //nolint:errcheck // rows.Err reports it
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
