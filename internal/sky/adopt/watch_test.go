package adopt_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/sky/adopt"
)

// TestPaidWithoutACallback: the copied shortcut writes the table alone. It rings once,
// whatever looks how often, and over a restart.
func TestPaidWithoutACallback(t *testing.T) {
	s := newSite(t, "Asia/Shanghai").open()
	s.step()
	first := s.submit("1700000000001", "10.00")
	s.step()
	s.do(s.table.Shortcut, first)
	s.step()
	s.step()
	s.want(fmt.Sprintf("1/%d", first))
	// Made and paid while doorbell is down.
	known := s.submit("1700000000002", "10.00")
	s.step()
	s.stop()
	s.do(s.table.Shortcut, known)
	unknown := s.submit(nil, "10.00")
	s.do(s.table.Shortcut, unknown)
	s.open()
	s.step()
	s.step()
	s.want(fmt.Sprintf("1/%d", first), fmt.Sprintf("1/%d", unknown), fmt.Sprintf("1/%d", known))
	// A callback after all brings the transaction, and no second ring.
	if v := s.pay("1700000000001", "t1", 1000); v != doorbell.Settled {
		t.Errorf("the verdict of a late callback is %s", v)
	}
	if v := s.pay("1700000000001", "t2", 1000); v != doorbell.OtherTransaction {
		t.Errorf("the verdict of a second payment is %s", v)
	}
	s.step()
	if n := len(s.told()); n != 3 {
		t.Errorf("the consoles were told %v", s.told())
	}
}

// TestTwoNodesLookAtOnce: an order rings once however many look.
func TestTwoNodesLookAtOnce(t *testing.T) {
	s := newSite(t, "UTC").open()
	s.step()
	var want []string
	for i := range 20 {
		id := s.submit(fmt.Sprintf("17000000000%02d", i), "10.00")
		s.do(s.table.Shortcut, id)
		want = append(want, fmt.Sprintf("1/%d", id))
	}
	second := *s
	second.open()
	ended := make(chan error, 2)
	for _, node := range []*site{s, &second} {
		go func() { ended <- node.watch.Step(t.Context()) }()
	}
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	s.step()
	got := map[string]int{}
	for _, a := range s.told() {
		got[a]++
	}
	for _, a := range want {
		if got[a] != 1 {
			t.Errorf("%s was told %d times", a, got[a])
		}
	}
	if len(got) != len(want) {
		t.Errorf("the consoles were told %v", got)
	}
}

// TestWhatTheirBackendDoes: each change of theirs becomes what the consoles know.
func TestWhatTheirBackendDoes(t *testing.T) {
	paid := func(s *site, id int64) { s.do(s.table.Shortcut, id); s.step() }
	for _, c := range []struct {
		name string
		do   func(s *site, id int64)
		want []int
	}{
		{"confirmed", func(s *site, id int64) { paid(s, id); s.do(s.table.Confirm, id) }, []int{1, 3}},
		{"rejected", func(s *site, id int64) {
			paid(s, id)
			s.do(func(c ctx, id int64) error { return s.table.Reject(c, id, "忙") }, id)
		}, []int{1, 4}},
		{"cancelled by the shop", func(s *site, id int64) {
			paid(s, id)
			s.do(func(c ctx, id int64) error { return s.table.Cancel(c, id, "无货") }, id)
		}, []int{1, 4}},
		{"cancelled by the customer", func(s *site, id int64) { paid(s, id); s.do(s.table.CancelByUser, id) }, []int{1, 4}},
		{"cancelled when accepted", func(s *site, id int64) {
			paid(s, id)
			s.do(s.table.Confirm, id)
			s.step()
			s.do(func(c ctx, id int64) error { return s.table.Cancel(c, id, "无货") }, id)
		}, []int{1, 3, 4}},
		{"delivered and completed", func(s *site, id int64) {
			paid(s, id)
			s.do(s.table.Confirm, id)
			s.step()
			s.do(s.table.Deliver, id)
			s.step()
			s.do(s.table.Complete, id)
		}, []int{1, 3}},
		{"hurried and then sent out", func(s *site, id int64) {
			paid(s, id)
			s.do(s.table.Confirm, id)
			if _, err := s.service.Remind(s.t.Context(), doorbell.OrderID(id), "4"); err != nil {
				s.t.Error(err)
			}
			s.do(s.table.Deliver, id)
		}, []int{1, 3, 2, 3}},
		{"hurried before anybody looked", func(s *site, id int64) {
			s.do(s.table.Shortcut, id)
			if _, err := s.service.Remind(s.t.Context(), doorbell.OrderID(id), "4"); err != nil {
				s.t.Error(err)
			}
		}, []int{1, 2}},
		{"paid and confirmed between two looks", func(s *site, id int64) { s.do(s.table.Shortcut, id); s.do(s.table.Confirm, id) }, []int{1, 3}},
		{"never paid", func(s *site, id int64) { s.step(); s.do(s.table.Timeout, id) }, nil},
		{"confirmed without a payment", func(s *site, id int64) { s.do(s.table.Confirm, id) }, nil},
		{"revived by their own callback", func(s *site, id int64) {
			s.do(s.table.Timeout, id)
			s.step()
			s.do(s.table.Shortcut, id)
			s.sweepNext()
		}, []int{1}},
		{"accepted on a console, then theirs", func(s *site, id int64) {
			paid(s, id)
			if _, err := s.service.AcceptAlert(s.t.Context(), adopt.Shop, 1, "console"); err != nil {
				s.t.Error(err)
			}
			s.step()
			s.do(s.table.Confirm, id)
		}, []int{1, 3}},
		{"removed", func(s *site, id int64) {
			paid(s, id)
			s.do(func(c ctx, id int64) error {
				_, err := s.table.DB.ExecContext(c, `delete from orders where id = ?`, id)
				return err
			}, id)
		}, []int{1, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, "UTC").open()
			s.step()
			other := s.submit("1600000000000", "10.00") // looked at beside it
			id := s.submit("1700000000001", "10.00")
			c.do(s, id)
			s.step()
			s.step()
			var want []string
			for _, typ := range c.want {
				want = append(want, fmt.Sprintf("%d/%d", typ, id))
			}
			s.want(want...)
			page, err := s.store.Alerts(t.Context(), doorbell.AlertQuery{Shop: adopt.Shop, OpenOnly: true, Limit: 10})
			if rings := len(page.Alerts) > 0; err != nil || rings != (len(c.want) > 0 && c.want[len(c.want)-1] < 3) {
				t.Errorf("it rings: %v, %v", rings, err)
			}
			if status, pay, _ := s.theirs(other); status != 1 || pay != 0 {
				t.Errorf("another order has status %d, pay_status %d", status, pay)
			}
		})
	}
}

