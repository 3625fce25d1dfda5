package store

import (
	"path/filepath"
	"testing"
	"time"
)

// TestLeaseOfAKilledProcess: another process on the database takes the lease over
// at once, and so does the process that is started next; a living process keeps
// its lease.
func TestLeaseOfAKilledProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "d.db")
	take := func(s *Store, until time.Duration) bool {
		t.Helper()
		held, err := s.Lease(t.Context(), "work", s.Holder(), now().Add(until))
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	die := func(s *Store) { // the kernel releases a dead process's locks
		t.Helper()
		if err := s.holding.Close(); err != nil {
			t.Fatal(err)
		}
	}
	first, err := Open(t.Context(), Options{URL: "sqlite://" + file})
	if err != nil {
		t.Fatal(err)
	}
	stop := startOnce(first)
	defer stop() //nolint:errcheck // its holder file is gone
	beside := openFile(t, file, nil)
	if first.Holder() == beside.Holder() {
		t.Fatal("two processes have the same name")
	}
	if !take(first, time.Minute/2) || take(beside, time.Minute/2) {
		t.Fatal("the first process does not hold the lease alone")
	}
	die(first)
	if !take(beside, time.Minute/2) {
		t.Error("a running process waits for the lease of a dead one")
	}
	if take(first, time.Minute/2) {
		t.Error("the dead process got the lease back")
	}
	killed, err := Open(t.Context(), Options{URL: "sqlite://" + file})
	if err != nil {
		t.Fatal(err)
	}
	stopKilled := startOnce(killed)
	defer stopKilled() //nolint:errcheck // its holder file is gone
	if err := beside.Release(t.Context(), "work", beside.Holder()); err != nil || !take(killed, time.Minute/2) {
		t.Fatalf("lease not released: %v", err)
	}
	die(killed)
	successor := openFile(t, file, nil)
	if !take(successor, time.Minute/2) {
		t.Error("the successor waits for the lease of the killed process")
	}
	if names, err := filepath.Glob(file + ".holder-*"); err != nil || len(names) != 2 {
		t.Errorf("files %v, %v; want those of the two living processes", names, err)
	}
}

// TestLeaseAfterTheClockWasSetBack: a lease of another machine that ends hours
// from now is taken over; one of a process that is known to live is not.
func TestLeaseAfterTheClockWasSetBack(t *testing.T) {
	s := openTestSQLite(t, nil)
	take := func(holder string, until time.Duration) bool {
		t.Helper()
		held, err := s.Lease(t.Context(), "work", holder, now().Add(until))
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	if !take("elsewhere", 5*time.Hour) || !take("other", 10*time.Second) {
		t.Error("the lease is locked until the clock has caught up")
	}
	if take("third", 10*time.Second) {
		t.Error("two processes hold the lease")
	}
	if err := s.Release(t.Context(), "work", "other"); err != nil {
		t.Fatal(err)
	}
	if !take(s.Holder(), 5*time.Hour) || take("third", 10*time.Second) {
		t.Error("the lease was taken from a living process")
	}
}
