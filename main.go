// Command doorbell makes the kitchen ring: it takes payment callbacks and
// reminders, writes each as an alert that cannot be lost, and pushes it to the
// shop's consoles.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"doorbell/internal/config"
	"doorbell/internal/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "doorbell:", err)
	}
	stop()
	os.Exit(exitCode(err))
}

// usageError is the caller's to fix before anything runs: exit 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func exitCode(err error) int {
	if _, usage := errors.AsType[usageError](err); usage {
		return 2
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return 1
	}
	return 0
}

// command is one word of the command line.
type command struct {
	name, help string
	run        func(ctx context.Context, args []string, out io.Writer) error
}

func commands() []command {
	return []command{
		{"serve", "run the server (default)", serve},
		{"token", "print a token: --role R --shops 1,2 --sub NAME --ttl 24h", token},
		{"link", "print a link that opens the console of the running server", link},
		{"pair", "print a link and a QR code that sign a tablet in for good", pair},
		{"simulate", "order, pay and hurry against the running server", simulate},
		{"watch", "follow a shop's alerts in the terminal", watch},
		{"backup", "write the database to FILE, also while the server runs", backup},
		{"restore", "put the backup FILE in the database's place; stop the server first", restore},
		{"verify", "audit the database: every paid order told, no gap, no double", verify},
		{"bench", "load a server and measure what that costs it, beside a floor", benchmark},
		{"inbox", "list, show or replay the payment callbacks that were verified", inbox},
		{"webhooks", "list or replay the messages to other systems", webhooks},
		{"version", "print the version", func(_ context.Context, _ []string, out io.Writer) error {
			_, err := fmt.Fprintln(out, "doorbell", version())
			return err
		}},
	}
}

// run is the program: everything is built, run and stopped in here.
func run(ctx context.Context, args []string, out io.Writer) error {
	name := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	if len(args) > 0 && (args[0] == "-h" || args[0] == "--help") && name == "serve" || name == "help" {
		return help(out)
	}
	for _, c := range commands() {
		if c.name == name {
			return c.run(ctx, args, out)
		}
	}
	return usageError{fmt.Errorf("there is no command %q; see doorbell help", name)}
}

func help(out io.Writer) error {
	var b strings.Builder
	b.WriteString("doorbell [COMMAND] [--config FILE]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-9s %s\n", c.name, c.help)
	}
	b.WriteString("\nEach command explains its flags with -h.\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// flags is a flag set whose faults are returned, with --config in it.
func flags(name string, out io.Writer) (fs *flag.FlagSet, file *string) {
	fs = flag.NewFlagSet("doorbell "+name, flag.ContinueOnError)
	fs.SetOutput(out)
	return fs, fs.String("config", "", "the settings (default config.yaml, else built-in)")
}

// parse reads args; left-over words are a fault.
func parse(fs *flag.FlagSet, args []string) error {
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return usageError{err}
	case fs.NArg() > 0:
		return usageError{fmt.Errorf("%s: what is %q?", fs.Name(), fs.Arg(0))}
	}
	return nil
}

// settings loads the configuration for any command.
func settings(file string) (config.Loaded, error) {
	cfg, err := config.Load(file, os.Environ())
	if err != nil {
		return cfg, usageError{err}
	}
	return cfg, nil
}

// dataDir is data.dir, else the SQLite file's folder.
func dataDir(cfg config.Config) string {
	if cfg.Data.Dir != "" {
		return cfg.Data.Dir
	}
	if file, err := store.SQLitePath(cfg.Database.URL); err == nil {
		return filepath.Dir(file)
	}
	return "data"
}

func newLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// version is the release that this binary was built as, or its commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
