package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"doorbell/internal/doorbell"
)

// Claim implements doorbell.EscalationTx.
func (t *txn) Claim(e doorbell.Escalation) (claimed, rings bool, err error) {
	if err := t.dialect.lockHead(t, e.Shop); err != nil {
		return false, false, err
	}
	if rings, err = ringing(t.row(stillRinging, e.Shop, e.Seq)); err != nil || !rings {
		return false, rings, err
	}
	n, err := t.affect(t.dialect.insertOr("escalations", "shop_id, seq, rung, round",
		"shop_id, seq, rung, round, addressee, message, state, created_at, done_at, last_error"),
		e.Shop, e.Seq, e.Rung, e.Round, e.To, e.Message, e.State, millis(e.At), millis(e.DoneAt), e.Error)
	if err != nil {
		return false, true, fmt.Errorf("save an escalation step of alert %d of shop %d: %w", e.Seq, e.Shop, err)
	}
	return n == 1, true, nil
}

const stillRinging = `select ringing from alerts where shop_id = ? and seq = ?`

// ringing reads one alert's state; an alert that does not exist does not ring.
func ringing(row interface{ Scan(to ...any) error }) (rings bool, err error) {
	if err = row.Scan(&rings); errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return rings, err
}

// Rings reports whether an alert still rings.
func (s *Store) Rings(ctx context.Context, shop doorbell.ShopID, seq doorbell.Seq) (bool, error) {
	rings, err := ringing(s.reads.one(ctx, stillRinging, shop, seq))
	if err != nil {
		return false, fmt.Errorf("read whether alert %d of shop %d rings: %w", seq, shop, err)
	}
	return rings, nil
}

// RingingSince returns the alerts that still ring and were written at since or
// later, oldest first, at most limit.
func (s *Store) RingingSince(ctx context.Context, since time.Time, limit int) (out []doorbell.Alert, err error) {
	rows, err := s.reads.query(ctx, `select `+alertColumns+` from alerts where ringing = 1 and created_at >= ? order by created_at limit ?`, millis(since), limit)
	if err != nil {
		return nil, fmt.Errorf("read the ringing alerts: %w", err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		a, err := scanAlert(r.Scan)
		out = append(out, a)
		return err
	})
	return out, err
}

// Told returns, for each rung that told somebody of this alert, its last round.
func (s *Store) Told(ctx context.Context, shop doorbell.ShopID, seq doorbell.Seq) (doorbell.Rounds, error) {
	rows, err := s.reads.query(ctx, `select rung, max(round) from escalations where shop_id = ? and seq = ? group by rung`, shop, seq)
	if err != nil {
		return nil, fmt.Errorf("read the escalation steps of alert %d of shop %d: %w", seq, shop, err)
	}
	out := doorbell.Rounds{}
	err = eachRow(rows, func(r *sql.Rows) error {
		var rung, round int
		err := r.Scan(&rung, &round)
		out[rung] = round
		return err
	})
	return out, err
}

const escalationColumns = `seq, rung, round, addressee, message, state, created_at, done_at, last_error`

func scanEscalation(r *sql.Rows, shop doorbell.ShopID) (e doorbell.Escalation, err error) {
	var at, done int64
	e.Shop = shop
	err = r.Scan(&e.Seq, &e.Rung, &e.Round, &e.To, &e.Message, &e.State, &at, &done, &e.Error)
	e.At, e.DoneAt = instant(at), instant(done)
	return e, err
}

// Escalations implements doorbell.Reader.
func (s *Store) Escalations(ctx context.Context, shop doorbell.ShopID, seq doorbell.Seq) (out []doorbell.Escalation, err error) {
	rows, err := s.reads.query(ctx, `select `+escalationColumns+` from escalations where shop_id = ? and seq = ? order by created_at, rung, round`, shop, seq)
	if err != nil {
		return nil, fmt.Errorf("read who was told of alert %d of shop %d: %w", seq, shop, err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		e, err := scanEscalation(r, shop)
		out = append(out, e)
		return err
	})
	return out, err
}

// noteOutcome stores the outcome of a message if the message belongs to an
// escalation step. The first outcome stays: it may be in the ledger already.
func (t *txn) noteOutcome(o doorbell.Outgoing) error {
	if o.About == 0 {
		return nil
	}
	done := int64(0)
	if o.State != doorbell.Waiting {
		done = millis(t.now())
	}
	return t.exec(`update escalations set state = ?, done_at = ?, last_error = ? where shop_id = ? and seq = ? and message = ? and state = 0`,
		o.State, done, o.LastError, o.Shop, o.About, o.Message)
}
