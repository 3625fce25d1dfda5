package adopt

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"doorbell/internal/doorbell"
)

const (
	// atFirst is how many of their orders, the newest, the first look notes. Callbacks
	// come within a day of an order.
	atFirst = 5000
	// justPaid is how old a payment may be that rings at the first look: their table
	// may hold orders that nobody has accepted for months.
	justPaid = time.Hour
	// keptIDs is how many ids below the highest one are never forgotten: those that
	// are not known count as new.
	keptIDs = 10000
	// batch is how many rows one statement writes or removes.
	batch = 500
)

// begin notes the orders that are there already, as they stand. Those that were paid
// just now and that nobody has accepted ring.
func (w *Watch) begin(ctx context.Context) error {
	var rows []row
	err := w.Orders.Query(ctx, `select `+columns+` from orders order by id desc limit ?`, []any{atFirst}, func(r *sql.Rows) error {
		one, err := scanRow(r.Scan, w.Orders.zone)
		rows = append(rows, one)
		return err
	})
	if err != nil {
		return err
	}
	slices.Reverse(rows)
	old, now := 0, time.Now()
	args := []any{0, "", 0, 0, settledRow, 0} // says that this look was
	for _, r := range rows {
		kind := r.watch()
		if now.Sub(r.ordered) > lively {
			kind = settledRow
		}
		waits := r.status == doorbell.ToBeAccepted && r.payStatus == doorbell.Paid
		status, pay := r.status, r.payStatus
		switch {
		case waits && now.Sub(r.checkout) < justPaid:
			status, pay, kind = doorbell.ToBePaid, doorbell.Unpaid, livelyRow
		case waits:
			old++
		}
		args = append(args, r.id, r.number, status, pay, kind, r.ordered.UnixMilli())
	}
	err = w.write(ctx, func(raw statements) error {
		for some := range slices.Chunk(args, 6*batch) {
			values := strings.Repeat(`, (?, ?, ?, ?, ?, ?)`, len(some)/6)[2:]
			_, err := raw.Exec(`insert into doorbell_sky_orders (id, number, status, pay_status, watched, ordered_at) values `+values+
				` on duplicate key update id = id`, some...)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		w.Log.InfoContext(ctx, "the orders of sky-take-out are known", "orders", len(rows), "old_and_not_accepted", old)
	}
	return err
}

// forget removes what is known of orders that are not there any more.
func (w *Watch) forget(ctx context.Context, ids []doorbell.OrderID) error {
	return w.write(ctx, func(raw statements) error {
		for _, id := range ids {
			if _, err := raw.Exec(`delete from doorbell_sky_orders where id = ?`, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// sweep lets orders go that nothing more is expected of.
func (w *Watch) sweep(ctx context.Context, place int64) error {
	now := time.Now()
	return w.write(ctx, func(raw statements) error {
		_, err := raw.Exec(`update doorbell_sky_orders s set watched = 0 where watched > 0 and ordered_at < ? and not exists
			(select 1 from doorbell_alerts a where a.shop_id = ? and a.source = 'order' and a.order_id = s.id and a.ringing = 1)`, now.Add(-lively).UnixMilli(), Shop)
		if err == nil {
			_, err = raw.Exec(`update doorbell_sky_orders set watched = ? where watched = ? and status = 1 and ordered_at < ?`, quietRow, livelyRow, now.Add(-prompt).UnixMilli())
		}
		if err == nil {
			_, err = raw.Exec(`delete from doorbell_sky_orders where id > 0 and id < ? and watched = 0 order by id limit ?`, place-keptIDs, batch)
		}
		return err
	})
}

func (w *Watch) write(ctx context.Context, change func(statements) error) error {
	return w.Orders.Store.Write(ctx, func(tx doorbell.Tx) error {
		raw, ok := tx.(statements)
		if !ok {
			return errors.New("sky.adopt: this store runs no statements of others")
		}
		return change(raw)
	})
}
