package store

import (
	"errors"
	"path/filepath"
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

// TestVerify breaks one thing after the other on purpose: each is found, and
// nothing else is.
func TestVerify(t *testing.T) {
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
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "d.db")
			s := openFile(t, file, nil)
			for _, number := range []string{"A-1", "A-2", "A-3"} {
				paidOrder(t, s, number)
			}
			closing := alertOf(1, 1, doorbell.TakenCare)
			closing.Source = doorbell.FromOrder
			appendOne(t, s, closing)
			if err := s.writer.do(t.Context(), func(x *txn) error { return x.exec(c.breaks) }); err != nil && c.finds != "" {
				t.Fatal(err)
			}
			findings, err := Verify(t.Context(), "sqlite://"+file)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(findings, "\n")
			if (c.finds == "") != (got == "") || !strings.Contains(got, c.finds) {
				t.Errorf("found %q, want %q", got, c.finds)
			}
		})
	}
	if _, err := Verify(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "none.db")); err == nil {
		t.Error("a database that is not there is sound")
	}
}

func TestVerifyAfterPruning(t *testing.T) {
	file := filepath.Join(t.TempDir(), "d.db")
	s := openFile(t, file, nil)
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
	if findings, err := Verify(t.Context(), "sqlite://"+file); err != nil || len(findings) > 0 {
		t.Errorf("after pruning: %v, %v", findings, err)
	}
}

func TestBackupAndRestore(t *testing.T) {
	dir := t.TempDir()
	file, bak := filepath.Join(dir, "d.db"), filepath.Join(dir, "b.db")
	url := "sqlite://" + file
	s, err := Open(t.Context(), Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	stop := startOnce(s)
	paidOrder(t, s, "A-1")
	epoch, _, err := s.Positions(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Backup(t.Context(), url, bak); err != nil {
		t.Fatal(err)
	}
	if err := Backup(t.Context(), url, bak); err == nil {
		t.Error("a backup was written over")
	}
	paidOrder(t, s, "A-2")
	if _, err := Restore(t.Context(), url, bak); !errors.Is(err, ErrInUse) {
		t.Errorf("restore under a running server: %v, want ErrInUse", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), url, filepath.Join(dir, "none")); err == nil {
		t.Error("restored from nothing")
	}
	kept, err := Restore(t.Context(), url, bak)
	if err != nil {
		t.Fatal(err)
	}
	s = openFile(t, file, nil)
	again, at, err := s.Positions(t.Context(), []doorbell.ShopID{1})
	if err != nil || again == epoch || at[1].Head != 1 {
		t.Errorf("restored: epoch %s, %v, %v; want another than %s and head 1", again, at, err, epoch)
	}
	if findings, err := Verify(t.Context(), "sqlite://"+kept); err != nil || len(findings) > 0 {
		t.Errorf("what was replaced: %v, %v; want it whole", findings, err)
	}
}
