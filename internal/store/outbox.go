package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"doorbell/internal/doorbell"
)

const outgoingColumns = `hook, message, event, shop_id, about_seq, header, body, state, attempts, next_at, created_at, last_error`

func scanOutgoing(scan func(...any) error) (o doorbell.Outgoing, err error) {
	var header string
	var next, created int64
	if err = scan(&o.ID, &o.Hook, &o.Message, &o.Event, &o.Shop, &o.About, &header, &o.Body, &o.State, &o.Attempts, &next, &created, &o.LastError); err != nil {
		return o, err
	}
	o.NextAt, o.CreatedAt = instant(next), instant(created)
	if header != "" {
		err = json.Unmarshal([]byte(header), &o.Header)
	}
	return o, err
}

func headerText(h http.Header) (string, error) {
	if h == nil {
		return "", nil
	}
	b, err := json.Marshal(h)
	return string(b), err
}

// Enqueue implements doorbell.OutboxTx.
func (t *txn) Enqueue(o doorbell.Outgoing) error {
	header, err := headerText(o.Header)
	if err != nil {
		return fmt.Errorf("write the outbox: %w", err)
	}
	err = t.exec(`insert into outbox (`+outgoingColumns+`) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		o.Hook, o.Message, o.Event, o.Shop, o.About, header, o.Body, o.State, o.Attempts, millis(o.NextAt), millis(o.CreatedAt), o.LastError)
	if err != nil {
		return fmt.Errorf("write the outbox: %w", err)
	}
	return nil
}

// Due returns the messages of a hook that are due, those that have waited longest
// first, at most limit.
func (s *Store) Due(ctx context.Context, hook string, at time.Time, limit int) ([]doorbell.Outgoing, error) {
	return s.outgoing(ctx, `where hook = ? and state = 0 and next_at <= ? order by next_at, id limit ?`, hook, millis(at), limit)
}

// OutgoingQuery selects messages, newest first.
type OutgoingQuery struct {
	State  doorbell.OutgoingState
	Any    bool // in any state
	Before int64
	Limit  int
}

// Outgoing returns the selected messages.
func (s *Store) Outgoing(ctx context.Context, q OutgoingQuery) ([]doorbell.Outgoing, error) {
	if q.Before == 0 {
		q.Before = doorbell.MaxID
	}
	return s.outgoing(ctx, `where id < ? and (? = 1 or state = ?) order by id desc limit ?`, q.Before, q.Any, q.State, q.Limit)
}

func (s *Store) outgoing(ctx context.Context, rest string, args ...any) (out []doorbell.Outgoing, err error) {
	rows, err := s.reads.query(ctx, `select id, `+outgoingColumns+` from outbox `+rest, args...)
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		o, err := scanOutgoing(r.Scan)
		out = append(out, o)
		return err
	})
	return out, err
}

// SaveAttempt stores the result of one attempt: State, Attempts, NextAt and
// LastError. A forwarded callback is deleted after its last attempt, because its
// body is not needed any more. A failure never overwrites what another sender,
// which took the lease meanwhile, has stored: a delivered message would be sent
// again.
func (s *Store) SaveAttempt(ctx context.Context, o doorbell.Outgoing) error {
	return s.queue.do(ctx, func(t *txn) error {
		if o.State == doorbell.Delivered && o.Hook == doorbell.ForwardHook {
			return t.exec(`delete from outbox where id = ?`, o.ID)
		}
		n, err := t.affect(`update outbox set state = ?, attempts = ?, next_at = ?, last_error = ?
			where id = ? and (? = 1 or state = 0 and attempts <= ?)`,
			o.State, o.Attempts, millis(o.NextAt), o.LastError, o.ID, o.State, o.Attempts)
		if err != nil || n == 0 {
			return err
		}
		return t.noteOutcome(o)
	})
}

// SendAgain queues messages again: the one with this id, or for id 0 all that were
// given up. It returns their number.
func (s *Store) SendAgain(ctx context.Context, id int64) (n int64, err error) {
	where, args := `state = ?`, []any{millis(s.Now()), doorbell.GivenUp}
	if id != 0 {
		where, args[1] = `id = ?`, id
	}
	err = s.queue.do(ctx, func(t *txn) error {
		n, err = t.affect(`update outbox set state = 0, attempts = 0, next_at = ? where `+where, args...)
		return err
	})
	return n, err
}

// Backlog counts the waiting and the given-up messages.
func (s *Store) Backlog(ctx context.Context) (waiting, givenUp int64, err error) {
	err = s.reads.one(ctx, `select (select count(*) from outbox where state = 0), (select count(*) from outbox where state = 2)`).
		Scan(&waiting, &givenUp)
	return waiting, givenUp, err
}

// outboxSlack is the allowed difference between the clocks of two nodes: a message
// from just ahead of this node's time does not mean that the clock was set back.
const outboxSlack = 5 * time.Second

// PullForward makes waiting messages due that were written in the future: the
// clock was set back, and nothing would be sent until it has caught up. A message
// written before the setback is late by at most its own age, as after any failure.
// PullForward returns the number of messages.
func (s *Store) PullForward(ctx context.Context, at time.Time) (n int64, err error) {
	const ahead = ` where created_at > ? and state = 0`
	var some bool
	late := millis(at.Add(outboxSlack))
	if err := s.reads.one(ctx, `select exists (select 1 from outbox`+ahead+`)`, late).Scan(&some); err != nil || !some {
		return 0, err
	}
	err = s.queue.do(ctx, func(t *txn) error {
		n, err = t.affect(`update outbox set created_at = ?, next_at = case when next_at < ? then next_at else ? end`+ahead, millis(at), millis(at), millis(at), late)
		return err
	})
	return n, err
}
