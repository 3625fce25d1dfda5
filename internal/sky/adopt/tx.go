package adopt

import (
	"database/sql"
	"fmt"
	"time"

	"doorbell/internal/doorbell"
)

const (
	selectRow  = `select ` + columns + ` from orders where id = ?`
	selectSeen = `select number, status, pay_status, watched, ordered_at from doorbell_sky_orders where id = ?`
)

// adopted is a transaction on their orders. Their row is the first lock that is
// taken on an order: whoever changes it waits for who reads it.
type adopted struct {
	doorbell.Tx
	sql    statements
	orders *Orders
	read   map[doorbell.OrderID]reading // and locked
}

// reading is what is known of an order.
type reading struct {
	row   row
	there bool // in their table
	seen  seen
	known bool // seen is
	ours  doorbell.Order
	told  bool // ours is: of this order, not of one that had its id before
}

func (r *reading) scanSeen(rows *sql.Rows) error {
	var ordered int64
	err := rows.Scan(&r.seen.number, &r.seen.status, &r.seen.payStatus, &r.seen.watched, &ordered)
	r.known, r.seen.ordered = true, time.UnixMilli(ordered).UTC()
	return err
}

// order is their row, with what only ours tells of it.
func (r *reading) order(id doorbell.OrderID) (doorbell.Order, error) {
	r.settle()
	switch {
	case !r.there && r.told:
		return r.ours, nil
	case !r.there:
		return doorbell.Order{}, doorbell.Refuse(doorbell.NotFound, "There is no order %d.", "订单 %d 不存在。", id)
	case !r.told:
		return r.row.order(), nil
	default:
		return r.stands(), nil
	}
}

// settle forgets what is known of another order that had this id: a table that was
// emptied starts again at 1.
func (r *reading) settle() {
	if !r.there {
		return
	}
	if theirs := r.row.order(); r.told && (r.ours.Number != theirs.Number || r.ours.Account != theirs.Account) {
		r.told = false
	}
	if r.known && r.seen.number != r.row.number {
		r.known = false
	}
}

// stands is our order after what their table says anew. What was done here (accepted
// on a console, say) stays where theirs has not moved.
func (r *reading) stands() doorbell.Order {
	o, theirs := r.ours, r.row.order()
	if !r.known {
		return o
	}
	if r.row.status != r.seen.status {
		o.Status = theirs.Status
	}
	if r.row.payStatus != r.seen.payStatus {
		o.PayStatus = theirs.PayStatus
	}
	if o.PaidAt.IsZero() && o.PayStatus == doorbell.Paid {
		o.PaidAt = theirs.PaidAt
	}
	return o
}

// reading reads and locks an order, once.
func (t *adopted) reading(id doorbell.OrderID) (reading, error) {
	if r, ok := t.read[id]; ok {
		return r, nil
	}
	var r reading
	err := t.sql.Query(selectRow+` for update`, []any{id}, func(rows *sql.Rows) (err error) {
		r.there = true
		r.row, err = scanRow(rows.Scan, t.orders.zone)
		return err
	})
	if err == nil {
		err = t.sql.Query(selectSeen+` for update`, []any{id}, r.scanSeen)
	}
	if err != nil {
		return r, fmt.Errorf("read their order %d: %w", id, err)
	}
	r.ours, err = t.Tx.Order(id)
	if err != nil && doorbell.CodeOf(err) != doorbell.NotFound {
		return r, err
	}
	r.told = err == nil
	r.settle()
	t.read[id] = r
	return r, nil
}

// Order implements doorbell.OrderTx.
func (t *adopted) Order(id doorbell.OrderID) (doorbell.Order, error) {
	r, err := t.reading(id)
	if err != nil {
		return doorbell.Order{}, err
	}
	return r.order(id)
}

// News implements doorbell.NewsTx.
func (t *adopted) News(id doorbell.OrderID) (n doorbell.News, err error) {
	r, err := t.reading(id)
	if err != nil {
		return n, err
	}
	n.Told, n.Quiet = r.told, !t.orders.rings
	switch {
	case !r.there && !r.told:
		return n, nil
	case !r.there: // somebody removed it: nobody is to cook it
		n.Known, n.Stands, n.Fresh = r.ours, r.ours, r.ours.Status != doorbell.Cancelled
		n.Stands.Status = doorbell.Cancelled
	case r.told:
		n.Known, n.Stands = r.ours, r.stands()
		n.Fresh = r.known && !r.row.same(r.seen)
	default:
		n.First = !r.known
		n.Known, n.Stands = r.row.order(), r.row.order()
		n.Known.Status, n.Known.PayStatus = doorbell.ToBePaid, doorbell.Unpaid
		if r.known {
			n.Known.Status, n.Known.PayStatus = r.seen.status, r.seen.payStatus
		}
		n.Fresh = n.Known.Status != n.Stands.Status || n.Known.PayStatus != n.Stands.PayStatus
	}
	return n, nil
}

// Look implements doorbell.NewsTx.
func (t *adopted) Look(id doorbell.OrderID) error {
	r, err := t.reading(id)
	if err != nil || !r.there {
		return err
	}
	return t.note(r)
}

