package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"doorbell/internal/doorbell"
)

// testAttendance checks that of two nodes that saw the same attendance only one
// changes it, and that Attention returns the latest time of all nodes.
func testAttendance(t *testing.T, db database) {
	s := db.open(t, nil)
	at := doorbell.Instant(now())
	none := doorbell.Attendance{Shop: 1}
	alarm := doorbell.Attendance{Shop: 1, Alarm: true, AlarmAt: at, Alarms: 1, AlarmsSince: at}
	over := alarm
	over.Alarm = false
	again := alarm
	again.AlarmAt, again.Alarms = at.Add(time.Minute), 2
	for _, move := range []struct {
		from, to doorbell.Attendance
		want     bool
	}{
		{none, alarm, true},
		{none, alarm, false},
		{alarm, over, true},
		{alarm, over, false},
		{none, alarm, false},
		{over, again, true},
	} {
		err := s.Write(t.Context(), func(tx doorbell.Tx) error {
			moved, err := tx.MoveAttendance(move.from, move.to)
			if moved != move.want {
				t.Errorf("from %+v to %+v: %v, want %v", move.from, move.to, moved, move.want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	kept, err := s.Attendances(t.Context())
	if diff := cmp.Diff(map[doorbell.ShopID]doorbell.Attendance{1: again}, kept, cmpopts.IgnoreUnexported(doorbell.Attendance{})); diff != "" || err != nil {
		t.Errorf("kept (-want +got), %v:\n%s", err, diff)
	}
	save := func(node string, until map[doorbell.ShopID]time.Time) {
		t.Helper()
		if err := s.SaveAttention(t.Context(), node, until); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, until map[doorbell.ShopID]time.Time) {
		t.Helper()
		got, err := s.Attention(t.Context(), at)
		if diff := cmp.Diff(until, got); diff != "" || err != nil {
			t.Errorf("%s (-want +got), %v:\n%s", what, err, diff)
		}
	}
	minute := at.Add(time.Minute)
	save("a", map[doorbell.ShopID]time.Time{1: minute, 2: minute})
	save("b", map[doorbell.ShopID]time.Time{1: minute.Add(time.Minute)})
	want("two nodes", map[doorbell.ShopID]time.Time{1: minute.Add(time.Minute), 2: minute})
	save("b", map[doorbell.ShopID]time.Time{1: at.Add(-1)})
	save("a", map[doorbell.ShopID]time.Time{2: at.Add(-time.Second)})
	want("they left", map[doorbell.ShopID]time.Time{1: minute})
	if err := s.Prune(t.Context(), Retention{Alerts: time.Hour, Orders: time.Hour, Inbox: time.Hour}, at.Add(2*keptAttention)); err != nil {
		t.Fatal(err)
	}
	save("c", map[doorbell.ShopID]time.Time{3: minute})
	want("pruned", map[doorbell.ShopID]time.Time{3: minute})
}
