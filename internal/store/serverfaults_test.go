package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
	"doorbell/internal/testservers/databases"
	"doorbell/transport/transporttest"
)

// ownServer starts a server that a test may kill, with an empty database.
func ownServer(t testing.TB, kind databases.Kind, o databases.Options) (server *databases.Server, url string) {
	t.Helper()
	databases.Require(t, kind)
	server, err := databases.Start(kind, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	url, _, err = server.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return server, url
}

// TestServerFaults kills, stops and freezes a server while callers write, again
// and again. An acknowledged change is in the log once, a refused one is not;
// nobody waits longer than queue and change may take; when the server is back, the
// node works again by itself.
func TestServerFaults(t *testing.T) {
	for _, kind := range []databases.Kind{databases.Postgres, databases.MariaDB} {
		t.Run(kind.Name, func(t *testing.T) { testServerFaults(t, kind) })
	}
}

func testServerFaults(t *testing.T, kind databases.Kind) {
	rounds := transporttest.Size(t, "DOORBELL_TEST_DBFAULTS", 1)
	server, url := ownServer(t, kind, databases.Options{})
	underWrites(t, url, func(s *Store, more func(), _ func() int64) {
		for range rounds {
			more()
			server.Kill()
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			more()
			server.Freeze()
			froze := time.Now()
			if _, _, err := s.Positions(t.Context(), []doorbell.ShopID{1}); err == nil {
				t.Error("Positions succeeded on a frozen server")
			}
			if took := time.Since(froze); took > readTime+10*time.Second { // allows for a busy machine
				t.Errorf("a read of a frozen server took %v, want %v at most", took, readTime)
			}
			server.Thaw()
			more()
			if err := server.Stop(); err != nil {
				t.Fatal(err)
			}
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestFullServer fills the server's disk while callers write: what is refused is
// not in the log, what is acknowledged is, and with free space the node works again.
func TestFullServer(t *testing.T) {
	for _, c := range []struct {
		kind     databases.Kind
		settings []string
	}{
		{databases.Postgres, []string{"max_wal_size=64MB", "min_wal_size=32MB"}},
		{databases.MariaDB, nil},
	} {
		t.Run(c.kind.Name, func(t *testing.T) {
			probe := t.TempDir()
			if err := syscall.Mount("tmpfs", probe, "tmpfs", 0, "size=1m"); err != nil {
				testrun.Skip(t, "needs to mount a small disk: %v", err)
			}
			if err := syscall.Unmount(probe, 0); err != nil {
				t.Fatal(err)
			}
			server, url := ownServer(t, c.kind, databases.Options{Space: 300 << 20, Settings: c.settings})
			underWrites(t, url, func(s *Store, more func(), refused func() int64) {
				more()
				if err := server.FillDisk(); err != nil {
					t.Fatal(err)
				}
				before := refused()
				waitFor(t, func() bool { return refused() > before+3 })
				waitFor(t, func() bool { return s.Check(t.Context()) != nil }) // small writes may find room for a while
				if err := server.FreeDisk(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// underWrites runs strike while callers write to a store, and then holds what they
// were told against the log. more waits until the store has taken further changes;
// refused counts those that it refused.
func underWrites(t *testing.T, url string, strike func(s *Store, more func(), refused func() int64)) {
	t.Helper()
	var mu sync.Mutex
	published := map[doorbell.Seq]doorbell.OrderID{}
	s := openURL(t, url, func(alerts []doorbell.Alert) {
		mu.Lock()
		defer mu.Unlock()
		for _, a := range alerts {
			published[a.Seq] = a.OrderID
		}
	})
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var next, acked, refused, unknown atomic.Int64
	var longest atomic.Int64
	var results sync.Map // by order
	var writing sync.WaitGroup
	defer writing.Wait()
	defer stop()
	for range 8 {
		writing.Go(func() {
			for ctx.Err() == nil {
				id := doorbell.OrderID(next.Add(1))
				began := time.Now()
				err := s.WriteUrgent(context.Background(), func(tx doorbell.Tx) error {
					_, err := tx.Append(alertOf(1, id, doorbell.NewOrder))
					return err
				})
				longest.Store(max(longest.Load(), int64(time.Since(began))))
				results.Store(id, err)
				switch {
				case err == nil:
					acked.Add(1)
				case errors.Is(err, errOutcome):
					unknown.Add(1)
				default:
					refused.Add(1)
				}
			}
		})
	}
	more := func() { // the node works again
		t.Helper()
		deadline := time.Now().Add(60 * time.Second)
		for want := acked.Load() + 20; acked.Load() < want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the node did not recover")
			}
		}
	}
	strike(s, more, refused.Load)
	more()
	stop()
	writing.Wait()
	kept := map[doorbell.OrderID]int{}
	for after := doorbell.Seq(0); ; {
		alerts, err := s.AlertsAfter(t.Context(), 1, after, 500)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range alerts {
			if a.Seq != after+1 {
				t.Fatalf("alert %d comes after %d", a.Seq, after)
			}
			if id, ok := published[a.Seq]; ok && id != a.OrderID {
				t.Errorf("alert %d is of order %d, and was published as that of %d", a.Seq, a.OrderID, id)
			}
			delete(published, a.Seq)
			after = a.Seq
			kept[a.OrderID]++
		}
		if len(alerts) < 500 {
			break
		}
	}
	if len(published) > 0 {
		t.Errorf("published, and not in the log: %v", published)
	}
	results.Range(func(key, value any) bool {
		n := kept[key.(doorbell.OrderID)]
		err, _ := value.(error)
		if err == nil && n != 1 || err != nil && !errors.Is(err, errOutcome) && n != 0 || n > 1 {
			t.Errorf("order %v is in the log %d times, and its caller was told %v", key, n, err)
		}
		return true
	})
	if findings, err := Verify(t.Context(), url); err != nil || len(findings) > 0 {
		t.Errorf("findings %q, %v", findings, err)
	}
	t.Logf("%d acknowledged, %d refused, %d unknown; the longest answer took %v",
		acked.Load(), refused.Load(), unknown.Load(), time.Duration(longest.Load()).Round(time.Millisecond))
}

// TestServerRestored: backup and restore name the server's own tools; after these
// and restore --epoch the log has a new epoch, sessions have ended, and tickets
// are gone.
func TestServerRestored(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		at := db.url(t)
		if err := Backup(t.Context(), at, t.TempDir()+"/b"); !errors.Is(err, ErrOwnTools) {
			t.Errorf("backup: %v", err)
		}
		if _, err := Restore(t.Context(), at, t.TempDir()+"/b"); !errors.Is(err, ErrOwnTools) {
			t.Errorf("restore: %v", err)
		}
		if err := Restored(t.Context(), at); err == nil {
			t.Error("an empty database was restored")
		}
		state := func() string {
			s, err := Open(t.Context(), Options{URL: at})
			if err != nil {
				t.Fatal(err)
			}
			stop := startOnce(s)
			defer func() {
				if err := stop(); err != nil {
					t.Error(err)
				}
			}()
			epoch, _, err1 := s.Positions(t.Context(), nil)
			generation, err2 := s.Generation(t.Context())
			if _, err := s.Ticket(t.Context(), "ticket"); err == nil {
				t.Error("an old ticket is still valid")
			}
			k := doorbell.Ticket{ID: "ticket", Grant: loginOf("x", "").Grant, Expires: now().Add(time.Hour), Generation: "g"}
			if err := errors.Join(err1, err2, s.SaveTicket(t.Context(), k)); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(epoch, " ", generation)
		}
		before := state()
		if err := Restored(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		var e1, g1, e2, g2 string
		after := state()
		_, _ = fmt.Sscan(before, &e1, &g1)
		_, _ = fmt.Sscan(after, &e2, &g2)
		if e1 == e2 || g1 == g2 || e2 == "" || g2 == "" {
			t.Errorf("epoch and generation %q, then %q; want others", before, after)
		}
	})
}
