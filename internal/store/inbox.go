package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"doorbell/internal/doorbell"
)

const callbackColumns = `provider, kind, transaction_id, number, amount, currency, check_amount, body_hash, verdict, reason, times, first_at, last_at, payment_id, basis, account`

func scanCallback(scan func(...any) error) (c doorbell.Callback, err error) {
	var first, last int64
	err = scan(&c.Provider, &c.Kind, &c.Transaction, &c.Number, &c.Minor, &c.Currency, &c.CheckAmount,
		&c.BodyHash, &c.Verdict, &c.Reason, &c.Times, &first, &last, &c.Payment, &c.Basis, &c.Account)
	c.FirstAt, c.LastAt = instant(first), instant(last)
	return c, err
}

// Callback implements doorbell.InboxTx.
func (t *txn) Callback(n doorbell.Notice) (doorbell.Callback, bool, error) {
	if err := t.lockNotice(n); err != nil {
		return doorbell.Callback{}, false, err
	}
	c, err := scanCallback(t.row(`select `+callbackColumns+` from inbox where provider = ? and kind = ? and transaction_id = ?`+t.dialect.forUpdate,
		n.Provider, n.Kind, n.Transaction).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("read the inbox: %w", err)
	}
	return c, true, nil
}

// lockNotice locks a callback's order number and then its row in the inbox,
// whether they exist or not. The number comes first because whoever creates the
// order locks it first.
func (t *txn) lockNotice(n doorbell.Notice) error {
	if t.dialect.lockName == nil {
		return nil
	}
	if n.Number == "" { // refunds of Stripe carry only the payment's id
		err := t.row(`select number from inbox where provider = ? and kind = ? and transaction_id = ?`, n.Provider, n.Kind, n.Transaction).Scan(&n.Number)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("read the inbox: %w", err)
		}
	}
	if n.Number != "" {
		if err := t.lock(numberLock, n.Number); err != nil {
			return err
		}
	}
	return t.lock(noticeLock, n.Provider+" "+string(n.Kind)+" "+n.Transaction)
}

// SaveCallback implements doorbell.InboxTx.
func (t *txn) SaveCallback(c doorbell.Callback) error {
	err := t.exec(t.dialect.replacing("inbox", "provider, kind, transaction_id", callbackColumns),
		c.Provider, c.Kind, c.Transaction, c.Number, c.Minor, c.Currency, c.CheckAmount,
		c.BodyHash, c.Verdict, c.Reason, c.Times, millis(c.FirstAt), millis(c.LastAt), c.Payment, c.Basis, c.Account)
	if err != nil {
		return fmt.Errorf("write the inbox: %w", err)
	}
	return nil
}

// Waiting implements doorbell.InboxTx.
func (t *txn) Waiting(number string) ([]doorbell.Callback, error) {
	return t.payments(number, doorbell.UnknownOrder, doorbell.OtherAccount)
}

// Duplicates implements doorbell.InboxTx.
func (t *txn) Duplicates(number string) ([]doorbell.Callback, error) {
	return t.payments(number, doorbell.OtherTransaction, doorbell.OtherTransaction)
}

func (t *txn) payments(number string, v, w doorbell.Verdict) ([]doorbell.Callback, error) {
	return t.callbacks(`select `+callbackColumns+` from inbox where number = ? and verdict in (?, ?) and kind = 'payment' order by first_at, provider, transaction_id`,
		number, v, w)
}

// refundsOf selects the refunds of a payment.
const refundsOf = ` where provider = ? and payment_id = ? and payment_id <> '' and kind = 'refund' and number in (?, '')`

// Refunds implements doorbell.InboxTx.
func (t *txn) Refunds(payment doorbell.Notice) (doorbell.Refunds, error) {
	return t.callbacks(`select `+callbackColumns+` from inbox`+refundsOf+`
		and verdict in ('settled', 'repeated', 'refunded_in_part', 'other_payment', 'unknown_payment') order by first_at, transaction_id`,
		payment.Provider, payment.Transaction, payment.Number)
}

// JudgeRefunds implements doorbell.InboxTx.
func (t *txn) JudgeRefunds(payment doorbell.Notice, v doorbell.Verdict) error {
	err := t.exec(`update inbox set verdict = ?`+refundsOf+` and verdict = 'unknown_payment'`,
		v, payment.Provider, payment.Transaction, payment.Number)
	if err != nil {
		return fmt.Errorf("write the inbox: %w", err)
	}
	return nil
}

func (t *txn) callbacks(query string, args ...any) (out []doorbell.Callback, err error) {
	err = t.each(query, args, func(r *sql.Rows) error {
		c, err := scanCallback(r.Scan)
		out = append(out, c)
		return err
	})
	return out, err
}

// InboxQuery selects rows of the inbox, latest callback first.
type InboxQuery struct {
	Verdict  doorbell.Verdict // empty: all
	Provider string           // empty: all
	Number   string           // empty: all
	Limit    int
}

// Inbox returns the selected rows of the inbox.
func (s *Store) Inbox(ctx context.Context, q InboxQuery) (out []doorbell.Callback, err error) {
	rows, err := s.reads.query(ctx, `select `+callbackColumns+` from inbox
		where (? = '' or verdict = ?) and (? = '' or provider = ?) and (? = '' or number = ?) order by last_at desc limit ?`,
		q.Verdict, q.Verdict, q.Provider, q.Provider, q.Number, q.Number, q.Limit)
	if err != nil {
		return nil, fmt.Errorf("read the inbox: %w", err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		c, err := scanCallback(r.Scan)
		out = append(out, c)
		return err
	})
	return out, err
}

// Received returns the row of the inbox with this provider, kind and transaction,
// or NotFound.
func (s *Store) Received(ctx context.Context, key doorbell.Notice) (doorbell.Callback, error) {
	c, err := scanCallback(s.reads.one(ctx, `select `+callbackColumns+` from inbox
		where provider = ? and kind = ? and transaction_id = ?`, key.Provider, key.Kind, key.Transaction).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return c, doorbell.Refuse(doorbell.NotFound, "There is no such callback in the inbox.", "收件箱中没有该回调。")
	}
	return c, err
}