// TestFirstLook: of the orders that are there already only what was paid just now rings.
func TestFirstLook(t *testing.T) {
	s := newSite(t, "Asia/Shanghai")
	old, fresh := s.submit("1", "10.00"), s.submit("2", "10.00")
	s.do(s.table.Shortcut, old)
	s.do(s.table.Shortcut, fresh)
	if _, err := s.table.DB.ExecContext(t.Context(), `update orders set order_time = order_time - interval 3 day, checkout_time = checkout_time - interval 3 day where id = ?`, old); err != nil {
		t.Fatal(err)
	}
	s.open()
	s.step()
	s.step()
	s.want(fmt.Sprintf("1/%d", fresh))
	if !strings.Contains(s.logged.String(), "old_and_not_accepted=1") {
		t.Errorf("the log does not tell of the old one: %s", s.logged)
	}
}

// TestEmptiedTable: a table that starts again at id 1 has new orders, and what rang
// for the old ones is silent.
func TestEmptiedTable(t *testing.T) {
	s := newSite(t, "UTC").open()
	s.step()
	first := s.submit("1700000000001", "10.00")
	s.do(s.table.Shortcut, first)
	s.step()
	if _, err := s.table.DB.ExecContext(t.Context(), `truncate table orders`); err != nil {
		t.Fatal(err)
	}
	s.step()
	s.want(fmt.Sprintf("1/%d", first), fmt.Sprintf("4/%d", first))
	again := s.submit("1700000000002", "20.00")
	s.step()
	if v := s.pay("1700000000002", "t2", 2000); v != doorbell.Settled {
		t.Errorf("the verdict is %s", v)
	}
	s.step()
	s.want(fmt.Sprintf("1/%d", first), fmt.Sprintf("4/%d", first), fmt.Sprintf("1/%d", again))
}

// TestLateCommit: an id is given out before its row is there. One below the highest
// known id still rings.
func TestLateCommit(t *testing.T) {
	s := newSite(t, "UTC").open()
	s.step()
	late, err := s.table.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := late.ExecContext(t.Context(), `insert into orders (number, status, pay_status, user_id, address_book_id, order_time, checkout_time, amount) values ('9', 2, 1, 4, 1, utc_timestamp(), utc_timestamp(), 1.00)`)
	if err != nil {
		t.Fatal(err)
	}
	id, err := res.LastInsertId()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		s.submit(fmt.Sprint("17", i), "10.00")
	}
	s.step()
	s.want()
	if err := late.Commit(); err != nil {
		t.Fatal(err)
	}
	s.step()
	s.want(fmt.Sprintf("1/%d", id))
}

// TestWrongZone: a zone that does not fit is told by the first order that is made.
func TestWrongZone(t *testing.T) {
	s := newSite(t, "Asia/Shanghai")
	s.table.Zone = time.UTC
	s.open()
	s.watch.Once(t.Context())
	s.submit("1700000000001", "10.00")
	s.watch.Once(t.Context())
	if !strings.Contains(s.logged.String(), "set sky.zone") {
		t.Errorf("the log does not tell of the zone: %s", s.logged)
	}
}

func TestFen(t *testing.T) {
	for yuan, want := range map[string]int64{"58.07": 5807, "0.01": 1, "12": 1200, "12.5": 1250, "99999999.99": 9999999999, "1.10": 110, "1.000": 100, "0.00": 0} {
		if got, err := adopt.Fen(yuan); err != nil || got != want {
			t.Errorf("%s yuan are %d fen, %v; want %d", yuan, got, err, want)
		}
	}
	for _, yuan := range []string{"", ".5", "1.005", "-1.00", "abc", "1e3", "1,00"} {
		if got, err := adopt.Fen(yuan); err == nil {
			t.Errorf("%q yuan are %d fen", yuan, got)
		}
	}
}

// TestOneOrderThatFails does not keep the others from ringing.
func TestOneOrderThatFails(t *testing.T) {
	s := newSite(t, "UTC").open()
	s.step()
	var ids []int64
	for range 8 {
		ids = append(ids, s.submit("1700000000001", "10.00"))
		s.do(s.table.Shortcut, ids[len(ids)-1])
	}
	var told []doorbell.OrderID
	bad := errors.New("can't be told")
	s.watch.Look = func(_ ctx, id doorbell.OrderID) error {
		if told = append(told, id); int64(id) < ids[6] {
			return bad
		}
		return nil
	}
	if err := s.watch.Step(t.Context()); !errors.Is(err, bad) {
		t.Errorf("the look says %v", err)
	}
	if len(told) != len(ids) {
		t.Errorf("looked at %v of %v", told, ids)
	}
}
