package databases

import (
	"os"
	"testing"
)

// Need starts a server of its own for a test and ends it after the test. Where the
// programs are missing it skips the test; in CI that is a failure.
func Need(t testing.TB, kind Kind) *Server {
	t.Helper()
	if why := Missing(kind); why != "" {
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
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
