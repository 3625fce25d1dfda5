package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// TestDiskFullInTheBatch forces SQLITE_FULL within a batch by a limit on the
// file's pages: nothing of that batch is acknowledged, published or stored, and
// the store works again when there is room.
func TestDiskFullInTheBatch(t *testing.T) {
	var mu sync.Mutex
	published := map[doorbell.Seq]bool{}
	s := openTestSQLite(t, func(alerts []doorbell.Alert) {
		mu.Lock()
		defer mu.Unlock()
		for _, a := range alerts {
			published[a.Seq] = true
		}
	}, "max_page_count(80)")
	acked := fillUp(t, s)
	check := func() {
		t.Helper()
		alerts, err := s.AlertsAfter(t.Context(), 1, 0, 100000)
		if err != nil || len(alerts) != acked || len(published) != acked {
			t.Fatalf("%d kept, %d published (%v), want the %d acknowledged", len(alerts), len(published), err, acked)
		}
		for i, a := range alerts {
			if a.Seq != doorbell.Seq(i+1) || !published[a.Seq] {
				t.Fatalf("kept %v, want 1 to %d, all published", seqs(alerts), acked)
			}
		}
	}
	check()
	if s.Check(t.Context()) == nil {
		t.Error("Check reports no error while the disk is full")
	}
	// The next connection gets a higher limit.
	s.writer.(*groupWriter).db.Close() //nolint:errcheck // replaced
	db, err := openSQLitePool(sqliteDSN(s.file(t)), 1)
	if err != nil {
		t.Fatal(err)
	}
	s.writer.(*groupWriter).db, s.writes = db, db
	appendOne(t, s, alertOf(1, 1, doorbell.NewOrder))
	acked++
	check()
}

func (s *Store) file(t *testing.T) (file string) {
	t.Helper()
	if err := s.reads.db.QueryRowContext(t.Context(), `select file from pragma_database_list where name = 'main'`).Scan(&file); err != nil {
		t.Fatal(err)
	}
	return file
}

// fillUp writes from several callers until writes fail, and returns how many were
// acknowledged. Every failure must be one to retry.
func fillUp(t *testing.T, s *Store) (acked int) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 500 {
				a := alertOf(1, 1, doorbell.NewOrder)
				a.Content = strings.Repeat("x", 500)
				err := s.Write(context.Background(), func(tx doorbell.Tx) error {
					_, err := tx.Append(a)
					return err
				})
				if err != nil {
					if doorbell.CodeOf(err) != doorbell.Unavailable {
						t.Errorf("got %v, want unavailable", err)
					}
					return
				}
				mu.Lock()
				acked++
				mu.Unlock()
			}
			t.Error("500 writes passed, the disk never filled up")
		})
	}
	wg.Wait()
	return acked
}

// TestDiskFullAtCommit fills a real file system: in WAL mode the pages are written
// at COMMIT, which then returns SQLITE_FULL.
func TestDiskFullAtCommit(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		if os.Getenv("DOORBELL_TEST_DISK") == "required" {
			t.Fatalf("mount a small disk: %v", err)
		}
		testrun.Skip(t, "needs to mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	published := 0
	s := openFile(t, filepath.Join(dir, "doorbell.db"), func(alerts []doorbell.Alert) { published += len(alerts) })
	acked := fillUp(t, s)
	err := s.Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("Check says %v, want the full disk", err)
	}
	alerts, err := s.AlertsAfter(t.Context(), 1, 0, 100000)
	if err != nil || len(alerts) != acked || published != acked {
		t.Errorf("%d kept, %d published (%v), want the %d acknowledged", len(alerts), published, err, acked)
	}
	// When there is room, the check succeeds without a write by anybody.
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=16m"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return s.Check(t.Context()) == nil })
}

