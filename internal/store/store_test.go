package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"doorbell/internal/doorbell"
)

func openTestSQLite(t testing.TB, publish func([]doorbell.Alert), pragmas ...string) *Store {
	t.Helper()
	return openFile(t, filepath.Join(t.TempDir(), "doorbell.db"), publish, pragmas...)
}

func openFile(t testing.TB, file string, publish func([]doorbell.Alert), pragmas ...string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: "sqlite://" + file, Publish: publish, Log: slog.New(slog.DiscardHandler), pragmas: pragmas})
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	return s
}

func start(t testing.TB, s *Store) {
	t.Helper()
	stop := startOnce(s)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("stop the store: %v", err)
		}
	})
}

func alertOf(shop doorbell.ShopID, order doorbell.OrderID, typ doorbell.Type) doorbell.Alert {
	return doorbell.Alert{
		Type: typ, OrderID: order, Content: fmt.Sprint("order ", order), Shop: shop, Number: fmt.Sprint(order),
		Source: doorbell.External, Time: doorbell.Instant(now()), Actor: "test",
	}
}

func appendOne(t testing.TB, s *Store, a doorbell.Alert) doorbell.Alert {
	t.Helper()
	err := s.Write(t.Context(), func(tx doorbell.Tx) (err error) {
		a, err = tx.Append(a)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func seqs(alerts []doorbell.Alert) []doorbell.Seq {
	var out []doorbell.Seq
	for _, a := range alerts {
		out = append(out, a.Seq)
	}
	return out
}

func TestStore(t *testing.T) {
	onAll(t, suite)
}

func suite(t *testing.T, db database) {
	t.Run("64 callers append to one new shop without a gap", func(t *testing.T) { testConcurrentFirst(t, db) })
	t.Run("alerts are published in order of seq before callers are answered", func(t *testing.T) { testPublishOrder(t, db) })
	t.Run("a refused change leaves nothing and harms nobody", func(t *testing.T) { testRefusal(t, db) })
	t.Run("a constraint error undoes its own change only", func(t *testing.T) { testConstraint(t, db) })
	t.Run("a panic fails its batch and no more", func(t *testing.T) { testPanic(t, db) })
	t.Run("types 3 and 4 close what rings", func(t *testing.T) { testClosing(t, db) })
	t.Run("the first word on a delivery stays", func(t *testing.T) { testDeliveries(t, db) })
	t.Run("a step is told once, and not after the accept", func(t *testing.T) { testEscalations(t, db) })
	t.Run("attendance is moved on once", func(t *testing.T) { testAttendance(t, db) })
	t.Run("history has pages, states and receipts", func(t *testing.T) { testHistory(t, db) })
	t.Run("pruning takes a prefix and never what rings", func(t *testing.T) { testPrune(t, db) })
	t.Run("a ticket is spent once", func(t *testing.T) { testTicket(t, db) })
	t.Run("orders and inbox read back as written", func(t *testing.T) { testRoundTrip(t, db) })
	t.Run("what nobody heard is told of once", func(t *testing.T) { testUnheard(t, db) })
	t.Run("a lease has one holder", func(t *testing.T) { testLease(t, db) })
	t.Run("messages wait in the outbox until they are taken", func(t *testing.T) { testOutbox(t, db) })
	t.Run("what was ordered is read with what rings", func(t *testing.T) { testDetail(t, db) })
	t.Run("given ids do not move the automatic ones", func(t *testing.T) { testOrderIDs(t, db) })
	t.Run("unpaid orders are found by age", func(t *testing.T) { testUnpaid(t, db) })
	t.Run("the inbox is listed", func(t *testing.T) { testInbox(t, db) })
	t.Run("an alert names the one before it and its epoch", func(t *testing.T) { testLinks(t, db) })
	t.Run("the epoch is drawn once for one old epoch", func(t *testing.T) { testEpoch(t, db) })
}

func testConcurrentFirst(t *testing.T, db database) {
	s := db.open(t, nil)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			err := s.Write(t.Context(), func(tx doorbell.Tx) error {
				_, err := tx.Append(alertOf(9, doorbell.OrderID(i+1), doorbell.NewOrder))
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	alerts, err := s.AlertsAfter(t.Context(), 9, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range alerts {
		if a.Seq != doorbell.Seq(i+1) {
			t.Fatalf("seqs %v, want 1 to 64", seqs(alerts))
		}
	}
	_, at, err := s.Positions(t.Context(), []doorbell.ShopID{9, 10})
	if err != nil || at[9] != (doorbell.Position{Head: 64, Oldest: 1, Nonce: alerts[63].Nonce}) || at[10] != (doorbell.Position{Head: 0, Oldest: 1}) {
		t.Errorf("positions %v, %v; want shop 9 at 64 from 1, shop 10 at 0 from 1", at, err)
	}
}

func testPublishOrder(t *testing.T, db database) {
	var mu sync.Mutex
	var got []doorbell.Seq
	s := db.open(t, func(alerts []doorbell.Alert) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, seqs(alerts)...)
	})
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			a := appendOne(t, s, alertOf(1, 1, doorbell.NewOrder))
			mu.Lock()
			defer mu.Unlock()
			if doorbell.Seq(len(got)) < a.Seq {
				t.Errorf("answered %d when %d were published", a.Seq, len(got))
			}
		})
	}
	wg.Wait()
	for i, seq := range got {
		if seq != doorbell.Seq(i+1) {
			t.Fatalf("published %v, want 1 to 200 in order", got)
		}
	}
}

func testRefusal(t *testing.T, db database) {
	published := 0
	s := db.open(t, func(a []doorbell.Alert) { published += len(a) })
	refusal := doorbell.Refuse(doorbell.Conflict, "no", "否")
	err := s.Write(t.Context(), func(tx doorbell.Tx) error {
		if _, err := tx.Append(alertOf(1, 1, doorbell.NewOrder)); err != nil {
			return err
		}
		return refusal
	})
	if !errors.Is(err, refusal) {
		t.Errorf("got %v, want the refusal itself", err)
	}
	if a := appendOne(t, s, alertOf(1, 2, doorbell.NewOrder)); a.Seq != 1 || published != 1 {
		t.Errorf("seq %d with %d published, want 1 and 1: the refused alert must leave no trace", a.Seq, published)
	}
}

func testConstraint(t *testing.T, db database) {
	s := db.open(t, nil)
	order := doorbell.Order{Number: "N1", Shop: 1, Status: doorbell.ToBePaid, Money: doorbell.Money{Minor: 1, Currency: "CNY"}, CreatedAt: now()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	ok := 0
	for range 20 { // all insert the same number: one succeeds, each other fails alone
		wg.Go(func() {
			err := s.Write(t.Context(), func(tx doorbell.Tx) error {
				if _, err := tx.Append(alertOf(1, 1, doorbell.NewOrder)); err != nil {
					return err
				}
				_, err := tx.InsertOrder(order)
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				ok++
			} else if doorbell.CodeOf(err) == doorbell.Unavailable {
				t.Errorf("a constraint error broke the batch: %v", err)
			}
		})
	}
	wg.Wait()
	alerts, err := s.AlertsAfter(t.Context(), 1, 0, 100)
	if err != nil || ok != 1 || len(alerts) != 1 {
		t.Errorf("%d changes passed with %d alerts (%v), want 1 and 1", ok, len(alerts), err)
	}
}

func testPanic(t *testing.T, db database) {
	s := db.open(t, nil)
	err := s.Write(t.Context(), func(tx doorbell.Tx) error {
		if _, err := tx.Append(alertOf(1, 1, doorbell.NewOrder)); err != nil {
			return err
		}
		panic("a rule tripped")
	})
	if doorbell.CodeOf(err) != doorbell.Unavailable {
		t.Errorf("got %v, want unavailable", err)
	}
	if s.queue.lastFailure() == nil {
		t.Error("the failure was not noted")
	}
	if err := s.Check(t.Context()); err != nil { // the database itself works
		t.Errorf("Check after a panic: %v", err)
	}
	if a := appendOne(t, s, alertOf(1, 2, doorbell.NewOrder)); a.Seq != 1 {
		t.Errorf("seq %d, want 1", a.Seq)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("Check after a good write: %v", err)
	}
}

// startOnce runs a store and returns a function that stops and closes it.
func startOnce(s *Store) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() error {
		cancel()
		return errors.Join(<-done, s.Close())
	}
}
