package store

import (
	"fmt"
	"testing"
	"time"

	"doorbell/internal/doorbell"
)

// testDeliveries: the first word on what was delivered stays, whichever node says it
// and however often; what nobody said is not made up.
func testDeliveries(t *testing.T, db database) {
	s := db.open(t, nil)
	for i := range 9 {
		appendOne(t, s, alertOf(1, doorbell.OrderID(i+1), doorbell.NewOrder))
	}
	appendOne(t, s, alertOf(1, 1, doorbell.TakenCare))
	at := doorbell.Instant(now())
	save := func(seconds int, console string, ranges ...[2]doorbell.Seq) {
		t.Helper()
		var all []doorbell.Delivery
		for _, r := range ranges {
			all = append(all, doorbell.Delivery{Shop: 1, From: r[0], Upto: r[1], Console: console, By: "tab", At: at.Add(time.Duration(seconds) * time.Second)})
		}
		if err := s.SaveDeliveries(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	save(1, "a", [2]doorbell.Seq{2, 2}, [2]doorbell.Seq{3, 4})
	save(2, "b", [2]doorbell.Seq{1, 4}) // reads the log anew
	save(3, "b", [2]doorbell.Seq{2, 6}) // another node, further
	save(4, "c", [2]doorbell.Seq{8, 8}) // it has joined from now
	save(5, "c")
	page, err := s.Alerts(t.Context(), doorbell.AlertQuery{Shop: 1, Limit: 20})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, a := range page.Alerts {
		if a.Delivered != nil {
			got += fmt.Sprintf(" %d:%s@%.0f", a.Seq, a.Delivered.Console, a.Delivered.At.Sub(at).Seconds())
		}
	}
	if want := " 8:c@4 6:b@3 5:b@3 4:a@1 3:a@1 2:a@1"; got != want {
		t.Errorf("delivered%s, want%s", got, want)
	}
}
