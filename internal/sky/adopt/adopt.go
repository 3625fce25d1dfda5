// Package adopt takes sky-take-out's table of orders as it stands: orders are read
// there and paid there, and need not be told to doorbell first. What their table has
// no column for (the transaction, refunds, the last reminder) stands in a table of
// ours beside it, for those orders that have rung.
//
// Their table has no index but its primary key. Their numbers are therefore kept in
// an index of ours (sky_orders), which the watcher brings up to date by primary key;
// a callback reads what has come since in the same way. No statement scans it.
package adopt

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"doorbell/internal/doorbell"
)

// Shop is the shop of their orders: they know one.
const Shop doorbell.ShopID = 1

const (
	// overlap is how many ids below the highest known one are looked through again:
	// an id is given out before its row is committed. At ten orders a second a
	// transaction may take 50 s.
	overlap = 512
	// tail bounds the rows that a callback reads behind the highest known id.
	tail = 2000
)

// Store is what the table needs of the store that it stands in.
type Store interface {
	doorbell.Store
	// Query reads rows; tables are called as the statement says.
	Query(ctx context.Context, query string, args []any, scan func(*sql.Rows) error) error
}

// statements run in the open transaction; the store's transactions have them.
type statements interface {
	Query(query string, args []any, scan func(*sql.Rows) error) error
	Exec(query string, args ...any) (changed int64, err error)
}

// Options of New; all are needed.
type Options struct {
	Store Store
	Zone  *time.Location // of the times in their table
	Rings bool           // what is paid without a callback rings
	Log   *slog.Logger
}

// Orders is the store with their orders in the place of ours.
type Orders struct {
	Store
	zone  *time.Location
	rings bool
	log   *slog.Logger
}

// New makes one. It asks nothing of the database yet; see Check.
func New(o Options) *Orders { return &Orders{Store: o.Store, zone: o.Zone, rings: o.Rings, log: o.Log} }

// Check fails where the table isn't there, or is another one.
func (a *Orders) Check(ctx context.Context) error {
	err := a.Query(ctx, `select `+columns+` from orders where id = 0`, nil, func(*sql.Rows) error { return nil })
	if err != nil {
		return fmt.Errorf("sky.adopt: read the table orders of sky-take-out: %w", err)
	}
	return nil
}

// Write implements doorbell.Store.
func (a *Orders) Write(ctx context.Context, change func(doorbell.Tx) error) error {
	return a.Store.Write(ctx, a.adopting(change))
}

// WriteUrgent implements doorbell.Store.
func (a *Orders) WriteUrgent(ctx context.Context, change func(doorbell.Tx) error) error {
	return a.Store.WriteUrgent(ctx, a.adopting(change))
}

// WritePress implements doorbell.Store.
func (a *Orders) WritePress(ctx context.Context, change func(doorbell.Tx) error) error {
	return a.Store.WritePress(ctx, a.adopting(change))
}

func (a *Orders) adopting(change func(doorbell.Tx) error) func(doorbell.Tx) error {
	return func(tx doorbell.Tx) error {
		raw, ok := tx.(statements)
		if !ok {
			return errors.New("sky.adopt: this store runs no statements of others")
		}
		return change(&adopted{Tx: tx, sql: raw, orders: a, read: map[doorbell.OrderID]reading{}})
	}
}

// Order implements doorbell.Store.
func (a *Orders) Order(ctx context.Context, id doorbell.OrderID) (doorbell.Order, error) {
	ours, err := a.Store.Order(ctx, id)
	if err != nil && doorbell.CodeOf(err) != doorbell.NotFound {
		return ours, err
	}
	known := reading{ours: ours, told: err == nil}
	err = a.Query(ctx, selectRow, []any{id}, func(rows *sql.Rows) (err error) {
		known.there = true
		known.row, err = scanRow(rows.Scan, a.zone)
		return err
	})
	if err == nil {
		err = a.Query(ctx, selectSeen, []any{id}, known.scanSeen)
	}
	if err != nil {
		return doorbell.Order{}, fmt.Errorf("read their order %d: %w", id, err)
	}
	return known.order(id)
}

// Unpaid are their orders without a payment, for who asks the providers.
func (a *Orders) Unpaid(ctx context.Context, from, to time.Time, after doorbell.Order, limit int) (out []doorbell.Order, err error) {
	var ids []any
	err = a.Query(ctx, `select id from doorbell_sky_orders where watched > 0 and id > ? and status = 1 and ordered_at between ? and ? order by id limit ?`,
		[]any{after.ID, from.UnixMilli(), to.UnixMilli(), limit}, func(rows *sql.Rows) error {
			var id int64
			err := rows.Scan(&id)
			ids = append(ids, id)
			return err
		})
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	err = a.Query(ctx, `select `+columns+` from orders force index (primary) where id in (`+places(len(ids))+`) order by id`, ids, func(rows *sql.Rows) error {
		r, err := scanRow(rows.Scan, a.zone)
		if o := r.order(); err == nil && o.PayStatus == doorbell.Unpaid && o.Status == doorbell.ToBePaid && o.Number == r.number {
			out = append(out, o)
		}
		return err
	})
	return out, err
}

// places are n placeholders.
func places(n int) string {
	b := make([]byte, 0, 2*n)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '?')
	}
	return string(b)
}

// maxCustomers bounds what one page of messages asks for.
const maxCustomers = 128

// Customers are who waits for orders. Columns that a copy of their table lacks are an
// error, and nothing else depends on them.
func (a *Orders) Customers(ctx context.Context, orders []doorbell.OrderID) (map[doorbell.OrderID]doorbell.Customer, error) {
	args := make([]any, maxCustomers)
	for i := range args {
		args[i] = 0
		if i < len(orders) {
			args[i] = orders[i]
		}
	}
	out := map[doorbell.OrderID]doorbell.Customer{}
	err := a.Query(ctx, `select id, coalesce(consignee, ''), coalesce(phone, ''), coalesce(address, ''), coalesce(order_time, ''), coalesce(estimated_delivery_time, '')
		from orders force index (primary) where id in (`+places(maxCustomers)+`)`, args, func(rows *sql.Rows) error {
		var id doorbell.OrderID
		var c doorbell.Customer
		err := rows.Scan(&id, &c.Consignee, &c.Phone, &c.Address, &c.Ordered, &c.EstimatedDelivery)
		out[id] = c
		return err
	})
	return out, err
}