// TestARefusalIsUndoneAlone queues three changes as one batch; the second one
// writes and then refuses. Its writes are undone, those of the others stay, and
// each alert is published once.
func TestARefusalIsUndoneAlone(t *testing.T) {
	var published []doorbell.Alert
	s, err := Open(t.Context(), Options{
		URL:     "sqlite://" + filepath.Join(t.TempDir(), "doorbell.db"),
		Publish: func(alerts []doorbell.Alert) { published = append(published, alerts...) },
	})
	if err != nil {
		t.Fatal(err)
	}
	refusal := doorbell.Refuse(doorbell.Conflict, "no", "不")
	results := make([]error, 3)
	var callers sync.WaitGroup
	for i := range results { // the writer does not run yet, so they share a batch
		callers.Go(func() {
			results[i] = s.Write(t.Context(), func(tx doorbell.Tx) error {
				if _, err := tx.Append(alertOf(1, doorbell.OrderID(i+1), doorbell.NewOrder)); err != nil || i != 1 {
					return err
				}
				return refusal
			})
		})
		waitFor(t, func() bool { return len(s.queue.ops) == i+1 })
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	callers.Wait()
	stop()
	running.Wait()
	if results[0] != nil || !errors.Is(results[1], refusal) || results[2] != nil {
		t.Errorf("results %v, want only the second one refused", results)
	}
	alerts, err := s.AlertsAfter(t.Context(), 1, 0, 10)
	if err != nil || len(alerts) != 2 || alerts[0].OrderID != 1 || alerts[1].OrderID != 3 || alerts[1].Seq != 2 {
		t.Errorf("kept %v (%v), want those of orders 1 and 3, without a gap", alerts, err)
	}
	if diff := cmp.Diff(alerts, published, asKept); diff != "" {
		t.Errorf("kept and published differ:\n%s", diff)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// waitFor waits for a condition.
func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the condition was not met in time")
		}
	}
}

// TestNothingRunsAfterAFailure: a change that ignores errors must not write after
// an error that ended its transaction.
func TestNothingRunsAfterAFailure(t *testing.T) { onAll(t, testNothingRunsAfterAFailure) }

func testNothingRunsAfterAFailure(t *testing.T, db database) {
	s := db.open(t, nil)
	err := s.queue.do(t.Context(), func(tx *txn) error {
		if err := tx.exec(`rollback`); err != nil { // as SQLite does by itself on FULL, IOERR and NOMEM
			return err
		}
		_ = tx.exec(`select nonsense`) // an error other than a constraint ends the transaction
		_, err := tx.Append(alertOf(1, 1, doorbell.NewOrder))
		return err
	})
	if doorbell.CodeOf(err) != doorbell.Unavailable {
		t.Errorf("got %v, want unavailable", err)
	}
	if a := appendOne(t, s, alertOf(1, 2, doorbell.NewOrder)); a.Seq != 1 {
		t.Errorf("seq %d, want 1: something was written outside of a transaction", a.Seq)
	}
}

// TestLostTransaction rolls the writer's transaction back behind its back: the
// commit fails, and with it the whole batch.
func TestLostTransaction(t *testing.T) {
	published := 0
	s := openTestSQLite(t, func(alerts []doorbell.Alert) { published += len(alerts) })
	err := s.queue.do(t.Context(), func(tx *txn) error {
		if _, err := tx.Append(alertOf(1, 1, doorbell.NewOrder)); err != nil {
			return err
		}
		return tx.exec(`rollback`) // as SQLite does by itself on FULL, IOERR and NOMEM
	})
	if doorbell.CodeOf(err) != doorbell.Unavailable {
		t.Errorf("got %v, want unavailable", err)
	}
	if a := appendOne(t, s, alertOf(1, 2, doorbell.NewOrder)); a.Seq != 1 || published != 1 {
		t.Errorf("seq %d with %d published, want 1 and 1", a.Seq, published)
	}
}

func TestFailedCommit(t *testing.T) {
	published := 0
	s := openTestSQLite(t, func(alerts []doorbell.Alert) { published += len(alerts) })
	if _, err := s.writes.ExecContext(t.Context(), `create table child (id integer references shop_heads (shop_id) deferrable initially deferred)`); err != nil {
		t.Fatal(err)
	}
	err := s.queue.do(t.Context(), func(tx *txn) error {
		if _, err := tx.Append(alertOf(1, 1, doorbell.NewOrder)); err != nil {
			return err
		}
		return tx.exec(`insert into child (id) values (99)`) // fails only at COMMIT
	})
	if doorbell.CodeOf(err) != doorbell.Unavailable {
		t.Errorf("got %v, want unavailable", err)
	}
	if a := appendOne(t, s, alertOf(1, 2, doorbell.NewOrder)); a.Seq != 1 || published != 1 {
		t.Errorf("seq %d with %d published, want 1 and 1", a.Seq, published)
	}
}

func TestACallerWhoLeavesBreaksNothing(t *testing.T) { onAll(t, testACallerWhoLeavesBreaksNothing) }

