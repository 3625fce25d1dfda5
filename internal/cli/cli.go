// Package cli is the command line: one file a command.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"doorbell/internal/config"
	"doorbell/internal/logqueue"
)

// Main runs the command line args, until it is interrupted or told to end, and
// returns the exit code.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, args, os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		last := logqueue.New(os.Stderr, logqueue.Text) // nobody may read it
		_, _ = fmt.Fprintln(last, "doorbell:", err)    // it never fails
		last.Close()
	}
	return exitCode(err)
}

// usageError is a fault of the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitCode returns 2 for a fault of the command line or of the settings, where
// nothing was started.
func exitCode(err error) int {
	_, usage := errors.AsType[usageError](err)
	_, settings := errors.AsType[config.Fault](err)
	if usage || settings {
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
		{"token", "print a token: --role R --shops 1,2 --sub NAME --ttl 24h; --list, --revoke ID", token},
		{"link", "print a link that opens the console of the running server", link},
		{"pair", "print a link and a QR code that sign a tablet in for good", pair},
		{"certificate", "make a certificate for a local network: --names 192.168.1.10,kitchen.local", certificate},
		{"simulate", "place, pay for and chase an order on the running server", simulate},
		{"watch", "follow a shop's alerts in the terminal", watch},
		{"backup", "write the database and the server's keys to FILE, also while it runs", backup},
		{"restore", "put the backup FILE in the database's place; stop the server first", restore},
		{"migrate", "copy the database to PostgreSQL, MySQL or MariaDB: --to postgres://…; stop the server first", migrate},
		{"verify", "audit the database: every paid order told, no gap, no double", verify},
		{"report", "print a day's ledger: --shop 1 --day 2026-11-23 [--csv]", report},
		{"export", "print all that is stored of a shop, as JSON lines: --shop 1", export},
		{"forget", "remove what tells who a customer is: --user ID", forget},
		{"bench", "load a server and measure what that costs it, beside a floor", benchmark},
		{"inbox", "list, show or replay verified payment callbacks: inbox [list|show|replay]", inbox},
		{"webhooks", "list or replay the messages to other systems: webhooks [list|replay]", webhooks},
		{"escalate", "send a test to everybody on a shop's ladder: --test --shop 1", escalate},
		{"version", "print the version", printVersion},
	}
}

// run runs one command line; the whole program is built, run and stopped in here.
func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
		return help(out)
	}
	name := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	if name == "help" {
		fs, _ := flags("help", out)
		if err := parse(fs, args); err != nil {
			return err
		}
		return help(out)
	}
	for _, c := range commands() {
		if c.name == name {
			return c.run(ctx, args, out)
		}
	}
	return usageError{fmt.Errorf("there is no command %q; see %s help", name, program())}
}

func help(out io.Writer) error {
	var b strings.Builder
	b.WriteString(program() + " [COMMAND] [--config FILE]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-11s %s\n", c.name, c.help)
	}
	b.WriteString(`
Each command explains its flags with -h.

Exit codes: 0 done, or stopped as asked; 1 it failed, or verify found something;
2 the command line or the settings are at fault, and nothing was started.
`)
	_, err := io.WriteString(out, b.String())
	return err
}

// flags returns a flag set whose faults are returned, with --config in it. Its help
// goes to out.
func flags(name string, out io.Writer) (fs *flag.FlagSet, file *string) {
	fs = flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(out)
	fs.Usage = func() {
		what := ""
		for _, c := range commands() {
			if word, _, _ := strings.Cut(name, " "); c.name == word {
				what = c.help
			}
		}
		_, _ = fmt.Fprintf(out, "%s %s: %s\n\n", program(), name, what) // as the flags below it
		fs.PrintDefaults()
	}
	return fs, fs.String("config", "", "read the settings from this `FILE` (default config.yaml if there is one, else built in)")
}

// parse reads args; left-over words are a fault.
func parse(fs *flag.FlagSet, args []string) error {
	if err := parseFlags(fs, args); err != nil {
		return err
	}
	return leftOver(fs, fs.Args())
}

// leftOver refuses the first word that no flag took: a typing error must not
// run a command with other settings than were meant.
func leftOver(fs *flag.FlagSet, words []string) error {
	if len(words) == 0 {
		return nil
	}
	return usageError{fmt.Errorf("%s: unexpected argument %q; flags begin with --, see %s %[1]s -h", fs.Name(), words[0], program())}
}

// parseFlags reads the flags and leaves the words behind them. All of the help
// is printed when it is asked for, and not behind a fault, where nobody finds
// the fault again.
func parseFlags(fs *flag.FlagSet, args []string) error {
	out, usage := fs.Output(), fs.Usage
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	err := fs.Parse(args)
	fs.SetOutput(out)
	switch {
	case errors.Is(err, flag.ErrHelp):
		usage()
		return err
	case err != nil:
		return usageError{fmt.Errorf("%s: %w; see %s %[1]s -h", fs.Name(), err, program())}
	default:
		return nil
	}
}

// durationValue is a flag whose fault says how a duration is written: Go's own
// says "parse error" of 7d.
type durationValue time.Duration

func durationFlag(fs *flag.FlagSet, name string, value time.Duration, usage string) *time.Duration {
	fs.Var((*durationValue)(&value), name, usage)
	return &value
}

// Set implements flag.Value.
func (d *durationValue) Set(text string) error {
	v, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("want %s", config.DurationExample(text))
	}
	*d = durationValue(v)
	return nil
}

// String implements flag.Value.
func (d *durationValue) String() string {
	if d == nil || *d == 0 {
		return "" // no default to show
	}
	return time.Duration(*d).String()
}

// settings loads the configuration for any command.
func settings(file string) (config.Loaded, error) {
	cfg, err := config.Load(file, os.Environ())
	if err != nil {
		return cfg, config.Fault{Err: err}
	}
	return cfg, nil
}
