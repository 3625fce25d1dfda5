package store

import (
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
