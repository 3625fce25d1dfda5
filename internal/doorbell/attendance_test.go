package doorbell

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// watched runs a shop's attendance in steps of a second.
type watched struct {
	a    Attendance
	now  time.Time
	open time.Time
	told []string
}

func watch(open bool) *watched {
	w := &watched{now: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)}
	if open {
		w.open = w.now.Add(-time.Hour)
	}
	w.a = w.a.Began(w.now, UnattendedAfter)
	return w
}

func (w *watched) pass(d time.Duration, attended bool) {
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(time.Second) {
		var what EventType
		if w.a, what = w.a.See(w.now, w.open, attended); what != "" {
			w.told = append(w.told, string(what)+" "+w.now.Format("15:04:05"))
		}
	}
}

func (w *watched) want(t *testing.T, what string, told ...string) {
	t.Helper()
	if !slices.Equal(w.told, told) {
		t.Errorf("%s: told %v, want %v", what, w.told, told)
	}
	w.told = nil
}

// TestUnattended: 30 s without attention alarm once, 5 s of it end that; a blip
// does neither, nor does it put an alarm off.
func TestUnattended(t *testing.T) {
	w := watch(true)
	w.pass(29*time.Second, false)
	w.want(t, "29 s")
	w.pass(10*time.Minute, false)
	w.want(t, "30 s, and long after", "shop.unattended 10:00:30")
	w.pass(4*time.Second, true)
	w.pass(time.Minute, false)
	w.want(t, "a blip")
	w.pass(10*time.Second, true)
	w.want(t, "back", "shop.attended 10:11:38")
	w.pass(20*time.Second, false)
	w.pass(4*time.Second, true)
	w.pass(7*time.Second, false)
	w.want(t, "a blip within the 30 s", "shop.unattended 10:12:13")
}

// TestClosedHours: nobody is told while the shop is closed; at its opening nobody
// has come for half a minute; an alarm that stood over night is told anew.
func TestClosedHours(t *testing.T) {
	w := watch(false)
	w.pass(time.Hour, false)
	w.want(t, "closed")
	w.open = w.now
	w.pass(time.Minute, false)
	w.want(t, "opens", "shop.unattended 11:00:30")
	w.open = time.Time{}
	w.pass(10*time.Hour, false)
	w.want(t, "closed again")
	w.open = w.now
	w.pass(time.Hour, false)
	w.want(t, "still nobody", "shop.unattended 21:01:30")
	w.open = time.Time{}
	w.pass(time.Minute, true)
	w.want(t, "somebody comes after hours", "shop.attended 22:01:05")
}

// TestRestlessTablet: one that is there for 10 s and away for 40, for hours, is
// told of a few times and not each time; when it stays that is told.
func TestRestlessTablet(t *testing.T) {
	w := watch(true)
	for range 3 * 72 {
		w.pass(40*time.Second, false)
		w.pass(10*time.Second, true)
	}
	if n := len(w.told); n < 3 || n > 2*restlessTimes {
		t.Errorf("told %d times in three hours: %v", n, w.told)
	}
	w.told = nil
	w.pass(2*time.Minute, true)
	if !w.a.Alarm && len(w.told) != 1 || w.a.Alarm {
		t.Errorf("it stayed: told %v, alarm %v", w.told, w.a.Alarm)
	}
}

// TestRestartedWatch: a process that begins has no word of the consoles yet, and
// an alarm that stands is neither lost nor told again.
func TestRestartedWatch(t *testing.T) {
	w := watch(true)
	w.a = Attendance{}.Began(w.now, 75*time.Second)
	w.pass(74*time.Second, false)
	w.want(t, "the first heartbeat")
	w.pass(time.Minute, false)
	w.want(t, "nobody came back", "shop.unattended 10:01:15")
	kept := Attendance{Shop: w.a.Shop, Alarm: w.a.Alarm, AlarmAt: w.a.AlarmAt, Alarms: w.a.Alarms, AlarmsSince: w.a.AlarmsSince}
	w.a = kept.Began(w.now, 75*time.Second)
	w.pass(10*time.Minute, false)
	w.want(t, "it stands")
	w.pass(10*time.Second, true)
	w.want(t, "and ends", "shop.attended 10:12:19")
}

// TestAttendanceModel holds random histories against what a person would say of
// them: an alarm is told while the shop is open and has not had 5 s of attention
// for 30 s, at once and once; its end is told after enough attention, within 10 s
// unless it is restless; and each is followed by the other.
func TestAttendanceModel(t *testing.T) {
	for run := range 300 {
		r := rand.New(rand.NewPCG(1, uint64(run)))
		now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
		a := Attendance{}.Began(now, UnattendedAfter)
		open, attended := now, false
		var lonely, there, opened int // seconds: without settled attention, with any, open
		alone := true                 // as every process takes it for at its beginning
		fail := func(format string, args ...any) {
			t.Fatalf("history %d at %v: %s", run, now, fmt.Sprintf(format, args...))
		}
		for range 4000 {
			if r.IntN(20) == 0 {
				attended = !attended
			}
			if r.IntN(900) == 0 {
				if open.IsZero() {
					open, opened = now, 0
				} else {
					open = time.Time{}
				}
			}
			before := a
			var what EventType
			a, what = a.See(now, open, attended)
			if attended {
				there++
			} else {
				there = 0
			}
			due := !open.IsZero() && lonely >= 30 && opened >= 30 && !attended && (!before.Alarm || before.AlarmAt.Before(open))
			if due != (what == ShopUnattended) {
				fail("told %q, alone for %d s, open for %d", what, lonely, opened)
			}
			if what == ShopAttended && (!before.Alarm || there < 6) {
				fail("attended after %d s, alarm %v", there, before.Alarm)
			}
			if a.Alarm && there > 6 && before.Alarms < restlessTimes || a.Alarm && there > 61 {
				fail("the alarm stands after %d s of attention, %d alarms", there, before.Alarms)
			}
			if there >= 6 && !a.Alarm {
				lonely, alone = 0, false
			}
			if alone = alone || !attended; alone {
				lonely++
			}
			if !open.IsZero() {
				opened++
			}
			now = now.Add(time.Second)
		}
	}
}
