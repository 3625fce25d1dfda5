package databases

import (
	"os"
	"testing"

	"doorbell/internal/testrun"
)

// Require skips the test if a kind can't be started on this machine, and reports that;
// in CI it fails.
func Require(t testing.TB, kind Kind) {
	t.Helper()
	switch why := Missing(kind); {
	case why == "":
	case os.Getenv("CI") == "true":
		t.Fatal(why)
	default:
		testrun.Skip(t, "%s", why)
	}
}

// Need starts a server of its own for a test, as Require allows, and ends it after the
// test.
func Need(t testing.TB, kind Kind) *Server {
	t.Helper()
	Require(t, kind)
	s, err := Start(kind, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
