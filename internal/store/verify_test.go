package store

import (
	"strings"
	"testing"

	"doorbell/internal/doorbell"
)

// paidOrder writes an order and its payment as the service does.
func paidOrder(t *testing.T, s *Store, number string) {
	t.Helper()
	at := doorbell.Instant(now())
	err := s.Write(t.Context(), func(tx doorbell.Tx) error {
		o, err := tx.InsertOrder(doorbell.Order{
			Number: number, Shop: 1, Status: doorbell.ToBeAccepted, PayStatus: doorbell.Paid, Money: doorbell.Money{Minor: 1, Currency: "CNY"},
			Provider: "wechat", Transaction: "T" + number, CreatedAt: at, PaidAt: at,
		})
		if err != nil {
			return err
		}
		n := doorbell.Notice{Provider: "wechat", Kind: doorbell.PaymentNotice, Transaction: "T" + number, Number: number}
		if err := tx.SaveCallback(doorbell.Callback{Notice: n, Verdict: doorbell.Settled, Times: 1, FirstAt: at, LastAt: at}); err != nil {
			return err
		}
		_, err = tx.Append(doorbell.Alert{Type: doorbell.NewOrder, OrderID: o.ID, Shop: 1, Number: number, Source: doorbell.FromOrder, Time: at})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestVerify breaks one thing after the other on purpose: the audit finds each one
// and nothing else.
func TestVerify(t *testing.T) { onAll(t, testVerify) }

func testVerify(t *testing.T, db database) {
	url := db.url(t)
	s, err := Open(t.Context(), Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	stop := startOnce(s)
	for _, number := range []string{"A-1", "A-2", "A-3"} {
		paidOrder(t, s, number)
	}
	closing := alertOf(1, 1, doorbell.TakenCare)
	closing.Source = doorbell.FromOrder
	appendOne(t, s, closing)
	if err := stop(); err != nil { // SQLite's writer holds the only connection
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), Options{URL: url}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, c := range []struct{ name, breaks, finds string }{
		{"nothing broken", `select 1`, ""},
		{"an alert lost", `delete from alerts where seq = 2`, "with a gap"},
		{"the last alert lost", `delete from alerts where seq = 4`, "the head is 4 and the last alert 3"},
		{"a head lost", `delete from shop_heads`, "no head"},
		{"a paid order whose alert is another's", `update alerts set order_id = 99 where seq = 2`, "order 2 of shop 1 is paid and nobody was told"},
		{"an order that rang twice", `update alerts set order_id = 1 where seq = 2`, "rang 2 times"},
		{"a ring without money", `update orders set pay_status = 0, paid_at = 0 where id = 2`, "no money came"},
		{"a state that can't be", `update orders set status = 1 where id = 2`, "still to be paid"},
		{"a ring that was taken care of", `update alerts set ringing = 1 where seq = 1`, "alert 1 rings"},
		{"a ring that fell silent", `update alerts set ringing = 0 where seq = 2`, "alert 2 is silent"},
		{"money on another order", `update orders set transaction_id = 'other' where id = 2`, "does not say so"},
		{"one transaction for two orders", `update orders set transaction_id = 'TA-1' where id = 2`, "paid 2 orders"},
		{"a key of nothing", `insert into idempotency_keys values ('x', 1, 'k', 'h', 9, 1)`, "names alert 9"},
		{"details of nothing", `insert into alert_details (shop_id, seq, detail) values (1, 9, '{}')`, "the details of alert 9 of shop 1 belong to no alert"},
		{"an order's details cut off", `update orders set detail = '{"note":' where id = 2`, "the details of order 2 of shop 1 can't be read"},
		{"an alert's details cut off", `insert into alert_details (shop_id, seq, detail) values (1, 2, '{"note":')`, "the details of alert 2 of shop 1 can't be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tx, err := s.writes.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback() //nolint:errcheck // the rollback is the test's purpose
			if _, err := tx.ExecContext(t.Context(), c.breaks); err != nil {
				t.Fatal(err)
			}
			findings, err := auditAll(t.Context(), tx, s.dialect)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(findings, "\n")
			if (c.finds == "") != (got == "") || !strings.Contains(got, c.finds) {
				t.Errorf("found %q, want %q", got, c.finds)
			}
		})
	}
	if findings, err := Verify(t.Context(), url); err != nil || len(findings) > 0 {
		t.Errorf("findings in an intact database: %q, %v", findings, err)
	}
	if _, err := Verify(t.Context(), db.url(t)); err == nil {
		t.Error("a missing database, or one without tables, was found intact")
	}
}

func TestVerifyAfterPruning(t *testing.T) { onAll(t, testVerifyAfterPruning) }

func testVerifyAfterPruning(t *testing.T, db database) {
	url := db.url(t)
	s := openURL(t, url, nil)
	paidOrder(t, s, "A-1")
	closing := alertOf(1, 1, doorbell.CalledOff)
	closing.Source = doorbell.FromOrder
	appendOne(t, s, closing)
	paidOrder(t, s, "A-2")
	if err := s.Prune(t.Context(), Retention{Alerts: -1, Orders: 1 << 60, Inbox: 1 << 60}, now().Add(1<<30)); err != nil {
		t.Fatal(err)
	}
	_, at, err := s.Positions(t.Context(), []doorbell.ShopID{1})
	if err != nil || at[1].Oldest != 3 {
		t.Fatalf("%v, %v; want the first two pruned", at, err)
	}
	if findings, err := Verify(t.Context(), url); err != nil || len(findings) > 0 {
		t.Errorf("after pruning: %v, %v", findings, err)
	}
}
