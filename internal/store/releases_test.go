package store

import (
	"database/sql"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"doorbell/internal/doorbell"
)

// grownBy returns a dialect's migrations and one more, as the next release will
// have.
func grownBy(t *testing.T, d *dialect, next string) fs.FS {
	t.Helper()
	files, err := d.migrationFiles()
	if err != nil {
		t.Fatal(err)
	}
	out := fstest.MapFS{"09999_next.sql": {Data: []byte("-- +goose Up\n" + next)}}
	names, err := fs.Glob(files, "*.sql")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = &fstest.MapFile{Data: text}
	}
	return out
}

// TestOldAndNewTogether: a newer program extends the schema while an older one
// serves. Both write to one log, and the older one can start again, until a
// release removes what it needs.
func TestOldAndNewTogether(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		at := db.url(t)
		older := openURL(t, at, nil)
		appendOne(t, older, alertOf(1, 1, doorbell.NewOrder))
		open := func(next string) error {
			s, err := Open(t.Context(), Options{URL: at, migrations: grownBy(t, older.dialect, next)})
			if err == nil {
				stop := startOnce(s)
				appendOne(t, s, alertOf(1, 2, doorbell.NewOrder))
				err = stop()
			}
			return err
		}
		if err := open("alter table alerts add column colour smallint not null default 0;\ncreate table colours (n int);"); err != nil {
			t.Fatal(err)
		}
		if a := appendOne(t, older, alertOf(1, 3, doorbell.TakenCare)); a.Seq != 3 {
			t.Errorf("seq %d from the older one, want 3", a.Seq)
		}
		if err := tryOpen(t, at); err != nil {
			t.Errorf("the older one starts again: %v", err)
		}
		if _, err := older.writes.ExecContext(t.Context(), `insert into meta (name, value) values ('`+oldestProgram+`', '9999')`); err != nil {
			t.Fatal(err)
		}
		if err := tryOpen(t, at); err == nil || !strings.Contains(err.Error(), "for programs that know 9999 or later") {
			t.Errorf("after a release that takes away: %v", err)
		}
	})
}

// TestSameSchema: all databases have the same tables and columns.
func TestSameSchema(t *testing.T) {
	columns := map[string][]string{}
	for _, db := range everywhere() {
		s := db.open(t, nil)
		query := `select m.name, p.name from sqlite_master m join pragma_table_info(m.name) p where m.type = 'table'`
		if db.name != "sqlite" {
			query = `select table_name, column_name from information_schema.columns where table_schema = ` +
				map[string]string{"postgres": `current_schema()`, "mysql": `database()`}[db.name]
		}
		rows, err := s.writes.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		tables := map[string]bool{}
		err = scanRows(rows, func(r *sql.Rows) error {
			var table, column string
			err := r.Scan(&table, &column)
			switch table {
			case "order_ids", "locks", "order_id", versionsTable, "goose_db_version", "sqlite_sequence", "sqlite_stat1", "sqlite_stat4":
				return err // each has a table of its own
			}
			tables[table] = true
			columns[table+"."+column] = append(columns[table+"."+column], db.name)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range ownTables {
			if !tables[name] {
				t.Errorf("%s has no table %s", db.name, name)
			}
			delete(tables, name)
		}
		for name := range tables {
			t.Errorf("%s has a table %s: name it in ownTables", db.name, name)
		}
	}
	for column, where := range columns {
		if len(where) != len(everywhere()) {
			t.Errorf("%s is on %v only", column, where)
		}
	}
}
