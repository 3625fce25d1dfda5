package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"doorbell/internal/doorbell"
)

func TestNewerSchemaIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "doorbell.db")
	o := Options{URL: "sqlite://" + file, Log: slog.New(slog.DiscardHandler)}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.writes.ExecContext(t.Context(), `insert into goose_db_version (version_id, is_applied) values (99, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(migrations, "migrations/sqlite/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	var want int // the last migration's number
	if _, err := fmt.Sscanf(filepath.Base(names[len(names)-1]), "%d_", &want); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "version 99") || !strings.Contains(err.Error(), fmt.Sprintf("knows %d", want)) {
		t.Errorf("got %v, want both versions named", err)
	}
}

func TestMigrationBacksUpFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "doorbell.db")
	db, err := openSQLitePool(sqliteDSN(file), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // a test
	// A database one version behind, as the release before this one leaves it.
	for _, q := range []string{
		`create table goose_db_version (id integer primary key autoincrement, version_id integer not null, is_applied integer not null, tstamp timestamp default (datetime('now')))`,
		`insert into goose_db_version (version_id, is_applied) values (0, 1), (1, 1)`,
		`create table kept (word text)`, `insert into kept values ('here')`,
	} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	var backup string
	if err = migrateTo(t, db, sqliteDialect, &backup); err != nil {
		t.Fatal(err)
	}
	b, err := sql.Open("sqlite", backup)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // a test
	var word string
	if err := b.QueryRowContext(t.Context(), `select word from kept`).Scan(&word); err != nil || word != "here" {
		t.Errorf("the backup has %q, %v; want what stood there", word, err)
	}
	var n int
	if err := b.QueryRowContext(t.Context(), `select count(*) from sqlite_master where name = 'added'`).Scan(&n); err != nil || n != 0 {
		t.Errorf("the backup was made after the migration (%d, %v)", n, err)
	}
	if err := db.QueryRowContext(t.Context(), `select count(*) from added`).Scan(&n); err != nil {
		t.Errorf("the migration did not run: %v", err)
	}
}

var testMigrations = fstest.MapFS{
	"00001_first.sql":  {Data: []byte("-- +goose Up\nselect 1;\n")},
	"00002_second.sql": {Data: []byte("-- +goose Up\ncreate table added (id integer);\n")},
}

func migrateTo(t *testing.T, db *sql.DB, d *dialect, backup *string) error {
	t.Helper()
	return migrateFiles(t.Context(), db, d, testMigrations, func(ctx context.Context, v int64) (string, error) {
		*backup = filepath.Join(t.TempDir(), fmt.Sprintf("v%d.bak", v))
		_, err := db.ExecContext(ctx, `vacuum into ?`, *backup)
		return *backup, err
	}, slog.New(slog.DiscardHandler))
}

// asKept compares alerts by what a row stores of them.
var asKept = cmp.Transformer("kept", func(l doorbell.Link) doorbell.Nonce { return l.Nonce })
