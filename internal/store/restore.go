package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	sqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"doorbell/internal/doorbell"
	"doorbell/internal/safefile"
)

// ErrOwnTools says that the databases of a server are backed up and restored with
// the server's own tools.
var ErrOwnTools = errors.New("a server's database is backed up by its own tools (PostgreSQL: pg_dump --format=custom, pg_restore; " +
	"MySQL and MariaDB: mysqldump --single-transaction), or by its snapshots and logs; " +
	"after it was restored run: doorbell restore --epoch")

// fileOf returns the file of an SQLite database; for a server it returns an error.
func fileOf(databaseURL string) (string, error) {
	if onServer(databaseURL) {
		return "", ErrOwnTools
	}
	return SQLitePath(databaseURL)
}

// Backup writes the database, which may be in use, to a new file.
func Backup(ctx context.Context, databaseURL, to string) (err error) {
	file, err := fileOf(databaseURL)
	if err != nil {
		return err
	}
	if _, err := os.Stat(file); err != nil {
		return err
	}
	lock, err := lockKnown(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	return copyDatabase(ctx, sqliteDSN(file), to)
}

func copyDatabase(ctx context.Context, dsn, to string) (err error) {
	db, err := openSQLitePool(dsn, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return vacuumInto(ctx, db, to)
}

// vacuumInto writes a copy of db to a new file and returns when it is on disk. It
// creates the file first, readable by the owner only: SQLite would create it
// readable for everybody, and accepts an empty file.
func vacuumInto(ctx context.Context, db *sql.DB, to string) (err error) {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			err = errors.Join(err, os.Remove(to))
		}
	}()
	if _, err := db.ExecContext(ctx, `vacuum into ?`, to); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return safefile.SyncFolder(filepath.Dir(to))
}

// Restore replaces the database with a backup and gives its log a new epoch, so
// that no console takes new alerts for those it already has. It keeps the old
// database beside the new one and returns its name, empty if there was none. No
// server may be running. If Restore is killed at any moment, the old or the new
// database is in place, complete.
func Restore(ctx context.Context, databaseURL, from string) (kept string, err error) {
	file, err := fileOf(databaseURL)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(from); err != nil {
		return "", err // before it creates a folder for nothing
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", fmt.Errorf("make the database's folder: %w", err)
	}
	lock, err := lockFile(file, exclusive)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	r := &restoring{file: file, from: from, fresh: file + ".restoring"}
	for _, step := range r.steps() {
		if err := step(ctx); err != nil {
			return "", errors.Join(err, r.clear(ctx))
		}
	}
	return r.kept, nil
}

// restoring is a restore in progress.
type restoring struct {
	file, from string
	fresh      string // the backup's copy, until it is renamed to file
	kept       string // the old database's new name; empty if there was none
}

// steps returns the steps in their order. Only swap changes which database the
// file name means.
func (r *restoring) steps() []func(context.Context) error {
	return []func(context.Context) error{r.clear, r.copy, r.renew, r.fold, r.keep, r.sync, r.swap, r.sync}
}

// beside are the suffixes of SQLite's files beside a database. SQLite would read
// such a file of another database into the one that now has its name.
var beside = []string{"-wal", "-shm", "-journal"}

