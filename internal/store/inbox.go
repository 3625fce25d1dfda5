package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"doorbell/internal/doorbell"
)

const callbackColumns = `provider, kind, transaction_id, number, amount, currency, check_amount, body_hash, verdict, reason, times, first_at, last_at`

func scanCallback(scan func(...any) error) (c doorbell.Callback, err error) {
	var first, last int64
	err = scan(&c.Provider, &c.Kind, &c.Transaction, &c.Number, &c.Minor, &c.Currency, &c.CheckAmount,
		&c.BodyHash, &c.Verdict, &c.Reason, &c.Times, &first, &last)
	c.FirstAt, c.LastAt = instant(first), instant(last)
	return c, err
}

// Callback implements doorbell.InboxTx.
func (t *txn) Callback(n doorbell.Notice) (doorbell.Callback, bool, error) {
	c, err := scanCallback(t.row(`select `+callbackColumns+` from inbox where provider = ? and kind = ? and transaction_id = ?`,
		n.Provider, n.Kind, n.Transaction).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("read the inbox: %w", err)
	}
	return c, true, nil
}

// SaveCallback implements doorbell.InboxTx.
func (t *txn) SaveCallback(c doorbell.Callback) error {
	if err := t.exec(`delete from inbox where provider = ? and kind = ? and transaction_id = ?`, c.Provider, c.Kind, c.Transaction); err != nil {
		return fmt.Errorf("write the inbox: %w", err)
	}
	err := t.exec(`insert into inbox (`+callbackColumns+`) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		c.Provider, c.Kind, c.Transaction, c.Number, c.Minor, c.Currency, c.CheckAmount,
		c.BodyHash, c.Verdict, c.Reason, c.Times, millis(c.FirstAt), millis(c.LastAt))
	if err != nil {
		return fmt.Errorf("write the inbox: %w", err)
	}
	return nil
}

// Waiting implements doorbell.InboxTx.
func (t *txn) Waiting(number string) (out []doorbell.Callback, err error) {
	err = t.each(`select `+callbackColumns+` from inbox where number = ? and verdict = ? order by kind, first_at`,
		[]any{number, doorbell.UnknownOrder}, func(r *sql.Rows) error {
			c, err := scanCallback(r.Scan)
			out = append(out, c)
			return err
		})
	return out, err
}

// InboxQuery asks for lines of the inbox, those with the latest callbacks
// first.
type InboxQuery struct {
	Verdict  doorbell.Verdict // empty: all
	Provider string           // empty: all
	Number   string           // empty: all
	Limit    int
}

// Inbox lists lines of the inbox.
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

// Received is the line of the inbox for this provider, kind and transaction;
// NotFound when there is none.
func (s *Store) Received(ctx context.Context, key doorbell.Notice) (doorbell.Callback, error) {
	c, err := scanCallback(s.reads.one(ctx, `select `+callbackColumns+` from inbox
		where provider = ? and kind = ? and transaction_id = ?`, key.Provider, key.Kind, key.Transaction).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return c, doorbell.Refuse(doorbell.NotFound, "There is no such callback in the inbox.", "收件箱中没有该回调。")
	}
	return c, err
}
