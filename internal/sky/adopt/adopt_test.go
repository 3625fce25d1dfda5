package adopt_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/store"
)

// TestPaymentOfTheirOrder: nobody has told doorbell of the order; a callback finds it
// in their table, rings, and writes there what their own callback would.
func TestPaymentOfTheirOrder(t *testing.T) {
	for _, zone := range []string{"Asia/Shanghai", "UTC"} {
		t.Run(zone, func(t *testing.T) {
			s := newSite(t, zone).open()
			s.step()
			id := s.submit("1700000000001", "58.07")
			other := s.submit("1700000000002", "12.00")
			before := time.Now().Add(-time.Second)
			if v := s.pay("1700000000001", "t1", 5807); v != doorbell.Settled {
				t.Fatalf("the verdict is %s", v)
			}
			status, pay, checkout := s.theirs(id)
			at, err := time.ParseInLocation("2006-01-02 15:04:05", checkout, s.zone)
			if status != 2 || pay != 1 || err != nil || at.Before(before.Truncate(time.Second)) || at.After(time.Now()) {
				t.Errorf("their row has status %d, pay_status %d and checkout_time %q", status, pay, checkout)
			}
			if status, pay, _ := s.theirs(other); status != 1 || pay != 0 {
				t.Errorf("another order has status %d and pay_status %d", status, pay)
			}
			for range 3 { // again, and looked at
				if v := s.pay("1700000000001", "t1", 5807); v != doorbell.Repeated {
					t.Fatalf("the verdict of a repeat is %s", v)
				}
				s.step()
			}
			s.want(fmt.Sprintf("1/%d", id))
			o, err := s.service.Order(t.Context(), doorbell.OrderID(id))
			if err != nil || o.User != 4 || o.Minor != 5807 || o.Status != 2 || o.Transaction != "t1" || time.Since(o.CreatedAt).Abs() > time.Minute {
				t.Errorf("the order is %+v, %v", o, err)
			}
			o, err = s.service.Order(t.Context(), doorbell.OrderID(other))
			if err != nil || o.Number != "1700000000002" || o.Status != 1 || o.PayStatus != 0 {
				t.Errorf("an order that nobody paid is %+v, %v", o, err)
			}
			if v := s.pay("1700000000002", "t2", 1); v != doorbell.AmountDiffers {
				t.Errorf("the verdict of 0.01 yuan for 12.00 is %s", v)
			}
			if v := s.pay("nowhere", "t3", 1); v != doorbell.UnknownOrder {
				t.Errorf("the verdict for a number that is not there is %s", v)
			}
		})
	}
}

// TestTwoOrdersOfOneNumber: neither is guessed, even by its amount, and both are told.
func TestTwoOrdersOfOneNumber(t *testing.T) {
	s := newSite(t, "Asia/Shanghai").open()
	first := s.submit("1700000000001", "10.00")
	s.step()
	second := s.submit("1700000000001", "20.00") // not in the index yet
	for range 2 {
		if v := s.pay("1700000000001", "t1", 1000); v != doorbell.SeveralOrders {
			t.Fatalf("the verdict is %s", v)
		}
		s.step()
	}
	s.want()
	for _, id := range []int64{first, second} {
		if status, pay, _ := s.theirs(id); status != 1 || pay != 0 {
			t.Errorf("order %d has status %d and pay_status %d", id, status, pay)
		}
	}
	line, err := s.store.Received(t.Context(), doorbell.Notice{Provider: wechat, Kind: doorbell.PaymentNotice, Transaction: "t1"})
	if both := fmt.Sprintf("orders %d and %d", first, second); err != nil || !strings.Contains(line.Reason, both) {
		t.Errorf("the inbox says %q, %v; want %q", line.Reason, err, both)
	}
	var told int
	err = s.table.DB.QueryRowContext(t.Context(), `select count(*) from doorbell_outbox where event = 'payment.anomaly' and body like '%several_orders%' and body like ?`,
		fmt.Sprintf("%%orders %d and %d%%", first, second)).Scan(&told)
	if err != nil || told != 1 {
		t.Errorf("payment.anomaly was told %d times, %v", told, err)
	}
	// Paid without a callback, each is known by its id.
	s.do(s.table.Shortcut, first)
	s.do(s.table.Shortcut, second)
	s.step()
	s.want(fmt.Sprintf("1/%d", first), fmt.Sprintf("1/%d", second))
}

// TestCallbackForCancelled: it is called off and never revived.
func TestCallbackForCancelled(t *testing.T) {
	s := newSite(t, "UTC").open()
	id := s.submit("1700000000001", "10.00")
	s.step()
	s.do(s.table.Timeout, id)
	if v := s.pay("1700000000001", "t1", 1000); v != doorbell.PaidAfterCancel {
		t.Fatalf("the verdict is %s", v)
	}
	s.step()
	s.want(fmt.Sprintf("4/%d", id))
	if status, pay, _ := s.theirs(id); status != 6 || pay != 0 {
		t.Errorf("their row has status %d and pay_status %d", status, pay)
	}
}

