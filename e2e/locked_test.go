package e2e

import (
	"database/sql"
	"net/http"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // another program that has the file open
)

// TestLockedDatabase: another program holds the write lock for longer than the
// server waits. Nothing is acknowledged meanwhile, and afterwards the server works
// again by itself.
func TestLockedDatabase(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	service := s.token("service", "--shops", "1")
	raise := func(order int) int {
		status, _ := s.call("POST", "api/v1/alerts", service, map[string]any{"type": 1, "shopId": 1, "orderId": order})
		return status
	}
	if status := raise(1); status != http.StatusCreated {
		t.Fatalf("before: %d", status)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.data(), "doorbell.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // the test is over
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), `begin immediate`); err != nil {
		t.Fatal(err)
	}
	if status := raise(2); status != http.StatusServiceUnavailable {
		t.Errorf("while locked: %d, want 503", status)
	}
	if status, _ := s.call("GET", "api/v1/alerts?shop=1", service, nil); status != http.StatusOK {
		t.Errorf("reading while locked: %d, want 200", status)
	}
	if _, err := db.ExecContext(t.Context(), `rollback`); err != nil {
		t.Fatal(err)
	}
	if status := raise(3); status != http.StatusCreated {
		t.Errorf("after: %d, want 201 at once", status)
	}
	_, got := s.call("GET", "api/v1/alerts?shop=1", service, nil)
	if alerts := got["alerts"].([]any); len(alerts) != 2 || alerts[0].(map[string]any)["seq"] != float64(2) {
		t.Errorf("the log has %v, want the two acknowledged, without a gap", got)
	}
}

// TestReadOnlyDatabase: the server does not start on a file that it can't write,
// and says so.
func TestReadOnlyDatabase(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	s := startServer(t, "DOORBELL_DATABASE_URL=sqlite://"+filepath.Join(d.dir, "data", "doorbell.db"))
	service := s.token("service", "--shops", "1")
	if status, _ := s.call("POST", "api/v1/alerts", service, map[string]any{"type": 1, "shopId": 1, "orderId": 1}); status != http.StatusCreated {
		t.Fatalf("before: %d", status)
	}
	d.cut() // ext4 refuses every write from now on, as after an I/O error
	for range 3 {
		if status, _ := s.call("POST", "api/v1/alerts", service, map[string]any{"type": 1, "shopId": 1, "orderId": 2}); status != http.StatusServiceUnavailable {
			t.Errorf("on a disk that takes no writes: %d, want 503", status)
		}
	}
	if res, err := http.Get(s.base + "readyz"); err != nil || statusOf(res) != http.StatusServiceUnavailable {
		t.Errorf("readyz on a disk that takes no writes: %v", err)
	}
	s.stop(9)
	d.unmount()
	if err := d.mount(); err != nil {
		t.Fatal(err)
	}
	s.start()
	_, got := s.call("GET", "api/v1/alerts?shop=1", service, nil)
	if alerts := got["alerts"].([]any); len(alerts) != 1 {
		t.Errorf("the log has %v, want what was acknowledged", got)
	}
	s.stop(15) // before its disk goes
}
