package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"doorbell/internal/doorbell"
)

const (
	// movedRow is meta's name of where a database was moved to. It does not open again.
	movedRow = "moved_to"
	// moveRows and moveBytes bound one insert.
	moveRows  = 200
	moveBytes = 1 << 20
)

// notMoved are the tables whose rows mean nothing elsewhere: who holds a lease, which
// node has consoles, what a check of readiness writes.
var notMoved = []string{"attention", "leases", "probes"}

var discarded = slog.New(slog.DiscardHandler)

// ErrNotEmpty is in the chain of Move's error when the target has rows already.
var ErrNotEmpty = errors.New("the target is not empty; give it an empty database")

// Moved counts the rows that Move copied.
type Moved struct {
	Table string
	Rows  int
}

// Move copies an SQLite database, which nobody may have open, into an empty database
// on a server, all of it or nothing. The log keeps its epoch, its numbers and the
// nonces of its alerts, so consoles go on from their cursors. The source stays as it
// was, but no server opens it again: two logs with one epoch would tell a console
// two different alerts by one number.
func Move(ctx context.Context, from, to string) (counts []Moved, err error) {
	file, err := SQLitePath(from)
	if err != nil {
		return nil, fmt.Errorf("the source: %w", err)
	}
	target, err := serverOf(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("the target: %w", err)
	}
	if err := upgradeSource(ctx, from, file); err != nil {
		return nil, err
	}
	lock, err := lockFile(file, exclusive)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	source, err := openSQLitePool(sqliteDSN(file), 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if err := target.prepare(ctx, Options{URL: to, Log: discarded}); err != nil {
		return nil, fmt.Errorf("the target: %w", err)
	}
	if counts, err = target.fill(ctx, source); err != nil {
		return nil, err
	}
	_, err = source.ExecContext(ctx, `insert into meta (name, value) values (?, ?)`, movedRow, SafeURL(to))
	if err != nil {
		return counts, fmt.Errorf("everything was copied, but the source could not be marked as moved: don't start a server on it again: %w", err)
	}
	return counts, nil
}

// upgradeSource brings the source to this program's schema, which the target has.
func upgradeSource(ctx context.Context, from, file string) error {
	if _, err := os.Stat(file); err != nil {
		return err // opening a missing file would create it
	}
	lock, err := lockFile(file, exclusive) // in use: nothing is changed
	if err != nil {
		return err
	}
	if err := lock.Close(); err != nil {
		return err
	}
	s, err := Open(ctx, Options{URL: from})
	if err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	return s.Close()
}

// checkMoved refuses an SQLite database that was moved.
func checkMoved(ctx context.Context, db *sql.DB) error {
	var to string
	switch err := db.QueryRowContext(ctx, `select value from meta where name = ?`, movedRow).Scan(&to); {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("read whether the database was moved: %w", err)
	}
	return fmt.Errorf("this database was moved to %s: set database.url to that one", to)
}

// fill copies the source in one transaction.
func (v *server) fill(ctx context.Context, source *sql.DB) (counts []Moved, err error) {
	db := v.pool(false, 1)
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	t := newTxn(conn, v.dialect)
	t.ctx = ctx
	defer t.discard(discarded)
	if _, err := conn.ExecContext(ctx, v.dialect.begin); err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	for _, table := range movedTables() {
		if err := mustBeEmpty(t, table); err != nil {
			return nil, err
		}
		m := mover{t: t, table: table}
		if err := m.copy(ctx, source); err != nil {
			return nil, fmt.Errorf("copy %s: %w", table, err)
		}
		counts = append(counts, Moved{table, m.copied})
	}
	if err := moveCounters(ctx, t, source); err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, `commit`); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return counts, nil
}

// movedTables returns the tables that are copied, meta first: a second move, or a
// server that starts, waits at its rows.
func movedTables() []string {
	out := []string{"meta"}
	for _, name := range ownTables {
		if name != "meta" && !slices.Contains(notMoved, name) {
			out = append(out, name)
		}
	}
	return out
}

func mustBeEmpty(t *txn, table string) error {
	var there bool
	if err := t.row(`select exists (select 1 from ` + table + `)`).Scan(&there); err != nil {
		return fmt.Errorf("look whether %s is empty: %w", table, err)
	}
	if there {
		return fmt.Errorf("%w: there are rows in %s", ErrNotEmpty, table)
	}
	return nil
}

// mover copies one table, many rows with each insert.
type mover struct {
	t      *txn
	table  string
	places string // of one row
	insert string
	args   []any
	rows   int // in args
	bytes  int
	copied int
}

func (m *mover) copy(ctx context.Context, source *sql.DB) error {
	rows, err := source.QueryContext(ctx, `select * from `+m.table) //nolint:unqueryvet,gosec // whatever columns both have: TestSameSchema; the tables are our own list
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Err below has it
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	m.insert = `insert into ` + m.table + ` (` + strings.Join(columns, ", ") + `) values `
	m.places = "(" + strings.Repeat(", ?", len(columns))[2:] + ")"
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := m.add(values); err != nil {
			return fmt.Errorf("after %d rows: %w", m.copied, err)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return m.flush()
}

func (m *mover) add(values []any) error {
	for _, v := range values {
		switch v := v.(type) {
		case string:
			m.bytes += len(v)
		case []byte:
			m.bytes += len(v)
		}
	}
	m.args = append(m.args, values...)
	m.rows++
	if m.rows < moveRows && m.bytes < moveBytes {
		return nil
	}
	return m.flush()
}

func (m *mover) flush() error {
	if m.rows == 0 {
		return nil
	}
	args, err := m.t.dialect.bound(m.args)
	if err != nil {
		return err
	}
	query := m.insert + m.places + strings.Repeat(", "+m.places, m.rows-1)
	if _, err := m.t.conn.ExecContext(m.t.ctx, m.t.dialect.rebind(query), args...); err != nil {
		return err
	}
	m.copied += m.rows
	m.args, m.rows, m.bytes = m.args[:0], 0, 0
	return nil
}

// moveCounters has the target give out ids behind the source's.
func moveCounters(ctx context.Context, t *txn, source *sql.DB) error {
	var last int64
	if err := source.QueryRowContext(ctx, `select last from order_ids`).Scan(&last); err != nil {
		return fmt.Errorf("read the last order id: %w", err)
	}
	if last > 0 {
		if err := t.dialect.moveOrderIDs(t, doorbell.OrderID(last)); err != nil {
			return fmt.Errorf("go on behind order id %d: %w", last, err)
		}
	}
	if t.dialect.moveOutboxIDs == nil {
		return nil
	}
	if err := t.dialect.moveOutboxIDs(t); err != nil {
		return fmt.Errorf("go on behind the outbox's ids: %w", err)
	}
	return nil
}
