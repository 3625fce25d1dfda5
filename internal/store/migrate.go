package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
)

// migrate brings the schema up to this binary's version. Before it changes a
// database that has one it writes a backup beside it; a newer schema than this
// binary knows is an error that names both.
func migrate(ctx context.Context, db *sql.DB, d *dialect, backup func(context.Context, int64) (string, error), log *slog.Logger) error {
	files, err := d.migrations()
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
