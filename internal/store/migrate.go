package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

// SchemaVersion is the highest schema that this program knows; opening a database
// brings it there. It is the number of the last migration, the same on each database.
func SchemaVersion() (last int) {
	files, err := fs.ReadDir(migrations, "migrations/sqlite")
	if err != nil { // they are embedded
		panic(err)
	}
	for _, f := range files {
		number, _, _ := strings.Cut(f.Name(), "_")
		if n, err := strconv.Atoi(number); err == nil {
			last = max(last, n)
		}
	}
	return last
}

// migrate upgrades the schema to this binary's version. If the database already
// has a schema, migrate first writes a backup beside it. For a schema newer than
// this binary knows it returns an error that names both versions.
func migrate(ctx context.Context, db *sql.DB, d *dialect, backup func(context.Context, int64) (string, error), log *slog.Logger) error {
	files, err := d.migrationFiles()
	if err != nil {
		return err
	}
	return migrateFiles(ctx, db, d, files, backup, log)
}

func migrateFiles(ctx context.Context, db *sql.DB, d *dialect, files fs.FS, backup func(context.Context, int64) (string, error), log *slog.Logger) error {
	p, err := goose.NewProvider(d.goose, db, files)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	switch {
	case have > want:
		return fmt.Errorf("the database has schema version %d, this doorbell knows %d: start the newer doorbell again, or restore the backup that stands beside the database", have, want)
	case have == want:
		return nil
	case have > 0:
		file, err := backup(ctx, have)
		if err != nil {
			return fmt.Errorf("back up before migrating from version %d to %d: %w", have, want, err)
		}
		log.InfoContext(ctx, "database backed up before migrating", "file", file, "from", have, "to", want)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate from version %d to %d: %w", have, want, err)
	}
	return nil
}
