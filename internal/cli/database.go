package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"doorbell/internal/config"
	"doorbell/internal/server"
	"doorbell/internal/store"
)

// errFindings makes verify exit with 1.
var errFindings = errors.New("verify found faults in the database")

// verify runs the command: it audits the database, also under a running server.
func verify(ctx context.Context, args []string, out io.Writer) error {
	fs, file := flags("verify", out)
	if err := parse(fs, args); err != nil {
		return err
	}
	cfg, err := settings(*file)
	if err != nil {
		return err
	}
	audit := store.Verify
	if cfg.Sky.Adopt {
		audit = store.VerifyBeside
	}
	findings, err := audit(ctx, cfg.Database.URL)
	if err != nil {
		return fmt.Errorf("verify %s: %w", store.SafeURL(cfg.Database.URL), err)
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

// oneFile reads the flags of backup and restore, and the only argument.
func oneFile(fs *flag.FlagSet, settingsFile *string, args []string) (file string, cfg config.Config, err error) {
	if err := parseFlags(fs, args); err != nil {
		return "", cfg, err
	}
	if fs.NArg() == 0 {
		return "", cfg, usageError{fmt.Errorf("%s: name one file, behind the flags: %s %[1]s FILE", fs.Name(), program())}
	}
	if err := leftOver(fs, fs.Args()[1:]); err != nil {
		return "", cfg, err
	}
	loaded, err := settings(*settingsFile)
	return fs.Arg(0), loaded.Config, err
}

// backup runs the command, also while the server runs.
func backup(ctx context.Context, args []string, out io.Writer) error {
	fs, file := flags("backup", out)
	to, cfg, err := oneFile(fs, file, args)
	if err != nil {
		return err
	}
	url := cfg.Database.URL
	secrets, err := readSecrets(cfg)
	if err != nil {
		return err
	}
	if err := store.Backup(ctx, url, to); err != nil {
		return fmt.Errorf("back up %s: %w", store.SafeURL(url), err)
	}
	if err := store.Seal(ctx, to, secrets); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return tellBackup(out, to, cfg, secrets)
}

// tellBackup says what is in a backup, and what else to save.
func tellBackup(out io.Writer, to string, cfg config.Config, secrets map[string][]byte) error {
	in := append([]string{"the database"}, slices.Sorted(maps.Keys(secrets))...)
	also := []string{"config.yaml"}
	if len(server.KeyFiles(cfg.Pay)) > 0 {
		also = append(also, "the key files that it names")
	}
	_, err := fmt.Fprintf(out, "backed up to %s: %s. Whoever has it can sign tokens: keep it as you keep a password.\nNot in it: %s.\n",
		to, strings.Join(in, ", "), strings.Join(also, ", "))
	return err
}

// restore runs the command. The server must not run; consoles start with a new epoch.
func restore(ctx context.Context, args []string, out io.Writer) error {
	fs, file := flags("restore", out)
	replace := fs.Bool("secrets", false, "also put the backup's auth.secret and push keys in the place of those that are here")
	epoch := fs.Bool("epoch", false, "without FILE, on PostgreSQL, MySQL or MariaDB: the database was restored by its own tools; consoles reload, sessions end")
	if err := parseFlags(fs, args); err != nil {
		return err
	}
	if *epoch {
		return restored(ctx, fs, *file, out)
	}
	from, cfg, err := oneFile(fs, file, args)
	if err != nil {
		return err
	}
	if _, err := store.SQLitePath(cfg.Database.URL); err != nil {
		return fmt.Errorf("restore %s: %w", from, store.ErrOwnTools)
	}
	secrets, err := store.Sealed(ctx, from)
	if err != nil {
		return fmt.Errorf("restore %s: %w", from, err)
	}
	kept, err := store.Restore(ctx, cfg.Database.URL, from)
	if err != nil {
		return fmt.Errorf("restore %s: %w", from, err)
	}
	lines := []string{"restored from " + from + "."}
	if kept != "" {
		lines = append(lines, "What stood there is now "+kept+".")
	}
	told, err := putSecrets(cfg, secrets, *replace)
	lines = append(lines, told...)
	lines = append(lines, "Consoles reload their state; everybody signs in again, and tablets are paired again ("+hintsFor(os.Args[0], *file).line("pair")+").")
	_, printed := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return errors.Join(err, printed)
}

// restored runs restore --epoch: what the server's own tools brought back gets a
// new epoch.
func restored(ctx context.Context, fs *flag.FlagSet, settingsFile string, out io.Writer) error {
	if err := leftOver(fs, fs.Args()); err != nil {
		return err
	}
	loaded, err := settings(settingsFile)
	if err != nil {
		return err
	}
	begin := store.Restored
	if loaded.Sky.Adopt {
		begin = store.RestoredBeside
	}
	if err := begin(ctx, loaded.Database.URL); err != nil {
		return fmt.Errorf("restore --epoch %s: %w", store.SafeURL(loaded.Database.URL), err)
	}
	_, err = fmt.Fprintln(out, "the log has a new epoch. Consoles reload their state; everybody signs in again, and tablets are paired again ("+
		hintsFor(os.Args[0], settingsFile).line("pair")+").")
	return err
}
