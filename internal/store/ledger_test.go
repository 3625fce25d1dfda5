package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"doorbell/internal/doorbell"
)

// TestLedger: every database derives a day alike, seals it once however many nodes try
// to, finds what was changed, and bears that what it was made from is pruned.
func TestLedger(t *testing.T) { onAll(t, testLedger) }

func testLedger(t *testing.T, db database) {
	s := db.open(t, nil)
	at := doorbell.Instant(now())
	for _, number := range []string{"A-1", "A-2", "A-3"} {
		paidOrder(t, s, number)
	}
	closing := alertOf(1, 1, doorbell.TakenCare)
	closing.Source, closing.Actor = doorbell.FromOrder, "console:cook"
	appendOne(t, s, closing)
	err := s.Write(t.Context(), func(tx doorbell.Tx) error { // paid, and no alert tells of it
		o, err := tx.InsertOrder(doorbell.Order{Number: "B-1", Shop: 1, Money: doorbell.Money{Minor: 5, Currency: "CNY"}, Status: doorbell.ToBePaid, CreatedAt: at})
		if err != nil {
			return err
		}
		o.Status, o.PayStatus, o.Provider, o.Transaction, o.PaidAt = doorbell.ToBeAccepted, doorbell.Paid, "wechat", "TB-1", at
		return tx.UpdateOrder(o)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, stage := range []doorbell.Stage{doorbell.Shown, doorbell.Sounded} {
		if err := s.SaveReceipt(t.Context(), doorbell.Receipt{Shop: 1, Seq: 1, Console: "c1", Stage: stage, By: "tab", At: at}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SaveDeliveries(t.Context(), []doorbell.Delivery{{Shop: 1, From: 1, Upto: 2, Console: "c1", By: "tab", At: at}}); err != nil {
		t.Fatal(err)
	}
	d := doorbell.LedgerDay{Shop: 1, Begins: at.Add(-time.Hour), Ends: at.Add(time.Hour), Day: "2026-11-24", AsOf: at.Add(25 * time.Hour)}
	if d, err = s.LedgerDay(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range d.Entries {
		got = append(got, fmt.Sprint(e.Seq, " ", e.Number, " ", e.Paid, " ", e.End(), " ", e.Why))
	}
	want := "1 A-1 true accepted []; 2 A-2 true expired [not_shown expired]; 3 A-3 true expired [not_delivered expired]; 0 B-1 true  [not_alerted]"
	if text := strings.Join(got, "; "); text != want {
		t.Errorf("the day is\n%s, want\n%s", text, want)
	}
	var sealing sync.WaitGroup
	var mu sync.Mutex
	sealed := 0
	for range 8 {
		sealing.Go(func() {
			_, first, err := s.SealDay(t.Context(), d)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if first {
				sealed++
			}
		})
	}
	sealing.Wait()
	again, found, err := s.SealedDay(t.Context(), 1, d.Day)
	if sealed != 1 || !found || err != nil || len(again.Entries) != 4 || again.Entries[3].Body() != d.Entries[3].Body() {
		t.Fatalf("sealed %d times; found %v, %v: %+v", sealed, found, err, again)
	}
	next := doorbell.LedgerDay{Shop: 1, Begins: d.Ends, Ends: d.Ends.Add(time.Hour), Day: "2026-11-25", AsOf: d.AsOf, Before: again.Hash}
	if _, ok, err := s.SealDay(t.Context(), next); !ok || err != nil {
		t.Fatalf("the day after: %v, %v", ok, err)
	}
	change := func(query string) error {
		return s.queue.do(t.Context(), func(t *txn) error { return t.exec(query) })
	}
	finds := func(what, breaks, want string) {
		t.Helper()
		if breaks != "" {
			if err := change(breaks); err != nil {
				t.Fatal(err)
			}
		}
		tx, err := s.reads.db.BeginTx(t.Context(), s.dialect.snapshot)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback() //nolint:errcheck // it only read
		findings, err := auditLedger(t.Context(), tx, s.dialect)
		if text := strings.Join(findings, "\n"); err != nil || text != want {
			t.Errorf("%s: found %q, %v; want %q", what, text, err, want)
		}
	}
	finds("as it was sealed", "", "")
	const on = "ledger of shop 1, 2026-11-24: "
	finds("an amount", `update orders set amount = amount + 1 where number = 'A-2'`, on+"line 2 (alert 2, order A-2): amount is 1 in the ledger and 2 in the log")
	finds("mended", `update orders set amount = amount - 1 where number = 'A-2'`, "")
	finds("an untold order", `update orders set amount = 6 where number = 'B-1'`, on+"line 4 (order B-1): amount is 5 in the ledger and 6 in the log")
	finds("mended again", `update orders set amount = 5 where number = 'B-1'`, "")
	if err := change(`update alerts set ringing = 0`); err != nil {
		t.Fatal(err)
	}
	if err := change(`update orders set status = 3`); err != nil {
		t.Fatal(err)
	}
	keep := Retention{Alerts: time.Hour, Orders: 1000 * time.Hour, Inbox: time.Hour}
	if err := s.Prune(t.Context(), keep, at.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	finds("the log is pruned", "", "")
	keep.Orders = time.Hour
	if err := s.Prune(t.Context(), keep, at.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	finds("the orders are pruned", "", "")
	keep.Ledger = time.Hour
	if err := s.Prune(t.Context(), keep, at.Add(4*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if again, found, err := s.SealedDay(t.Context(), 1, d.Day); !found || err != nil || len(again.Entries) != 0 {
		t.Errorf("its lines are pruned: found %v, %v, with %d lines", found, err, len(again.Entries))
	}
	finds("the lines are pruned", "", "")
	finds("a pruned day's hash", `update ledger_days set hash = 'ff' where day = '2026-11-24'`, "ledger of shop 1, 2026-11-25: it does not follow the day before: one of the two was changed")
}
