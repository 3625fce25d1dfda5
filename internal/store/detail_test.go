package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"doorbell/internal/doorbell"
)

// testDetail: an alert shows its own details, else its order's, and never those of
// another shop, source or order.
func testDetail(t *testing.T, db database) {
	s := db.open(t, nil)
	own := doorbell.Detail{Lines: []string{"宫保鸡丁 ×2", "Kung Pao"}, Note: "少辣", Table: "A3", Pickup: "17"}
	order := doorbell.Order{ID: 7, Number: "N-7", Shop: 1, Status: doorbell.ToBePaid, Money: doorbell.Money{Minor: 1, Currency: "CNY"}, CreatedAt: now(), Detail: own}
	foreign := doorbell.Detail{Note: "of a system outside"}
	add := func(shop doorbell.ShopID, source doorbell.Source, typ doorbell.Type, d doorbell.Detail) {
		a := alertOf(shop, 7, typ) // all of them name order 7
		a.Source = source
		err := s.Write(t.Context(), func(tx doorbell.Tx) error {
			a, err := tx.Append(a)
			if err != nil || d.IsZero() {
				return err
			}
			return tx.SaveDetail(a.Shop, a.Seq, d)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := s.Write(t.Context(), func(tx doorbell.Tx) error {
		_, err := tx.InsertOrder(order)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	none := doorbell.Detail{}
	add(1, doorbell.FromOrder, doorbell.NewOrder, none) // 1: the order's
	add(1, doorbell.External, doorbell.Reminder, none)  // 2: nothing came from outside yet
	add(1, doorbell.External, doorbell.NewOrder, foreign)
	add(1, doorbell.External, doorbell.Reminder, none)                          // 4: its order's
	add(1, doorbell.FromOrder, doorbell.TakenCare, none)                        // does not ring
	add(1, doorbell.External, doorbell.CalledOff, doorbell.Detail{Note: "bye"}) // 6: its own
	add(1, doorbell.External, doorbell.Reminder, none)                          // 7: the latest before it
	add(2, doorbell.FromOrder, doorbell.NewOrder, none)                         // another shop's order 7
	if o, err := s.Order(t.Context(), 7); err != nil || !cmp.Equal(o.Detail, own) {
		t.Errorf("the order has %+v, %v; want %+v", o.Detail, err, own)
	}
	read := func(q doorbell.AlertQuery) map[doorbell.Seq]doorbell.Detail {
		t.Helper()
		q.Limit = 100
		page, err := s.Alerts(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got := map[doorbell.Seq]doorbell.Detail{}
		for _, a := range page.Alerts {
			got[a.Seq] = a.Detail
		}
		return got
	}
	want := map[doorbell.Seq]doorbell.Detail{1: own, 2: none, 3: foreign, 4: foreign, 5: none, 6: {Note: "bye"}, 7: {Note: "bye"}}
	if diff := cmp.Diff(want, read(doorbell.AlertQuery{Shop: 1})); diff != "" {
		t.Errorf("the details of shop 1 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[doorbell.Seq]doorbell.Detail{1: none}, read(doorbell.AlertQuery{Shop: 2, OpenOnly: true})); diff != "" {
		t.Errorf("shop 2 shows details of another shop (-want +got):\n%s", diff)
	}
	add(1, doorbell.External, doorbell.TakenCare, none)
	if err := s.Prune(t.Context(), Retention{Alerts: -1, Orders: time.Hour, Inbox: time.Hour}, now()); err != nil {
		t.Fatal(err)
	}
	var kept int
	if err := s.reads.one(t.Context(), `select count(*) from alert_details`).Scan(&kept); err != nil || kept != 0 {
		t.Errorf("%d details are left of pruned alerts (%v)", kept, err)
	}
}
