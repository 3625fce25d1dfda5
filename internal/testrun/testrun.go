// Package testrun holds what the tests of several packages share.
package testrun

import (
	"testing"
	"time"
)

// patience is how long a condition may take on a busy machine; no passing run needs
// that long.
const patience = 30 * time.Second

// Eventually returns when a condition holds. It fails the test if that takes longer
// than 30 s.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	Poll(t, 5*time.Millisecond, what, holds)
}

// Poll is Eventually for a condition that costs something to look at: it looks once per
// interval.
func Poll(t testing.TB, interval time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for late := time.After(patience); !holds(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("never happened within %v: %s", patience, what)
		}
	}
}