// TestNoScanForACallback counts the rows that the database reads for callbacks while
// their table has many.
func TestNoScanForACallback(t *testing.T) {
	s := newSite(t, "UTC").open()
	const many = 50_000
	_, err := s.table.DB.ExecContext(t.Context(), fmt.Sprintf(`insert into orders (number, status, user_id, address_book_id, order_time, amount)
		select concat('16', seq), 5, 1, 1, utc_timestamp() - interval 3 day, 1.00 from seq_1_to_%d`, many))
	if err != nil {
		t.Fatal(err)
	}
	s.step()
	var numbers []string
	for i := range 40 {
		number := fmt.Sprintf("17000000001%02d", i)
		s.submit(number, "1.00")
		numbers = append(numbers, number)
	}
	s.step()
	before := s.rowsRead()
	for i, number := range numbers {
		if v := s.pay(number, fmt.Sprint("t", i), 100); v != doorbell.Settled {
			t.Fatalf("the verdict is %s", v)
		}
	}
	if each := (s.rowsRead() - before) / int64(len(numbers)); each > 2*700 {
		t.Errorf("a callback reads %d rows of %d", each, many)
	} else {
		t.Logf("a callback reads %d rows of %d", each, many)
	}
	before = s.rowsRead()
	for range 20 {
		s.step()
	}
	if each := (s.rowsRead() - before) / 20; each > 3*700 {
		t.Errorf("a look reads %d rows of %d", each, many)
	} else {
		t.Logf("a look reads %d rows of %d", each, many)
	}
}

// TestTheirTableStaysAsItIs: neither its columns nor another row changes.
func TestTheirTableStaysAsItIs(t *testing.T) {
	s := newSite(t, "UTC")
	shape := func() (name, ddl string) {
		if err := s.table.DB.QueryRowContext(t.Context(), `show create table orders`).Scan(&name, &ddl); err != nil {
			t.Fatal(err)
		}
		return name, ddl[:strings.LastIndexByte(ddl, ')')]
	}
	_, before := shape()
	s.open()
	id := s.submit("1700000000001", "10.00")
	s.pay("1700000000001", "t1", 1000)
	if _, err := s.service.AcceptOrder(t.Context(), doorbell.OrderID(id), "somebody"); err != nil {
		t.Fatal(err)
	}
	if _, after := shape(); after != before {
		t.Errorf("their table was %s, is %s", before, after)
	}
	if status, _, _ := s.theirs(id); status != 2 {
		t.Errorf("a press on a console has set their status to %d", status)
	}
	s.step()
	s.want(fmt.Sprintf("1/%d", id), fmt.Sprintf("3/%d", id))
	if _, _, err := s.service.CreateOrder(t.Context(), doorbell.Order{Number: "x", Shop: 1, Money: doorbell.Money{Minor: 1}}); doorbell.CodeOf(err) != doorbell.Conflict {
		t.Errorf("an order made here: %v", err)
	}
	s.stop()
	_, err := store.Open(t.Context(), store.Options{URL: s.url})
	if err == nil || !strings.Contains(err.Error(), "sky.adopt: true") {
		t.Errorf("a start without sky.adopt says %v", err)
	}
}

// TestVerifyBesideTheirTables: doorbell's tables in their database are audited, and get
// a new epoch after their tools have restored it.
func TestVerifyBesideTheirTables(t *testing.T) {
	s := newSite(t, "UTC").open()
	s.step()
	id := s.submit("1700000000001", "58.07")
	if v := s.pay("1700000000001", "t1", 5807); v != doorbell.Settled {
		t.Fatalf("the verdict is %s", v)
	}
	s.stop()
	if found, err := store.VerifyBeside(t.Context(), s.url); err != nil || len(found) > 0 {
		t.Fatalf("a sound database: %v, %v", found, err)
	}
	epoch := func() (epoch string) {
		if err := s.table.DB.QueryRowContext(t.Context(), `select value from doorbell_meta where name = 'epoch'`).Scan(&epoch); err != nil {
			t.Fatal(err)
		}
		return epoch
	}
	before := epoch()
	if err := store.RestoredBeside(t.Context(), s.url); err != nil || epoch() == before {
		t.Errorf("after the restore the epoch is %s, before it %s: %v", epoch(), before, err)
	}
	if _, err := s.table.DB.ExecContext(t.Context(), `update doorbell_alerts set ringing = 0 where order_id = ?`, id); err != nil {
		t.Fatal(err)
	}
	found, err := store.VerifyBeside(t.Context(), s.url)
	if err != nil || len(found) != 1 || !strings.Contains(found[0], "is silent, and nobody took care of it") {
		t.Errorf("an alert that was silenced by hand: %v, %v", found, err)
	}
}
