package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"doorbell/internal/doorbell"
)

// MoveAttendance implements doorbell.AttendanceTx.
func (t *txn) MoveAttendance(from, to doorbell.Attendance) (bool, error) {
	n, err := t.affect(`update attendance set alarm = ?, alarm_at = ?, alarms = ?, alarms_since = ? where shop_id = ? and alarm = ? and alarm_at = ?`,
		truth(to.Alarm), millis(to.AlarmAt), to.Alarms, millis(to.AlarmsSince), to.Shop, truth(from.Alarm), millis(from.AlarmAt))
	if err == nil && n == 0 && from.AlarmAt.IsZero() { // the shop has no row yet
		n, err = t.affect(t.dialect.insertOr("attendance", "shop_id", "shop_id, alarm, alarm_at, alarms, alarms_since"),
			to.Shop, truth(to.Alarm), millis(to.AlarmAt), to.Alarms, millis(to.AlarmsSince))
	}
	if err != nil {
		return false, fmt.Errorf("save the attendance of shop %d: %w", to.Shop, err)
	}
	return n == 1, nil
}

// truth returns the number that stands for a bool in a column.
func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Attendances returns the attendance of every shop that ever had an alarm.
func (s *Store) Attendances(ctx context.Context) (map[doorbell.ShopID]doorbell.Attendance, error) {
	rows, err := s.reads.query(ctx, `select shop_id, alarm, alarm_at, alarms, alarms_since from attendance`)
	if err != nil {
		return nil, fmt.Errorf("read the attendance: %w", err)
	}
	out := map[doorbell.ShopID]doorbell.Attendance{}
	err = eachRow(rows, func(r *sql.Rows) error {
		var a doorbell.Attendance
		var at, since int64
		err := r.Scan(&a.Shop, &a.Alarm, &at, &a.Alarms, &since)
		a.AlarmAt, a.AlarmsSince = instant(at), instant(since)
		out[a.Shop] = a
		return err
	})
	return out, err
}

// SaveAttention stores until when each shop has a console on this node that can
// ring. A time in the past means that it has none.
func (s *Store) SaveAttention(ctx context.Context, node string, until map[doorbell.ShopID]time.Time) error {
	return s.queue.do(ctx, func(t *txn) error {
		for shop, at := range until {
			if err := t.exec(t.dialect.replacing("attention", "shop_id, node", "shop_id, node, until_at"), shop, node, millis(at)); err != nil {
				return fmt.Errorf("save the attention of shop %d: %w", shop, err)
			}
		}
		return nil
	})
}

// Attention returns until when each shop has a console that can ring, on any node.
// It leaves out shops whose time is before since.
func (s *Store) Attention(ctx context.Context, since time.Time) (map[doorbell.ShopID]time.Time, error) {
	rows, err := s.reads.query(ctx, `select shop_id, max(until_at) from attention where until_at >= ? group by shop_id`, millis(since))
	if err != nil {
		return nil, fmt.Errorf("read the attention: %w", err)
	}
	out := map[doorbell.ShopID]time.Time{}
	err = eachRow(rows, func(r *sql.Rows) error {
		var shop doorbell.ShopID
		var until int64
		err := r.Scan(&shop, &until)
		out[shop] = instant(until)
		return err
	})
	return out, err
}
