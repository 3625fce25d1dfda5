package testrun

import (
	"errors"
	"fmt"
	"os"
	"testing"
)

// Skip skips a test, and reports why.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	line := t.Name() + ": " + fmt.Sprintf(format, args...)
	if err := Report(line); err != nil {
		t.Fatal(err)
	}
	t.Skip("NOT RUN: " + line)
}

// Report writes what was left out to standard error, and to the file that make test
// shows at its end.
func Report(line string) error {
	fmt.Fprintln(os.Stderr, line)
	name := os.Getenv("DOORBELL_TEST_REPORT")
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}
