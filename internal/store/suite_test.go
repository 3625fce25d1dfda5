package store

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"doorbell/internal/doorbell"
)

func testClosing(t *testing.T, db database) {
	s := db.open(t, nil)
	first := appendOne(t, s, alertOf(1, 7, doorbell.NewOrder))
	appendOne(t, s, alertOf(1, 8, doorbell.NewOrder))
	same := alertOf(1, 7, doorbell.NewOrder) // the same id from another source is another order
	same.Source = doorbell.FromOrder
	appendOne(t, s, same)
	closing := appendOne(t, s, alertOf(1, 7, doorbell.TakenCare))
	appendOne(t, s, alertOf(1, 7, doorbell.Reminder)) // rings again

	page, err := s.Alerts(t.Context(), doorbell.AlertQuery{Shop: 1, OpenOnly: true, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var open []doorbell.Seq
	for _, a := range page.Alerts {
		open = append(open, a.Seq)
	}
	if diff := cmp.Diff([]doorbell.Seq{5, 3, 2}, open); diff != "" {
		t.Errorf("open alerts (-want +got):\n%s", diff)
	}
	if got := page.Cursor.Seqs[1]; got != 5 {
		t.Errorf("cursor at %d, want 5", got)
	}
	err = s.Write(t.Context(), func(tx doorbell.Tx) error {
		got, closed, err := tx.ClosedBy(first)
		if !closed || got.Seq != closing.Seq {
			t.Errorf("closed by %d (%v), want %d", got.Seq, closed, closing.Seq)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func testHistory(t *testing.T, db database) {
	s := db.open(t, nil)
	for i := range 5 {
		appendOne(t, s, alertOf(1, doorbell.OrderID(i+1), doorbell.NewOrder))
	}
	appendOne(t, s, alertOf(1, 3, doorbell.TakenCare))
	appendOne(t, s, alertOf(2, 1, doorbell.NewOrder))
	r := doorbell.Receipt{Shop: 1, Seq: 3, Console: "c1", Stage: doorbell.Shown, By: "tab", At: doorbell.Instant(now())}
	for range 2 { // idempotent
		if err := s.SaveReceipt(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	missing := r
	missing.Seq = 99
	if err := s.SaveReceipt(t.Context(), missing); doorbell.CodeOf(err) != doorbell.NotFound {
		t.Errorf("receipt for a missing alert: %v, want not_found", err)
	}
	q := doorbell.AlertQuery{Shop: 1, Limit: 4}
	page, err := s.Alerts(t.Context(), q)
	if err != nil || len(page.Alerts) != 4 || page.Alerts[0].Seq != 6 || page.Next != 3 {
		t.Fatalf("first page %+v, %v; want 6 to 3 and next 3", page, err)
	}
	three := page.Alerts[3]
	if three.Open || three.Closed == nil || three.Closed.Seq != 6 || three.Closed.By != "test" {
		t.Errorf("alert 3 is %+v, want closed by 6", three)
	}
	if diff := cmp.Diff([]doorbell.Receipt{{Console: "c1", Stage: doorbell.Shown, By: "tab", At: r.At}}, three.Receipts); diff != "" {
		t.Errorf("receipts (-want +got):\n%s", diff)
	}
	q.Before = page.Next
	page, err = s.Alerts(t.Context(), q)
	if err != nil || len(page.Alerts) != 2 || page.Next != 0 {
		t.Errorf("second page %+v, %v; want 2, 1 and no next", page, err)
	}
	page, err = s.Alerts(t.Context(), doorbell.AlertQuery{Shop: 1, Type: doorbell.TakenCare, After: 5, Limit: 1})
	if err != nil || len(page.Alerts) != 1 || page.Alerts[0].Seq != 6 {
		t.Errorf("by type %+v, %v; want 6", page, err)
	}
}

func testPrune(t *testing.T, db database) {
	s := db.open(t, nil)
	old := time.Now().Add(-48 * time.Hour)
	add := func(order doorbell.OrderID, typ doorbell.Type, at time.Time) {
		a := alertOf(1, order, typ)
		a.Time = at
		appendOne(t, s, a)
	}
	add(1, doorbell.NewOrder, old)
	add(1, doorbell.TakenCare, old)
	add(2, doorbell.NewOrder, old) // still rings
	add(3, doorbell.NewOrder, old)
	add(3, doorbell.CalledOff, old) // after one that rings: stays
	if err := s.Prune(t.Context(), Retention{Alerts: time.Hour, Orders: time.Hour, Inbox: time.Hour}, time.Now()); err != nil {
		t.Fatal(err)
	}
	_, at, err := s.Positions(t.Context(), []doorbell.ShopID{1})
	if want := (doorbell.Position{Head: 5, Oldest: 3, Nonce: at[1].Nonce}); err != nil || at[1] != want {
		t.Fatalf("position %v, %v; want %v", at[1], err, want)
	}
	add(2, doorbell.TakenCare, old)
	if err := s.Prune(t.Context(), Retention{Alerts: time.Hour, Orders: time.Hour, Inbox: time.Hour}, time.Now()); err != nil {
		t.Fatal(err)
	}
	_, at, err = s.Positions(t.Context(), []doorbell.ShopID{1})
	if want := (doorbell.Position{Head: 6, Oldest: 7}); err != nil || at[1] != want {
		t.Errorf("position %v, %v; want %v: all gone, the head kept", at[1], err, want)
	}
	if a := appendOne(t, s, alertOf(1, 9, doorbell.NewOrder)); a.Seq != 7 {
		t.Errorf("next seq %d, want 7", a.Seq)
	}
}

func testTicket(t *testing.T, db database) {
	s := db.open(t, nil)
	k := doorbell.Ticket{
		ID:      "hash",
		Grant:   doorbell.Grant{Subject: "tab", Role: doorbell.RoleConsole, Shops: doorbell.ShopSet{List: []doorbell.ShopID{1, 2}}, Expires: doorbell.Instant(now().Add(time.Hour))},
		Expires: doorbell.Instant(now().Add(time.Minute)),
	}
	if err := s.SaveTicket(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	won := make(chan doorbell.Ticket, 32)
	for range 32 {
		wg.Go(func() {
			if got, err := s.SpendTicket(t.Context(), "hash"); err == nil {
				won <- got
			} else if doorbell.CodeOf(err) != doorbell.NotFound {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(won)
	if len(won) != 1 {
		t.Fatalf("%d callers spent the ticket, want 1", len(won))
	}
	if diff := cmp.Diff(k, <-won); diff != "" {
		t.Errorf("ticket (-want +got):\n%s", diff)
	}
	k.ID, k.Expires = "old", now().Add(-time.Second)
	if err := s.SaveTicket(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SpendTicket(t.Context(), "old"); doorbell.CodeOf(err) != doorbell.NotFound {
		t.Errorf("an expired ticket: %v, want not_found", err)
	}
}

func testRoundTrip(t *testing.T, db database) {
	s := db.open(t, nil)
	at := doorbell.Instant(now())
	order := doorbell.Order{
		ID: 5, Number: "N-1|*@_", Shop: 3, User: 4, Status: doorbell.ToBeAccepted, PayStatus: doorbell.Paid,
		Money: doorbell.Money{Minor: 1250, Currency: "CNY"}, Provider: "wechat", Transaction: "T1",
		CreatedAt: at, PaidAt: at.Add(time.Second), RemindedAt: at.Add(2 * time.Second),
	}
	line := doorbell.Callback{
		Notice:  doorbell.Notice{Provider: "wechat", Kind: doorbell.PaymentNotice, Transaction: "T1", Number: "N9", Money: order.Money, CheckAmount: true, BodyHash: "h"},
		Verdict: doorbell.UnknownOrder, Reason: "r", Times: 3, FirstAt: at, LastAt: at.Add(time.Minute),
	}
	err := s.Write(t.Context(), func(tx doorbell.Tx) error {
		if _, err := tx.InsertOrder(order); err != nil {
			return err
		}
		return tx.SaveCallback(line)
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Order(t.Context(), 5)
	if diff := cmp.Diff(order, got); diff != "" || err != nil {
		t.Errorf("order (-want +got), %v:\n%s", err, diff)
	}
	if _, err := s.Order(t.Context(), 6); doorbell.CodeOf(err) != doorbell.NotFound {
		t.Errorf("no such order: %v, want not_found", err)
	}
	err = s.Write(t.Context(), func(tx doorbell.Tx) error {
		back, err := tx.Waiting("N9")
		if diff := cmp.Diff([]doorbell.Callback{line}, back); diff != "" {
			t.Errorf("callback (-want +got):\n%s", diff)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func testEpoch(t *testing.T, db database) {
	s := db.open(t, nil)
	first, _, err := s.Positions(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // two nodes notice it: the second one changes nothing
		if err := s.DrawEpoch(t.Context(), first); err != nil {
			t.Fatal(err)
		}
	}
	second, _, err := s.Positions(t.Context(), nil)
	if err != nil || second == first || second == "" {
		t.Errorf("epoch %q after %q, %v; want another", second, first, err)
	}
}

func TestWriteAfterClose(t *testing.T) {
	s := openTestSQLite(t, nil)
	s.queue.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := s.Write(ctx, func(doorbell.Tx) error { return nil })
	if doorbell.CodeOf(err) != doorbell.Unavailable {
		t.Errorf("got %v, want unavailable", err)
	}
}
