package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"doorbell/internal/store"
)

// errFindings makes verify exit with 1.
var errFindings = errors.New("the database is not as it should be")

// verify is the command: it audits the database, also under a running server.
func verify(ctx context.Context, args []string, out io.Writer) error {
	fs, file := flags("verify", out)
	if err := parse(fs, args); err != nil {
		return err
	}
	cfg, err := settings(*file)
	if err != nil {
		return err
	}
	findings, err := store.Verify(ctx, cfg.Database.URL)
	if err != nil {
		return fmt.Errorf("verify %s: %w", cfg.Database.URL, err)
	}
	for _, f := range findings {
		if _, err := fmt.Fprintln(out, f); err != nil {
			return err
		}
	}
	if len(findings) > 0 {
		return errFindings
	}
	_, err = fmt.Fprintln(out, "sound: every paid order was told, no gap, no double, states consistent")
	return err
}

// oneFile is the only argument of backup and restore.
func oneFile(name string, args []string, out io.Writer) (file, databaseURL string, err error) {
	fs, config := flags(name, out)
	if err := fs.Parse(args); err != nil {
		return "", "", usageError{err}
	}
	if fs.NArg() != 1 {
		return "", "", usageError{fmt.Errorf("doorbell %s: name one file, behind the flags", name)}
	}
	cfg, err := settings(*config)
	return fs.Arg(0), cfg.Database.URL, err
}

// backup is the command: it may run while the server does.
func backup(ctx context.Context, args []string, out io.Writer) error {
	to, url, err := oneFile("backup", args, out)
	if err != nil {
		return err
	}
	if err := store.Backup(ctx, url, to); err != nil {
		return fmt.Errorf("back up %s: %w", url, err)
	}
	_, err = fmt.Fprintln(out, "backed up to", to)
	return err
}

// restore is the command: the server must not run, and consoles start anew.
func restore(ctx context.Context, args []string, out io.Writer) error {
	from, url, err := oneFile("restore", args, out)
	if err != nil {
		return err
	}
	kept, err := store.Restore(ctx, url, from)
	if err != nil {
		return fmt.Errorf("restore %s: %w", from, err)
	}
	_, err = fmt.Fprintf(out, "restored from %s; what stood there is %s. Consoles take their picture anew.\n", from, kept)
	return err
}
