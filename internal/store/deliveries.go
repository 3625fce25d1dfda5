package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"doorbell/internal/doorbell"
)

// SaveDeliveries keeps which alerts have left for a console. Of what was noted
// before, by this node or another, the first word stays; so a console that reads an
// old log anew adds nothing.
func (s *Store) SaveDeliveries(ctx context.Context, all []doorbell.Delivery) error {
	if len(all) == 0 {
		return nil
	}
	return s.queue.wait(ctx, s.queue.receipts, func(t *txn) error {
		for _, d := range all {
			var upto sql.NullInt64
			if err := t.row(`select max(upto_seq) from deliveries where shop_id = ?`, d.Shop).Scan(&upto); err != nil {
				return fmt.Errorf("read what was delivered of shop %d: %w", d.Shop, err)
			}
			if doorbell.Seq(upto.Int64) >= d.Upto {
				continue
			}
			err := t.exec(t.dialect.insertOr("deliveries", "shop_id, upto_seq", "shop_id, upto_seq, from_seq, console, actor, created_at"),
				d.Shop, d.Upto, max(d.From, doorbell.Seq(upto.Int64)+1), d.Console, d.By, millis(d.At))
			if err != nil {
				return fmt.Errorf("keep what was delivered of shop %d: %w", d.Shop, err)
			}
		}
		return nil
	})
}

// delivered adds whether an alert left for a console.
func (s *Store) delivered(ctx context.Context, tx snapshot, st *doorbell.AlertState) error {
	d := doorbell.Delivery{Shop: st.Shop}
	var at int64
	err := tx.one(ctx, `select from_seq, upto_seq, console, actor, created_at from deliveries
		where shop_id = ? and upto_seq >= ? order by upto_seq limit 1`, st.Shop, st.Seq).Scan(&d.From, &d.Upto, &d.Console, &d.By, &at)
	if errors.Is(err, sql.ErrNoRows) || err == nil && d.From > st.Seq {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read whether alert %d was delivered: %w", st.Seq, err)
	}
	d.At = instant(at)
	st.Delivered = &d
	return nil
}
