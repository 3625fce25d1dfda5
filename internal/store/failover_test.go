package store

import (
	"context"
	"strings"
	"testing"

	"doorbell/internal/doorbell"
	"doorbell/internal/testservers/databases"
)

// TestTimeline: when a replica has become the primary the log has a new epoch before
// anything is read of it or written to it, once for all nodes; the old primary, which
// comes back, is not talked to any more.
func TestTimeline(t *testing.T) {
	primary, url := ownServer(t, databases.Postgres, databases.Options{})
	replica, err := primary.Replica(primary.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := replica.Close(); err != nil {
			t.Error(err)
		}
	})
	both := strings.Replace(url, primary.Addr(), primary.Addr()+","+replica.Addr(), 1) + "?target_session_attrs=read-write"
	if err := primary.Exec(t.Context(), `alter system set synchronous_standby_names = '*'`); err != nil {
		t.Fatal(err)
	}
	if err := primary.Exec(t.Context(), `select pg_reload_conf()`); err != nil {
		t.Fatal(err)
	}
	nodes := []*Store{openURL(t, both, nil), openURL(t, both, nil)}
	appended := func(s *Store) doorbell.Alert {
		t.Helper()
		var a doorbell.Alert
		err := s.Write(context.Background(), func(tx doorbell.Tx) (err error) {
			a, err = tx.Append(alertOf(1, 1, doorbell.NewOrder))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := appended(nodes[0])
	primary.Kill()
	if err := replica.Exec(t.Context(), `select pg_promote(true, 60)`); err != nil {
		t.Fatal(err)
	}
	second := appended(nodes[1])
	if second.Seq != 2 || second.Epoch == first.Epoch {
		t.Errorf("after the failover alert %d has epoch %q, want 2 and another than %q", second.Seq, second.Epoch, first.Epoch)
	}
	for i, s := range append(nodes, openURL(t, both, nil)) {
		if epoch, at, err := readPositions(s); err != nil || epoch != second.Epoch || at[1].Head != 2 {
			t.Errorf("node %d reads epoch %q and head %d, %v; want %q and 2", i, epoch, at[1].Head, err, second.Epoch)
		}
	}
	if err := replica.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := primary.Start(); err != nil { // as if nothing had happened
		t.Fatal(err)
	}
	if _, _, err := readPositions(nodes[0]); err == nil || !strings.Contains(err.Error(), "older") {
		t.Errorf("the old primary: %v, want that it is on an older timeline", err)
	}
}

// readPositions reads the head of shop 1. A connection to a server that ended may be
// told of the end by the first read, so that read is made again.
func readPositions(s *Store) (epoch string, at map[doorbell.ShopID]doorbell.Position, err error) {
	for range serverReaders + 1 {
		epoch, at, err = s.Positions(context.Background(), []doorbell.ShopID{1})
		if err == nil || strings.Contains(err.Error(), "older") {
			break
		}
	}
	return epoch, at, err
}