func testACallerWhoLeavesBreaksNothing(t *testing.T, db database) {
	s := db.open(t, nil)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Write(gone, func(tx doorbell.Tx) error { return errors.New("must not run") })
	if doorbell.CodeOf(err) != doorbell.Unavailable {
		t.Errorf("got %v, want unavailable", err)
	}
	appendOne(t, s, alertOf(1, 1, doorbell.NewOrder))
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
}

// TestQueryPlans: the queries of every payment, accept and resume find their rows
// by index, however long the log is.
func TestQueryPlans(t *testing.T) {
	s := openTestSQLite(t, nil)
	for query, want := range map[string]string{
		`select seq from alerts where shop_id = 1 and source = 'order' and order_id = 7 and seq > 3 and type in (3, 4) order by seq limit 1`:                                   "alerts_order (shop_id=? AND source=? AND order_id=?",
		`update alerts set ringing = 0 where shop_id = 1 and source = 'order' and order_id = 7 and ringing = 1`:                                                                "alerts_order (shop_id=? AND source=? AND order_id=?",
		`select count(*) from alerts where shop_id = 1 and source = 'order' and order_id = 7 and ringing = 1`:                                                                  "alerts_order (shop_id=? AND source=? AND order_id=?",
		`select ` + alertColumns + `, ringing from alerts where shop_id = 1 and ringing = 1 and seq < 9 order by seq desc limit 50`:                                            "alerts_ringing (shop_id=? AND seq<?)",
		`select ` + alertColumns + ` from alerts where shop_id = 1 and seq > 5 order by seq limit 64`:                                                                          "PRIMARY KEY (shop_id=? AND seq>?)",
		`select h.shop_id, h.last_seq, (select min(a.seq) from alerts a where a.shop_id = h.shop_id) from shop_heads h where h.shop_id in (1, 2)`:                              "h USING INTEGER PRIMARY KEY (rowid=?)",
		`select min(a.seq) from alerts a where a.shop_id = 1`:                                                                                                                  "(shop_id=?)",
		`select ` + orderColumns + ` from orders where account = 'a' and number = 'x'`:                                                                                         "sqlite_autoindex_orders_1 (account=? AND number=?)",
		`select ` + orderColumns + ` from orders where number = 'x' order by id limit 64`:                                                                                      "orders_number (number=?)",
		`select ` + callbackColumns + ` from inbox where number = 'x' and verdict in ('y', 'z') and kind = 'payment' order by first_at`:                                        "inbox_number (number=? AND verdict=?)",
		`select ` + callbackColumns + ` from inbox where provider = 'p' and payment_id = 'x' and payment_id <> '' and kind = 'refund'`:                                         "inbox_payment (provider=? AND payment_id=?",
		`select ` + alertColumns + ` from alerts where ringing = 1 and heard = 0 and created_at < 5 order by created_at limit 100`:                                             "alerts_unheard (created_at<?)",
		`select ` + orderColumns + ` from orders where pay_status = 0 and created_at >= 1 and created_at <= 5 and (created_at, id) > (2, 3) order by created_at, id limit 500`: "orders_unpaid (",
		`select id, ` + outgoingColumns + ` from outbox where hook = 'h' and state = 0 and next_at <= 5 order by next_at, id limit 256`:                                        "outbox_due (hook=? AND next_at<?)",
		`select id from outbox where created_at < 5 order by created_at limit 500`:                                                                                             "outbox_old (created_at<?)",
		`select count(*) from receipts where shop_id = 1 and seq = 2`:                                                                                                          "PRIMARY KEY (shop_id=? AND seq=?)",
		`select seq, ` + detailOf + ` from alerts a where shop_id = 1 and ringing = 1 order by seq desc limit 50`:                                                              "sqlite_autoindex_alert_details_1 (shop_id=? AND seq=?)",
	} {
		var plan []string
		for name, db := range map[string]*sql.DB{"reader": s.reads.db, "writer": s.writes} {
			if w := s.writer.(*groupWriter); name == "writer" && w.conn != nil {
				continue // the writer holds it
			}
			rows, err := db.QueryContext(t.Context(), `explain query plan `+query)
			if err != nil {
				t.Fatal(err)
			}
			err = scanRows(rows, func(r *sql.Rows) error {
				var id, parent, unused int
				var detail string
				err := r.Scan(&id, &parent, &unused, &detail)
				plan = append(plan, detail)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if text := strings.Join(plan, "; "); !strings.Contains(text, want) || strings.Contains(text, "SCAN") {
				t.Errorf("%s on the %s: %s, want %s", query, name, text, want)
			}
		}
	}
}
