package store

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// maxSealed bounds one secret in a backup.
const maxSealed = 64 << 10

// Seal stores small files, by name, in a backup that Backup has written. The
// backup is a secret from then on, as its file mode says. The database itself
// never holds these files.
func Seal(ctx context.Context, backup string, files map[string][]byte) (err error) {
	db, err := openSQLitePool(bareDSN(backup), 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, `create table sealed (name text primary key, content blob not null) strict`); err != nil {
		return fmt.Errorf("seal the backup: %w", err)
	}
	for name, content := range files {
		if len(content) > maxSealed {
			return fmt.Errorf("seal the backup: %s has %d bytes, the limit is %d", name, len(content), maxSealed)
		}
		if _, err := db.ExecContext(ctx, `insert into sealed (name, content) values (?, ?)`, name, content); err != nil {
			return fmt.Errorf("seal the backup: %w", err)
		}
	}
	return nil
}

// Sealed returns the files that Seal stored in a backup; none for an older backup.
func Sealed(ctx context.Context, backup string) (files map[string][]byte, err error) {
	if _, err := os.Stat(backup); err != nil {
		return nil, err // opening a missing file would create it
	}
	db, err := openSQLitePool(bareDSN(backup), 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	files = map[string][]byte{}
	var there int
	if err := db.QueryRowContext(ctx, `select count(*) from sqlite_master where type = 'table' and name = 'sealed'`).Scan(&there); err != nil || there == 0 {
		return files, err
	}
	rows, err := db.QueryContext(ctx, `select name, content from sealed where length(content) <= ?`, maxSealed)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		var content []byte
		if err := rows.Scan(&name, &content); err != nil {
			return nil, err
		}
		files[name] = content
	}
	return files, rows.Err()
}
