package store

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"doorbell/internal/doorbell"
)

func TestBackupAndRestore(t *testing.T) {
	dir := t.TempDir()
	file, bak := filepath.Join(dir, "d.db"), filepath.Join(dir, "b.db")
	url := "sqlite://" + file
	s, err := Open(t.Context(), Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	stop := startOnce(s)
	paidOrder(t, s, "A-1")
	epoch, _, err := s.Positions(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	oldKey, err := s.BusKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := Backup(t.Context(), url, bak); err != nil {
		t.Fatal(err)
	}
	if err := Backup(t.Context(), url, bak); err == nil {
		t.Error("a backup was overwritten")
	}
	paidOrder(t, s, "A-2")
	if _, err := Restore(t.Context(), url, bak); !errors.Is(err, ErrInUse) {
		t.Errorf("restore under a running server: %v, want ErrInUse", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), url, filepath.Join(dir, "none")); err == nil {
		t.Error("restored from a missing backup")
	}
	kept, err := Restore(t.Context(), url, bak)
	if err != nil {
		t.Fatal(err)
	}
	s = openFile(t, file, nil)
	again, at, err := s.Positions(t.Context(), []doorbell.ShopID{1})
	if key, err := s.BusKey(t.Context()); err != nil || len(key) < 16 || bytes.Equal(key, oldKey) {
		t.Errorf("restored: the bus's key is %q (%v), want another than %q", key, err, oldKey)
	}
	if err != nil || again == epoch || at[1].Head != 1 {
		t.Errorf("restored: epoch %s, %v, %v; want another than %s and head 1", again, at, err, epoch)
	}
	if findings, err := Verify(t.Context(), "sqlite://"+kept); err != nil || len(findings) > 0 {
		t.Errorf("the replaced database: %v, %v; want it complete", findings, err)
	}
}

// TestRestoreKeepsTheLogOfPages: a killed server's write-ahead log is part of the
// kept database, and not of the new one.
func TestRestoreKeepsTheLogOfPages(t *testing.T) {
	b := newRestoreBench(t)
	b.reset()
	kept, err := Restore(t.Context(), "sqlite://"+b.file, b.bak)
	if err != nil {
		t.Fatal(err)
	}
	if !b.state() {
		t.Error("not restored")
	}
	db, err := openSQLitePool(bareDSN(kept), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // a test
	var n int
	if err := db.QueryRowContext(t.Context(), `select count(*) from orders`).Scan(&n); err != nil || n != 3 {
		t.Errorf("kept %d orders, %v; want the 3 that were acknowledged", n, err)
	}
}

// TestRestoreOverADamagedDatabase: an unreadable database is kept unchanged.
func TestRestoreOverADamagedDatabase(t *testing.T) {
	b := newRestoreBench(t)
	b.reset()
	if err := os.Remove(b.file + "-wal"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.file, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	kept, err := Restore(t.Context(), "sqlite://"+b.file, b.bak)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(kept); err != nil || !strings.HasPrefix(string(text), "no database ") {
		t.Errorf("kept %.20q, %v", text, err)
	}
	if !b.state() {
		t.Error("not restored")
	}
}

// TestRestoreWhereNothingStands: a new machine has neither a database nor its
// folder.
func TestRestoreWhereNothingStands(t *testing.T) {
	b := newRestoreBench(t)
	file := filepath.Join(b.dir, "new", "d.db")
	kept, err := Restore(t.Context(), "sqlite://"+file, b.bak)
	if err != nil || kept != "" {
		t.Fatalf("kept %q, %v; want nothing kept", kept, err)
	}
	if findings, err := Verify(t.Context(), "sqlite://"+file); err != nil || len(findings) > 0 {
		t.Errorf("%v, %v", findings, err)
	}
}

// TestRestoresAtOnce: of several restores at once one succeeds, the others say why
// not; a database that another program has open is not touched.
func TestRestoresAtOnce(t *testing.T) {
	b := newRestoreBench(t)
	b.reset()
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = Restore(context.Background(), "sqlite://"+b.file, b.bak) })
	}
	wg.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		} else if !errors.Is(err, ErrInUse) {
			t.Error(err)
		}
	}
	if done == 0 {
		t.Error("nobody restored")
	}
	names, err := filepath.Glob(filepath.Join(b.dir, "*.replaced-*"))
	if err != nil || len(names) != done {
		t.Errorf("%d restores kept %v, %v", done, names, err)
	}
	b.reset()
	db, err := openSQLitePool(sqliteDSN(b.file), 1) // takes none of doorbell's locks
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // a test
	if err := db.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), "sqlite://"+b.file, b.bak); err == nil {
		t.Error("restored while another program had the database open")
	}
	if b.state() {
		t.Error("the database was replaced all the same")
	}
}

// TestBackupsAreTheOwnersAlone: backups hold orders, so only their owner may read
// them.
func TestBackupsAreTheOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "d.db")
	s, err := Open(t.Context(), Options{URL: "sqlite://" + file})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.writes.ExecContext(t.Context(), `delete from goose_db_version where version_id > 1`); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// The migrations fail because their tables exist; only the backup before them is
	// tested.
	if s, err := Open(t.Context(), Options{URL: "sqlite://" + file}); err == nil {
		_ = s.Close()
		t.Fatal("migrated twice")
	}
	names, err := filepath.Glob(file + ".v1-*.bak")
	if err != nil || len(names) != 1 {
		t.Fatalf("%v, %v; want one backup", names, err)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil || info.Mode() != fs.FileMode(0o600) {
			t.Errorf("%s: %v, %v; want -rw-------", name, info.Mode(), err)
		}
	}
}