// note writes what their row was seen to be.
func (t *adopted) note(r reading) error {
	ordered := r.row.ordered
	if ordered.IsZero() {
		ordered = doorbell.Instant(time.Now())
	}
	r.seen = seen{r.row.number, r.row.status, r.row.payStatus, r.row.watch(), ordered}
	r.known = true
	_, err := t.sql.Exec(`insert into doorbell_sky_orders (id, number, status, pay_status, watched, ordered_at) values (?, ?, ?, ?, ?, ?)
		on duplicate key update number = values(number), status = values(status), pay_status = values(pay_status), watched = values(watched), ordered_at = values(ordered_at)`,
		r.row.id, r.seen.number, r.seen.status, r.seen.payStatus, r.seen.watched, r.seen.ordered.UnixMilli())
	t.read[r.row.id] = r
	return err
}

// OrderByNumber implements doorbell.OrderTx: their numbers are unique in no scope.
func (t *adopted) OrderByNumber(_, number string) (doorbell.Order, error) {
	return doorbell.Order{}, doorbell.Refuse(doorbell.NotFound, "There is no order %s.", "订单 %s 不存在。", number)
}

// OrdersByNumber implements doorbell.OrderTx.
func (t *adopted) OrdersByNumber(number string, limit int) (out []doorbell.Order, err error) {
	if _, err := t.Tx.OrdersByNumber(number, 1); err != nil { // for its lock
		return nil, err
	}
	ids, err := t.numbered(number, limit)
	if err != nil {
		return nil, fmt.Errorf("look for their order %s: %w", number, err)
	}
	for _, id := range ids {
		r, err := t.reading(id)
		if err != nil {
			return nil, err
		}
		if !r.there || r.row.number != number {
			continue
		}
		o, err := r.order(id)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// numbered returns the ids of the orders of a number: those of our index, and those
// that are not in it yet, which have the highest ids.
func (t *adopted) numbered(number string, limit int) (ids []doorbell.OrderID, err error) {
	known := map[doorbell.OrderID]bool{}
	add := func(rows *sql.Rows) error {
		var id doorbell.OrderID
		if err := rows.Scan(&id); err != nil {
			return err
		}
		if !known[id] {
			known[id] = true
			ids = append(ids, id)
		}
		return nil
	}
	if err := t.sql.Query(`select id from doorbell_sky_orders where number = ? order by id limit ?`, []any{number, limit}, add); err != nil {
		return nil, err
	}
	var place int64
	err = t.sql.Query(`select coalesce(max(id), 0) from doorbell_sky_orders`, nil, func(rows *sql.Rows) error { return rows.Scan(&place) })
	if err != nil {
		return nil, err
	}
	n := 0
	err = t.sql.Query(`select id, coalesce(number, '') from orders where id > ? order by id limit ?`, []any{max(place-overlap, 0), tail}, func(rows *sql.Rows) error {
		n++
		var id doorbell.OrderID
		var has string
		if err := rows.Scan(&id, &has); err != nil {
			return err
		}
		if has == number && !known[id] {
			known[id] = true
			ids = append(ids, id)
		}
		return nil
	})
	if err == nil && n >= tail {
		e := doorbell.Refuse(doorbell.Unavailable, "The orders of sky-take-out are being read; try again.", "正在读取苍穹外卖的订单，请稍后重试。")
		e.RetryAfter = time.Second
		return nil, e
	}
	return ids, err
}

// InsertOrder implements doorbell.OrderTx: theirs are made in their table.
func (t *adopted) InsertOrder(o doorbell.Order) (doorbell.Order, error) {
	return o, doorbell.Refuse(doorbell.Conflict, "Orders are those of sky-take-out's table (sky.adopt); make it there.",
		"已启用 sky.adopt，订单以苍穹外卖的 orders 表为准，请在该表中创建。")
}

// UpdateOrder implements doorbell.OrderTx. Of their table it changes nothing but an
// order that is to be paid, to be paid.
func (t *adopted) UpdateOrder(o doorbell.Order) error {
	r, err := t.reading(o.ID)
	if err != nil {
		return err
	}
	if err := t.keep(r, o); err != nil {
		return err
	}
	r.ours, r.told = o, true
	if !r.there {
		t.read[o.ID] = r
		return nil
	}
	if r.row.status == doorbell.ToBePaid && o.Status == doorbell.ToBeAccepted && o.PayStatus == doorbell.Paid {
		if err := t.pay(&r, o); err != nil {
			return err
		}
	}
	return t.note(r)
}

// keep writes our side of an order.
func (t *adopted) keep(r reading, o doorbell.Order) error {
	if r.told {
		return t.Tx.UpdateOrder(o)
	}
	// Of another order that had this id.
	if _, err := t.sql.Exec(`delete from doorbell_orders where id = ?`, o.ID); err != nil {
		return err
	}
	_, err := t.Tx.InsertOrder(o)
	return err
}

// pay writes a payment into their table, as their own callback does. MySQL would
// round a fraction up, so there is none.
func (t *adopted) pay(r *reading, o doorbell.Order) error {
	changed, err := t.sql.Exec(`update orders set status = 2, pay_status = 1, checkout_time = ? where id = ? and status = 1`,
		o.PaidAt.In(t.orders.zone).Format(timeLayout), o.ID)
	if err != nil {
		return fmt.Errorf("pay their order %d: %w", o.ID, err)
	}
	if changed == 1 {
		r.row.status, r.row.payStatus, r.row.checkout = doorbell.ToBeAccepted, doorbell.Paid, o.PaidAt
	}
	return nil
}
