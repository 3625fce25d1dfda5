package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"doorbell/internal/doorbell"
)

// orderedBefore is how long before its payment an order is made, at most, for the
// ledger to look for one that nobody was told of. Providers end theirs within a day.
const orderedBefore = 3 * 24 * time.Hour

// LedgerDay derives a shop's day from the log, the receipts and the orders, as of a
// time. d says the shop, the day's bounds and the time.
func (s *Store) LedgerDay(ctx context.Context, d doorbell.LedgerDay) (doorbell.LedgerDay, error) {
	err := s.searches.run(ctx, d.Shop, func(ctx context.Context) error {
		return s.snapshot(ctx, func(ctx context.Context, tx snapshot) (err error) {
			if d.Entries, err = ledgerOf(ctx, tx, d); err != nil {
				return err
			}
			untold, err := untoldPayments(ctx, tx, d.Begins, d.Ends)
			d.Entries = append(d.Entries, untold[d.Shop]...)
			return err
		})
	})
	return d, err
}

// ledgerOf reads the entries of the day's alerts that ring, rising.
func ledgerOf(ctx context.Context, q querier, d doorbell.LedgerDay) ([]doorbell.LedgerEntry, error) {
	states, entries, err := ledgerAlerts(ctx, q, d)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	from, upto := entries[0].Seq, entries[len(entries)-1].Seq
	at := make(map[doorbell.Seq]int, len(entries))
	for i, e := range entries {
		at[e.Seq] = i
	}
	if err := ledgerReceipts(ctx, q, d, from, upto, func(r doorbell.Receipt) {
		i, known := at[r.Seq]
		if !known {
			return
		}
		states[i].Receipts = append(states[i].Receipts, r)
		if r.Stage == doorbell.Silent && entries[i].Silent == "" {
			entries[i].Silent = r.Reason
		}
	}); err != nil {
		return nil, err
	}
	if err := ledgerDeliveries(ctx, q, d, from, upto, func(one doorbell.Delivery) {
		for seq := max(one.From, from); seq <= min(one.Upto, upto); seq++ {
			if i, known := at[seq]; known && states[i].Delivered == nil {
				states[i].Delivered = &one
			}
		}
	}); err != nil {
		return nil, err
	}
	if err := ledgerTold(ctx, q, d, from, upto, func(seq doorbell.Seq, t doorbell.LedgerTold) {
		if i, known := at[seq]; known {
			entries[i].Told = append(entries[i].Told, t)
		}
	}); err != nil {
		return nil, err
	}
	for i := range entries {
		entries[i].Reached = states[i].Reached(d.AsOf)
		entries[i] = entries[i].Judged()
	}
	return entries, nil
}

// before is the last alert that was certainly written before a time; 0 for none. It
// bounds the walk through the log, in a statement of its own: within another one
// MariaDB does not bound the walk by it, and reads the whole log.
func before(ctx context.Context, q querier, shop doorbell.ShopID, at time.Time) (seq doorbell.Seq, err error) {
	rows, err := q.query(ctx, `select seq from alerts where shop_id = ? and created_at < ? order by seq desc limit 1`, shop, millis(at.Add(-setBackAtMost)))
	if err != nil {
		return 0, err
	}
	err = eachRow(rows, func(r *sql.Rows) error { return r.Scan(&seq) })
	return seq, err
}

func ledgerAlerts(ctx context.Context, q querier, d doorbell.LedgerDay) (states []doorbell.AlertState, entries []doorbell.LedgerEntry, err error) {
	after, err := before(ctx, q, d.Shop, d.Begins)
	if err != nil {
		return nil, nil, fmt.Errorf("read the log of shop %d: %w", d.Shop, err)
	}
	rows, err := q.query(ctx, `select a.seq, a.type, a.source, a.order_id, a.number, a.test, a.actor, a.created_at,
		coalesce(o.amount, 0), coalesce(o.currency, ''), coalesce(o.pay_status, -1), coalesce(o.created_at, 0),
		coalesce(c.type, 0), coalesce(c.seq, 0), coalesce(c.actor, ''), coalesce(c.created_at, 0)
		from alerts a
		left join orders o on a.source = 'order' and o.id = a.order_id and o.shop_id = a.shop_id
		left join alerts c on c.shop_id = a.shop_id and c.seq = (select min(x.seq) from alerts x where x.shop_id = a.shop_id and x.source = a.source
			and x.order_id = a.order_id and x.seq > a.seq and x.type in (3, 4) and x.created_at <= ?)
		where a.shop_id = ? and a.seq > ? and a.created_at >= ? and a.created_at < ? and a.type in (1, 2) order by a.seq`,
		millis(d.AsOf), d.Shop, after, millis(d.Begins), millis(d.Ends))
	if err != nil {
		return nil, nil, fmt.Errorf("read the day of shop %d: %w", d.Shop, err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		e, st := doorbell.LedgerEntry{}, doorbell.AlertState{}
		var c doorbell.Closing
		var at, ordered, closed int64
		var paid doorbell.PayStatus
		if err := r.Scan(&e.Seq, &e.Type, &e.Source, &e.OrderID, &e.Number, &e.Test, &st.Actor, &at, &e.Amount, &e.Currency, &paid, &ordered,
			&c.Type, &c.Seq, &c.By, &closed); err != nil {
			return err
		}
		e.Time, e.OrderedAt, c.At = instant(at), instant(ordered), instant(closed)
		// The payment and its alert are one transaction: without the order, which may be
		// pruned, its alert still says that money came.
		e.Paid = e.Type == doorbell.NewOrder && (paid > doorbell.Unpaid || paid < 0 && e.Source == doorbell.FromOrder)
		if !e.Paid {
			e.Amount, e.Currency, e.OrderedAt = 0, "", time.Time{}
		}
		st.Type, st.Time, st.Open = e.Type, e.Time, c.Seq == 0
		if !st.Open {
			st.Closed = &c
		}
		entries, states = append(entries, e), append(states, st)
		return nil
	})
	return states, entries, err
}