// clear removes the remains of a restore that was killed.
func (r *restoring) clear(context.Context) error {
	for _, suffix := range append([]string{""}, beside...) {
		if err := os.Remove(r.fresh + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return forgetLinks(r.file)
}

// forgetLinks removes further names of the database file: a restore that was
// killed between keep and swap leaves one. A database opened by two names has two
// write-ahead logs, and is lost.
func forgetLinks(file string) error {
	here, err := os.Stat(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	names, err := filepath.Glob(globbed(file) + ".replaced-*")
	if err != nil {
		return err
	}
	for _, name := range names {
		if other, err := os.Lstat(name); err == nil && os.SameFile(here, other) {
			if err := os.Remove(name); err != nil {
				return fmt.Errorf("remove a second name of the database: %w", err)
			}
		}
	}
	return nil
}

// globbed returns a pattern that matches only this name. A class of one character
// stands for itself on each system; a backslash parts folders on Windows, and is
// the sign before a character elsewhere.
func globbed(name string) string {
	pairs := []string{"*", "[*]", "?", "[?]", "[", "[[]"}
	if filepath.Separator != '\\' {
		pairs = append(pairs, `\`, `\\`)
	}
	return strings.NewReplacer(pairs...).Replace(name)
}

func (r *restoring) copy(ctx context.Context) error {
	if err := copyDatabase(ctx, bareDSN(r.from), r.fresh); err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	return nil
}

// renew checks the copy of the backup and gives it a new epoch.
func (r *restoring) renew(ctx context.Context) (err error) {
	if findings, err := verifyFile(ctx, r.fresh); err != nil || len(findings) > 0 {
		return fmt.Errorf("the backup failed its check: %w", errors.Join(append([]error{err}, asErrors(findings)...)...))
	}
	db, err := openSQLitePool(sqliteDSN(r.fresh), 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := beginAnew(ctx, db, sqliteDialect); err != nil {
		return err
	}
	// The secrets of a backup go to their own files; freed pages must not keep them.
	for _, statement := range []string{`pragma secure_delete = on`, `drop table if exists sealed`} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("take the secrets out of the database: %w", err)
		}
	}
	return oneFile(ctx, db)
}

// execer is a database or a transaction.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// beginAnew gives a log that has gone back a new epoch, and ends the sessions.
func beginAnew(ctx context.Context, db execer, d *dialect) error {
	res, err := db.ExecContext(ctx, d.rebind(`update meta set value = ? where name = 'epoch'`), newEpoch())
	if err != nil {
		return fmt.Errorf("draw a new epoch: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(errors.New("this is not a doorbell database: it has no epoch"), err)
	}
	for _, step := range []struct {
		what, query string
		args        []any
	}{
		// A session that was ended after the backup must not be valid again, so all
		// sessions end, and each device is told.
		{"end the sessions", `delete from meta where name in ('generation', 'adopt_logins')`, nil},
		{"end the sessions", `insert into meta (name, value) values ('generation', ?)`, []any{newEpoch()}},
		// A backup restored beside its original installation may share its broker, but
		// not its log.
		{"leave the bus", `delete from meta where name = ?`, []any{busKey}},
		// A ticket that was spent after the backup must not be valid again.
		{"remove old tickets", `delete from tickets`, nil},
	} {
		if _, err := db.ExecContext(ctx, d.rebind(step.query), step.args...); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// Restored updates a server's database after the server's own tools have restored
// it: the log gets a new epoch, so that no console takes new alerts for those it
// already has, and all sessions end.
func Restored(ctx context.Context, databaseURL string) error {
	v, err := serverOf(ctx, databaseURL)
	if err != nil {
		return err
	}
	return v.restored(ctx)
}

// RestoredBeside is Restored for tables that stand in another program's database, as
// Options.Beside says.
func RestoredBeside(ctx context.Context, databaseURL string) error {
	v, err := serverBeside(ctx, databaseURL)
	if err != nil {
		return err
	}
	return v.restored(ctx)
}

func (v *server) restored(ctx context.Context) (err error) {
	db := v.pool(false, 2)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := v.greet(ctx, db); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { err = errors.Join(err, notDone(tx.Rollback())) }()
	if err := beginAnew(ctx, tx, v.dialect); err != nil {
		return err
	}
	return tx.Commit()
}

// oneFile checkpoints the write-ahead log into the database file, on disk, because
// a rename moves only one file. It fails while another program has the database
// open.
func oneFile(ctx context.Context, db *sql.DB) error {
	var mode string
	if err := db.QueryRowContext(ctx, `pragma journal_mode=delete`).Scan(&mode); err != nil {
		return fmt.Errorf("write the whole database into its file: %w", err)
	}
	if mode != "delete" {
		return errors.New("another program has the database open; end it first")
	}
	return nil
}

// fold checkpoints the existing database into one file. A damaged one stays as it
// is: keep copies all its files.
func (r *restoring) fold(ctx context.Context) (err error) {
	switch _, err := os.Stat(r.file); {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	db, err := openSQLitePool(bareDSN(r.file), 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := oneFile(ctx, db); err != nil && !damaged(err) {
		return err
	}
	return nil
}

func damaged(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code()&0xff == sqlite3.SQLITE_CORRUPT || e.Code()&0xff == sqlite3.SQLITE_NOTADB)
}

// keep gives the existing database a second name, which needs no space on a disk
// that may be full. If the files beside it could not be folded in, keep copies all
// of them and then removes these, which would be read into the new database.
func (r *restoring) keep(context.Context) error {
	kept := r.file + ".replaced-" + doorbell.Instant(now()).Format("20060102T150405.000")
	var there []string
	for _, suffix := range append([]string{""}, beside...) {
		if _, err := os.Lstat(r.file + suffix); err == nil {
			there = append(there, suffix)
		}
	}
	if len(there) == 0 {
		return nil
	}
	r.kept = kept
	if len(there) == 1 && there[0] == "" && os.Link(r.file, kept) == nil {
		return nil
	}
	for _, suffix := range there {
		if err := copyFile(r.file+suffix, kept+suffix); err != nil {
			return fmt.Errorf("keep the replaced database: %w", err)
		}
	}
	for _, suffix := range there {
		if suffix == "" {
			continue
		}
		if err := os.Remove(r.file + suffix); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

func (r *restoring) sync(context.Context) error { return safefile.SyncFolder(filepath.Dir(r.file)) }

// swap replaces the old database with the new one in one step.
func (r *restoring) swap(context.Context) error { return os.Rename(r.fresh, r.file) }

func asErrors(texts []string) (out []error) {
	for _, text := range texts {
		out = append(out, errors.New(text))
	}
	return out
}
