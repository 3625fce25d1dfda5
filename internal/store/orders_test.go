package store

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"doorbell/internal/doorbell"
)

// TestOldOrders: an upgrade keeps orders, their refunds, and the rows of the inbox
// that wait for an order.
func TestOldOrders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "d.db")
	db, err := openSQLitePool(sqliteDSN(file), 1)
	if err != nil {
		t.Fatal(err)
	}
	files, err := sqliteDialect.migrationFiles()
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{
		`insert into meta (name, value) values ('epoch', 'abc')`,
		`insert into orders (id, number, shop_id, user_id, status, pay_status, amount, currency, provider, transaction_id, created_at, paid_at, reminded_at, detail)
			values (7, 'A-7', 1, 2, 2, 1, 100, 'CNY', 'wechat', 'T7', 1000, 2000, 3000, '{"lines":["rice"]}'), (9, 'A-9', 1, 2, 6, 2, 300, 'CNY', 'wechat', 'T9', 1000, 2000, 0, '')`,
		`insert into inbox (provider, kind, transaction_id, number, amount, currency, check_amount, body_hash, verdict, reason, times, first_at, last_at)
			values ('wechat', 'payment', 'T1', 'B-1', 100, 'CNY', 1, 'h', 'unknown_order', '', 1, 1000, 1000), ('wechat', 'refund', 'R1', 'B-1', 100, 'CNY', 0, 'h', 'unknown_order', '', 1, 1000, 1000)`,
	} {
		if _, err := db.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := openFile(t, file, nil)
	seven, err := s.Order(t.Context(), 7)
	want := doorbell.Order{
		ID: 7, Number: "A-7", Shop: 1, User: 2, Status: 2, PayStatus: 1, Money: doorbell.Money{Minor: 100, Currency: "CNY"}, Provider: "wechat", Transaction: "T7",
		CreatedAt: instant(1000), PaidAt: instant(2000), RemindedAt: instant(3000), Detail: doorbell.Detail{Lines: []string{"rice"}},
	}
	if diff := cmp.Diff(want, seven); diff != "" || err != nil {
		t.Errorf("order 7 (-want +got), %v:\n%s", err, diff)
	}
	if nine, err := s.Order(t.Context(), 9); err != nil || nine.PayStatus != doorbell.Refunded || nine.RefundedAmount != 300 {
		t.Errorf("order 9: %+v, %v; want all of it refunded", nine, err)
	}
	err = s.Write(t.Context(), func(tx doorbell.Tx) error {
		waiting, err := tx.Waiting("B-1")
		if err != nil || len(waiting) != 1 || waiting[0].Transaction != "T1" {
			t.Errorf("waiting: %+v, %v; want the payment", waiting, err)
		}
		o, err := tx.InsertOrder(doorbell.Order{Number: "NEW", Shop: 1, Money: want.Money})
		if err != nil || o.ID == 7 || o.ID == 9 {
			t.Errorf("the next order has id %d (%v), want one that is free", o.ID, err)
		}
		if _, err = tx.InsertOrder(doorbell.Order{Number: "A-7", Account: "wechat/b", Shop: 2, Money: want.Money}); err != nil {
			t.Errorf("the same number of another account: %v", err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Write(t.Context(), func(tx doorbell.Tx) error {
		_, err := tx.InsertOrder(doorbell.Order{Number: "A-7", Shop: 2, Money: want.Money})
		return err
	})
	if err == nil {
		t.Error("the same number of the same account was taken twice")
	}
}