func ledgerReceipts(ctx context.Context, q querier, d doorbell.LedgerDay, from, upto doorbell.Seq, add func(doorbell.Receipt)) error {
	rows, err := q.query(ctx, `select seq, console, stage, reason, actor, created_at from receipts
		where shop_id = ? and seq >= ? and seq <= ? and created_at <= ? order by seq, created_at, console, stage`, d.Shop, from, upto, millis(d.AsOf))
	if err != nil {
		return fmt.Errorf("read the receipts of shop %d: %w", d.Shop, err)
	}
	return eachRow(rows, func(rows *sql.Rows) error {
		var r doorbell.Receipt
		var at int64
		err := rows.Scan(&r.Seq, &r.Console, &r.Stage, &r.Reason, &r.By, &at)
		r.At = instant(at)
		add(r)
		return err
	})
}

func ledgerDeliveries(ctx context.Context, q querier, d doorbell.LedgerDay, from, upto doorbell.Seq, add func(doorbell.Delivery)) error {
	rows, err := q.query(ctx, `select from_seq, upto_seq, console, actor, created_at from deliveries
		where shop_id = ? and upto_seq >= ? and from_seq <= ? and created_at <= ? order by upto_seq`, d.Shop, from, upto, millis(d.AsOf))
	if err != nil {
		return fmt.Errorf("read what was delivered of shop %d: %w", d.Shop, err)
	}
	return eachRow(rows, func(r *sql.Rows) error {
		var one doorbell.Delivery
		var at int64
		err := r.Scan(&one.From, &one.Upto, &one.Console, &one.By, &at)
		one.At = instant(at)
		add(one)
		return err
	})
}

func ledgerTold(ctx context.Context, q querier, d doorbell.LedgerDay, from, upto doorbell.Seq, add func(doorbell.Seq, doorbell.LedgerTold)) error {
	rows, err := q.query(ctx, `select `+escalationColumns+` from escalations
		where shop_id = ? and seq >= ? and seq <= ? and created_at <= ? order by seq, created_at, rung, round`, d.Shop, from, upto, millis(d.AsOf))
	if err != nil {
		return fmt.Errorf("read who was told in shop %d: %w", d.Shop, err)
	}
	return eachRow(rows, func(r *sql.Rows) error {
		e, err := scanEscalation(r, d.Shop)
		if e.DoneAt.After(d.AsOf) { // it waited then
			e.State, e.DoneAt = doorbell.Waiting, time.Time{}
		}
		add(e.Seq, doorbell.LedgerTold{To: e.To, Rung: e.Rung + 1, Round: e.Round + 1, At: e.At, State: e.State.String(), Done: e.DoneAt})
		return err
	})
}

// untoldPayments are the orders of all shops that were paid in a time and that never
// rang: those of which nobody was told, and those that were cancelled before their
// payment came.
func untoldPayments(ctx context.Context, q querier, begins, ends time.Time) (map[doorbell.ShopID][]doorbell.LedgerEntry, error) {
	rows, err := q.query(ctx, `select o.id, o.shop_id, o.number, o.amount, o.currency, o.created_at, o.paid_at, coalesce(c.seq, 0), coalesce(c.created_at, 0)
		from orders o left join alerts c on c.shop_id = o.shop_id and c.seq = (select min(x.seq) from alerts x
			where x.shop_id = o.shop_id and x.source = 'order' and x.order_id = o.id and x.type = 4 and x.created_at >= o.paid_at)
		where o.created_at >= ? and o.created_at < ? and o.paid_at >= ? and o.paid_at < ?
			and not exists (select 1 from alerts a where a.shop_id = o.shop_id and a.source = 'order' and a.order_id = o.id and a.type = 1)
		order by o.shop_id, o.paid_at, o.id`, millis(begins.Add(-orderedBefore)), millis(ends), millis(begins), millis(ends))
	if err != nil {
		return nil, fmt.Errorf("read the payments that nobody was told of: %w", err)
	}
	out := map[doorbell.ShopID][]doorbell.LedgerEntry{}
	err = eachRow(rows, func(r *sql.Rows) error {
		e := doorbell.LedgerEntry{Source: doorbell.FromOrder, Paid: true}
		var shop doorbell.ShopID
		var ordered, paid, closed int64
		if err := r.Scan(&e.OrderID, &shop, &e.Number, &e.Amount, &e.Currency, &ordered, &paid, &e.Seq, &closed); err != nil {
			return err
		}
		e.Time, e.OrderedAt = instant(paid), instant(ordered)
		if e.Seq > 0 {
			at := instant(closed)
			e.Type, e.Reached = doorbell.CalledOff, []doorbell.Reached{{Progress: doorbell.WasStored, At: at}, {Progress: doorbell.WasCancelled, At: at}}
		}
		out[shop] = append(out[shop], e.Judged())
		return nil
	})
	return out, err
}

// FirstRing is when the oldest alert of a shop that is kept was written; zero for none.
func (s *Store) FirstRing(ctx context.Context, shop doorbell.ShopID) (time.Time, error) {
	var at int64
	err := s.reads.one(ctx, `select created_at from alerts where shop_id = ? order by seq limit 1`, shop).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read the oldest alert of shop %d: %w", shop, err)
	}
	return instant(at), nil
}
