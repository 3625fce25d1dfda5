package doorbell

import (
	"context"
	"time"
)

const (
	// UnattendedAfter is how long an open shop may be without a console that could
	// ring before its owner is told.
	UnattendedAfter = 30 * time.Second
	// settled is how long attention must last to count: one that comes for a second
	// at a time neither ends an alarm nor puts it off.
	settled = 5 * time.Second
	// A shop that alarms the restlessTimes-th time within restlessFor has a tablet
	// that comes and goes: attention must last for restlessSettled then.
	restlessTimes   = 3
	restlessFor     = 15 * time.Minute
	restlessSettled = time.Minute
)

// Attendance is whether somebody is told that a shop has no console that could
// ring. The exported fields are kept; those of the look are this process's own.
type Attendance struct {
	Shop    ShopID
	Alarm   bool
	AlarmAt time.Time // of the last alarm
	// Alarms counts those since AlarmsSince that came in quick succession.
	Alarms      int
	AlarmsSince time.Time

	lost time.Time // since when there has been no attention that settled; zero: there is
	got  time.Time // since when there is attention; zero: none
}

// See looks at a shop: since when it is open (zero: it is closed) and whether it
// has a console that could ring. It returns the attendance to go on from, and
// what is to be told, ShopUnattended or ShopAttended, if anything.
//
// An alarm that stands when the shop closes stands until somebody attends, and is
// told anew when the shop opens again: nobody has come.
func (a Attendance) See(now, openSince time.Time, attended bool) (Attendance, EventType) {
	switch {
	case !attended:
		a.got = time.Time{}
		if a.lost.IsZero() {
			a.lost = now
		}
	case a.got.IsZero():
		a.got = now
	}
	needs := settled
	if a.Alarm && a.Alarms >= restlessTimes {
		needs = restlessSettled
	}
	if attended && now.Sub(a.got) >= settled && !a.Alarm {
		a.lost = time.Time{}
	}
	if a.Alarm && attended && now.Sub(a.got) >= needs {
		a.Alarm, a.lost = false, time.Time{}
		return a, ShopAttended
	}
	if attended || openSince.IsZero() || a.Alarm && !a.AlarmAt.Before(openSince) {
		return a, ""
	}
	if now.Sub(a.lost) < UnattendedAfter || now.Sub(openSince) < UnattendedAfter {
		return a, ""
	}
	if a.Alarms == 0 || now.Sub(a.AlarmsSince) > restlessFor {
		a.Alarms, a.AlarmsSince = 0, Instant(now)
	}
	a.Alarms++
	a.Alarm, a.AlarmAt = true, Instant(now)
	return a, ShopUnattended
}

// Began returns the attendance of a process that begins to look: consoles that are
// about to come back, as after a restart, have this long.
func (a Attendance) Began(now time.Time, grace time.Duration) Attendance {
	a.lost, a.got = now.Add(max(0, grace-UnattendedAfter)), time.Time{}
	return a
}

// Lost returns since when nobody has attended; zero while somebody does.
func (a Attendance) Lost() time.Time { return a.lost }

// AttendanceTx keeps whose alarm stands.
type AttendanceTx interface {
	// MoveAttendance keeps to in the place of from; false where something else
	// stands there: another node was first.
	MoveAttendance(from, to Attendance) (bool, error)
}

// attendanceEvent is the data of shop.unattended and shop.attended.
type attendanceEvent struct {
	Shop  ShopID `json:"shopId"`
	Since string `json:"since"` // unattended: without attention since; attended: alarmed at
	At    string `json:"at"`
	Test  bool   `json:"test,omitempty"`
}

// TellAttendance keeps that an alarm began or ended, and tells of it. It reports
// false where another node did so before.
func (s *Service) TellAttendance(ctx context.Context, from, to Attendance, what EventType) (first bool, err error) {
	e := attendanceEvent{Shop: to.Shop, At: stamp(s.now()), Since: stamp(Instant(to.lost)), Test: s.rules.Trial}
	if what == ShopAttended {
		e.Since = stamp(from.AlarmAt)
	}
	err = s.store.WriteUrgent(ctx, func(tx Tx) (err error) {
		if first, err = tx.MoveAttendance(from, to); err != nil || !first {
			return err
		}
		for _, channel := range s.rules.Ladders.Of(to.Shop).channels() {
			if err := s.enqueueNotice(tx, channel, newMessage(), OwnerNotice{Event: what, Shop: to.Shop, Test: s.rules.Trial}, 0); err != nil {
				return err
			}
		}
		return s.tell(tx, what, to.Shop, e)
	})
	if err != nil || !first {
		return false, err
	}
	if what == ShopUnattended {
		s.log.WarnContext(ctx, "shop unattended: no console could ring", "shop", to.Shop, "since", e.Since)
	} else {
		s.log.InfoContext(ctx, "shop attended again", "shop", to.Shop, "alarmed", e.Since)
	}
	return true, nil
}
