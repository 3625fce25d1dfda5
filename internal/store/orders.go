package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"doorbell/internal/doorbell"
)

const orderColumns = `id, number, shop_id, user_id, status, pay_status, amount, currency, provider, transaction_id, created_at, paid_at, reminded_at, detail, refunded_amount, account`

func scanOrder(scan func(...any) error) (o doorbell.Order, err error) {
	var created, paid, reminded int64
	var detail string
	err = scan(&o.ID, &o.Number, &o.Shop, &o.User, &o.Status, &o.PayStatus, &o.Minor, &o.Currency,
		&o.Provider, &o.Transaction, &created, &paid, &reminded, &detail, &o.RefundedAmount, &o.Account)
	o.CreatedAt, o.PaidAt, o.RemindedAt = instant(created), instant(paid), instant(reminded)
	if err == nil {
		o.Detail, err = parseDetail(detail)
	}
	return o, err
}

// noOrder turns a missing row into NotFound.
func noOrder(o doorbell.Order, err error, what any) (doorbell.Order, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return o, doorbell.Refuse(doorbell.NotFound, "There is no order %v.", "订单 %v 不存在。", what)
	}
	if err != nil {
		return o, fmt.Errorf("read order %v: %w", what, err)
	}
	return o, nil
}

// Order implements doorbell.Store.
func (s *Store) Order(ctx context.Context, id doorbell.OrderID) (doorbell.Order, error) {
	o, err := scanOrder(s.reads.one(ctx, `select `+orderColumns+` from orders where id = ?`, id).Scan)
	return noOrder(o, err, id)
}

// Order implements doorbell.OrderTx.
func (t *txn) Order(id doorbell.OrderID) (doorbell.Order, error) {
	o, err := scanOrder(t.row(`select `+orderColumns+` from orders where id = ?`+t.dialect.forUpdate, id).Scan)
	return noOrder(o, err, id)
}

// OrderByNumber implements doorbell.OrderTx.
func (t *txn) OrderByNumber(scope, number string) (doorbell.Order, error) {
	if err := t.lock(numberLock, number); err != nil {
		return doorbell.Order{}, err
	}
	o, err := scanOrder(t.row(`select `+orderColumns+` from orders where account = ? and number = ?`+t.dialect.forUpdate, scope, number).Scan)
	return noOrder(o, err, number)
}

// OrdersByNumber implements doorbell.OrderTx.
func (t *txn) OrdersByNumber(number string, limit int) (out []doorbell.Order, err error) {
	if err := t.lock(numberLock, number); err != nil {
		return nil, err
	}
	err = t.each(`select `+orderColumns+` from orders where number = ? order by id limit ?`+t.dialect.forUpdate, []any{number, limit}, func(r *sql.Rows) error {
		o, err := scanOrder(r.Scan)
		out = append(out, o)
		return err
	})
	return out, err
}

// InsertOrder implements doorbell.OrderTx.
func (t *txn) InsertOrder(o doorbell.Order) (doorbell.Order, error) {
	if o.ID == 0 {
		id, err := t.nextOrderID()
		if err != nil {
			return o, err
		}
		o.ID = id
	}
	err := t.exec(`insert into orders (`+orderColumns+`) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		o.ID, o.Number, o.Shop, o.User, o.Status, o.PayStatus, o.Minor, o.Currency, o.Provider, o.Transaction,
		millis(o.CreatedAt), millis(o.PaidAt), millis(o.RemindedAt), detailText(o.Detail), o.RefundedAmount, o.Account)
	if err != nil {
		return o, fmt.Errorf("insert order %s: %w", o.Number, err)
	}
	return o, nil
}

// UpdateOrder implements doorbell.OrderTx.
func (t *txn) UpdateOrder(o doorbell.Order) error {
	err := t.exec(`update orders set status = ?, pay_status = ?, provider = ?, transaction_id = ?, paid_at = ?, reminded_at = ?, refunded_amount = ? where id = ?`,
		o.Status, o.PayStatus, o.Provider, o.Transaction, millis(o.PaidAt), millis(o.RemindedAt), o.RefundedAmount, o.ID)
	if err != nil {
		return fmt.Errorf("update order %d: %w", o.ID, err)
	}
	return nil
}

// Unpaid returns the orders without a payment that were created between from and
// to and follow the given order, oldest first, at most limit.
func (s *Store) Unpaid(ctx context.Context, from, to time.Time, after doorbell.Order, limit int) (out []doorbell.Order, err error) {
	rows, err := s.reads.query(ctx, `select `+orderColumns+` from orders
		where pay_status = 0 and created_at >= ? and created_at <= ? and (created_at, id) > (?, ?) order by created_at, id limit ?`,
		millis(from), millis(to), millis(after.CreatedAt), after.ID, limit)
	if err != nil {
		return nil, fmt.Errorf("read the unpaid orders: %w", err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		o, err := scanOrder(r.Scan)
		out = append(out, o)
		return err
	})
	return out, err
}
