package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"doorbell/internal/config"
	"doorbell/internal/store"
)

// migrate runs the command: it copies the database of a machine to a server, on which
// several nodes can run. The doorbell that uses the source must not run.
func migrate(ctx context.Context, args []string, out io.Writer) error {
	fs, file := flags("migrate", out)
	from := fs.String("from", "", "the database to copy, sqlite://FILE (default: database.url)")
	to := fs.String("to", "", "the empty database to copy it to, postgres://USER:PASSWORD@HOST/DATABASE or mysql://…")
	if err := parse(fs, args); err != nil {
		return err
	}
	if *to == "" {
		return usageError{errors.New("migrate: --to is missing: the empty database on a server, say --to postgres://USER:PASSWORD@HOST/doorbell")}
	}
	cfg, err := settings(*file)
	if err != nil {
		return err
	}
	if *from == "" {
		*from = cfg.Database.URL
	}
	if _, err := store.SQLitePath(*from); err != nil {
		return config.Fault{Err: fmt.Errorf("migrate --from %s: only an SQLite database is copied; servers have tools of their own", store.SafeURL(*from))}
	}
	counts, err := store.Move(ctx, *from, *to)
	if err != nil {
		return fmt.Errorf("migrate %s to %s: %w", *from, store.SafeURL(*to), err)
	}
	rows := 0
	for _, c := range counts {
		rows += c.Rows
	}
	findings, err := store.Verify(ctx, *to)
	if err != nil {
		return fmt.Errorf("everything was copied; verify %s: %w", store.SafeURL(*to), err)
	}
	for _, f := range findings {
		if _, err := fmt.Fprintln(out, f); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(out, "copied %d rows of %d tables to %s.\n"+
		"Next: set database.url to it, leave data.dir as it is for the first start (auth.secret and the keys of the pushes go from there into the database, for all nodes), and start doorbell.\n"+
		"Consoles go on where they are, sessions stay. %s stays as it was and is not opened by a server again.\n",
		rows, len(counts), store.SafeURL(*to), *from)
	if len(findings) > 0 {
		return errFindings
	}
	return err
}
