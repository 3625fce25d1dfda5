package store

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"doorbell/internal/doorbell"
)

// oldKitchen writes a day's data of schema 2 to file: paid and unpaid orders,
// reminders, alerts of two shops, an accepted one, keys, a receipt, callbacks, a
// paired tablet, a session, waiting webhooks, a push subscription.
func oldKitchen(t *testing.T, file string) {
	t.Helper()
	script, err := os.ReadFile("testdata/schema2.sql")
	if err != nil {
		t.Fatal(err)
	}
	db, err := openSQLitePool(sqliteDSN(file), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), string(script)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// content returns the columns of schema 2, a line per row.
func content(t *testing.T, db *sql.DB) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for table, columns := range map[string]string{
		"shop_heads":       `shop_id || ' ' || last_seq`,
		"orders":           `id || ' ' || number || ' ' || shop_id || ' ' || user_id || ' ' || status || ' ' || pay_status || ' ' || amount || currency || ' ' || provider || ' ' || transaction_id || ' ' || created_at || ' ' || paid_at || ' ' || reminded_at`,
		"alerts":           `shop_id || ' ' || seq || ' ' || type || ' ' || source || ' ' || order_id || ' ' || number || ' ' || content || ' ' || test || ' ' || actor || ' ' || created_at || ' ' || ringing || ' ' || heard`,
		"idempotency_keys": `subject || ' ' || shop_id || ' ' || value || ' ' || body_hash || ' ' || seq`,
		"receipts":         `shop_id || ' ' || seq || ' ' || console || ' ' || stage || ' ' || created_at`,
		"inbox":            `provider || ' ' || kind || ' ' || transaction_id || ' ' || number || ' ' || amount || ' ' || verdict || ' ' || times`,
		"logins":           `id || ' ' || subject || ' ' || role || ' ' || shops || ' ' || expires_at || ' ' || paired || ' ' || label`,
		"outbox":           `id || ' ' || hook || ' ' || message || ' ' || event || ' ' || body || ' ' || state || ' ' || attempts`,
		"pushes":           `endpoint || ' ' || login_id || ' ' || shop_id`,
	} {
		rows, err := db.QueryContext(t.Context(), `select `+columns+` from `+table+` order by 1`)
		if err != nil {
			t.Fatal(err)
		}
		if err := scanRows(rows, func(r *sql.Rows) error {
			var line string
			err := r.Scan(&line)
			out[table] = append(out[table], line)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if len(out[table]) == 0 {
			t.Fatalf("%s is empty: oldKitchen does not test it", table)
		}
	}
	return out
}

// TestManyStartsUpgradeAnOldDatabase: of many starts at the same moment one
// upgrades, after one backup, and the others wait; nothing is lost, and consoles
// go on from their cursors. goose itself has no lock on SQLite.
func TestManyStartsUpgradeAnOldDatabase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "d.db")
	oldKitchen(t, file)
	before := func() map[string][]string {
		db, err := openSQLitePool(sqliteDSN(file), 1)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close() //nolint:errcheck // read
		return content(t, db)
	}()
	var starting sync.WaitGroup
	stores, errs := [4]*Store{}, [4]error{}
	for i := range stores {
		starting.Go(func() {
			stores[i], errs[i] = Open(t.Context(), Options{URL: "sqlite://" + file, Log: slog.New(slog.DiscardHandler)})
		})
	}
	starting.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("start %d: %v", i, err)
			continue
		}
		defer stores[i].Close() //nolint:errcheck // a test
	}
	if t.Failed() {
		return
	}
	if names, err := filepath.Glob(file + ".v2-*.bak"); err != nil || len(names) != 1 {
		t.Errorf("%v, %v; want one backup", names, err)
	}
	if diff := cmp.Diff(before, content(t, stores[0].writes)); diff != "" {
		t.Errorf("the upgrade changed (-before +after):\n%s", diff)
	}
	epoch, at, err := stores[0].Positions(t.Context(), []doorbell.ShopID{1, 2})
	if got := fmt.Sprintf("%s 1:%d 2:%d", epoch, at[1].Head, at[2].Head); err != nil || got != "lck5os7pu6 1:5 2:4" {
		t.Errorf("consoles' cursors: %s, %v; want those of before", got, err)
	}
	if findings, err := Verify(t.Context(), "sqlite://"+file); err != nil || len(findings) > 0 {
		t.Errorf("verify: %v, %v", findings, err)
	}
	nextIDs(t, stores[0])
}

// nextIDs checks that orders and alerts are numbered on from the old ones.
func nextIDs(t *testing.T, s *Store) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	if a := appendOne(t, s, alertOf(2, 9, doorbell.NewOrder)); a.Seq != 5 {
		t.Errorf("the next alert is %d, want 5", a.Seq)
	}
	if err := s.Write(t.Context(), func(tx doorbell.Tx) error {
		o, err := tx.InsertOrder(doorbell.Order{Number: "N", Shop: 1, Status: doorbell.ToBePaid, Money: doorbell.Money{Minor: 1, Currency: "CNY"}})
		if o.ID != 6 {
			t.Errorf("the next order is %d, want 6", o.ID)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}
