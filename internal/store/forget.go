package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"doorbell/internal/doorbell"
)

// Forgotten counts what Forget did.
type Forgotten struct {
	Orders  int // no longer say whose they are, nor what was ordered
	Ringing int // were left as they are, because the kitchen needs them now
}

// forgetStep bounds one change, so that a payment never waits for a large one.
const forgetStep = 100

// Forget removes from a customer's orders whose they are and what was ordered, and
// from their alerts the details and who reminded. Amounts, numbers and times stay:
// they are the shop's books. An order whose alert rings is left as it is. Messages
// to other systems are not looked through: none is kept for longer than keptOutgoing.
func (s *Store) Forget(ctx context.Context, user int64) (done Forgotten, err error) {
	var after doorbell.OrderID
	for {
		orders, err := s.ordersOf(ctx, user, after)
		if err != nil || len(orders) == 0 {
			return done, err
		}
		var n Forgotten
		err = s.queue.do(ctx, func(t *txn) error {
			n = Forgotten{} // a change may run again
			for _, o := range orders {
				forgot, err := t.forget(o, user)
				switch {
				case err != nil:
					return fmt.Errorf("forget order %d: %w", o.id, err)
				case forgot:
					n.Orders++
				default:
					n.Ringing++
				}
			}
			return nil
		})
		if err != nil {
			return done, err
		}
		done.Orders, done.Ringing = done.Orders+n.Orders, done.Ringing+n.Ringing
		after = orders[len(orders)-1].id
	}
}

// ordered is an order to forget.
type ordered struct {
	id   doorbell.OrderID
	shop doorbell.ShopID
}

// ordersOf returns some of a customer's orders behind after, rising.
func (s *Store) ordersOf(ctx context.Context, user int64, after doorbell.OrderID) (list []ordered, err error) {
	rows, err := s.reads.query(ctx, `select id, shop_id from orders where user_id = ? and id > ? order by id limit ?`, user, after, forgetStep)
	if err != nil {
		return nil, fmt.Errorf("read the orders of user %d: %w", user, err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		var o ordered
		err := r.Scan(&o.id, &o.shop)
		list = append(list, o)
		return err
	})
	return list, err
}

// forget reports false for an order that rings.
func (t *txn) forget(o ordered, user int64) (bool, error) {
	var rings bool
	const of = `shop_id = ? and source = 'order' and order_id = ?`
	if err := t.row(`select exists (select 1 from alerts where `+of+` and ringing = 1)`, o.shop, o.id).Scan(&rings); err != nil || rings {
		return false, err
	}
	customer := string(doorbell.RoleCustomer) + ":" + strconv.FormatInt(user, 10)
	for _, c := range []struct {
		query string
		args  []any
	}{
		{`update orders set user_id = 0, detail = '' where id = ? and user_id = ?`, []any{o.id, user}},
		{`delete from alert_details where shop_id = ? and seq in (select seq from alerts where ` + of + `)`, []any{o.shop, o.shop, o.id}},
		{`update alerts set actor = '' where ` + of + ` and actor = ?`, []any{o.shop, o.id, customer}},
	} {
		if err := t.exec(c.query, c.args...); err != nil {
			return false, err
		}
	}
	return true, nil
}
