package store

import (
	"context"
	"database/sql"
	"errors"
	"regexp"
	"slices"
	"strings"
)

// besidePrefix begins the names of our tables in another program's database, and
// besideVersions is the table of the schema's version there: a start that does not
// know of the other program finds no schema of ours, and refuses the database.
const (
	besidePrefix   = "doorbell_"
	besideVersions = "doorbell_beside_schema"
)

// theirs ends a statement whose tables are called as it says.
const theirs = ` /* theirs */`

// named finds our tables where a statement or a migration names them.
var named = regexp.MustCompile(`\b((?:from|join|into|update|table|exists)\s+)(` + strings.Join(ownTables, "|") + `|order_ids|locks)\b`)

// besides calls our tables as they are called in another program's database.
func besides(query string) string {
	if strings.HasSuffix(query, theirs) {
		return query
	}
	return named.ReplaceAllString(query, "${1}"+besidePrefix+"${2}")
}

// beside lets our tables stand in another program's database.
func (v *server) beside() error {
	d := v.dialect
	if d.name != "mysql" {
		return errors.New("only a database of MySQL or MariaDB can be shared with sky-take-out")
	}
	migration := d.rewrite
	d.beside, d.versions = true, besideVersions
	d.rewrite = func(sql string) string { return besides(migration(sql)) }
	return nil
}

// takes reports whether a table's name is one that we need.
func (d *dialect) takes(name string) bool {
	if d.beside {
		ours, found := strings.CutPrefix(name, besidePrefix)
		return found && slices.Contains(ownTables, ours)
	}
	return slices.Contains(ownTables, name)
}

// Query reads rows in the open transaction. The statement's tables are called as it
// says: it is for another program's in the same database, and for who keeps them.
func (t *txn) Query(query string, args []any, scan func(*sql.Rows) error) error {
	return t.each(query+theirs, args, scan)
}

// Exec runs such a statement, and returns how many rows it changed.
func (t *txn) Exec(query string, args ...any) (int64, error) {
	return t.affect(query+theirs, args...)
}

// Query is such a read outside of a transaction.
func (s *Store) Query(ctx context.Context, query string, args []any, scan func(*sql.Rows) error) error {
	rows, err := s.reads.query(ctx, query+theirs, args...)
	if err != nil {
		return err
	}
	return eachRow(rows, scan)
}
