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

const outgoingColumns = `hook, message, event, shop_id, header, body, state, attempts, next_at, created_at, last_error`

func scanOutgoing(scan func(...any) error) (o doorbell.Outgoing, err error) {
	var header string
	var next, created int64
	if err = scan(&o.ID, &o.Hook, &o.Message, &o.Event, &o.Shop, &header, &o.Body, &o.State, &o.Attempts, &next, &created, &o.LastError); err != nil {
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
	err = t.exec(`insert into outbox (`+outgoingColumns+`) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		o.Hook, o.Message, o.Event, o.Shop, header, o.Body, o.State, o.Attempts, millis(o.NextAt), millis(o.CreatedAt), o.LastError)
	if err != nil {
		return fmt.Errorf("write the outbox: %w", err)
	}
	return nil
}

// Due are a hook's messages to be sent by now, those that wait longest first,
// at most limit.
func (s *Store) Due(ctx context.Context, hook string, at time.Time, limit int) ([]doorbell.Outgoing, error) {
	return s.outgoing(ctx, `where hook = ? and state = 0 and next_at <= ? order by next_at, id limit ?`, hook, millis(at), limit)
}

// OutgoingQuery asks for messages, newest first.
type OutgoingQuery struct {
	State  doorbell.OutgoingState
	Any    bool // whatever the state
	Before int64
	Limit  int
}

// Outgoing lists messages.
func (s *Store) Outgoing(ctx context.Context, q OutgoingQuery) ([]doorbell.Outgoing, error) {
	if q.Before == 0 {
		q.Before = doorbell.MaxID
	}
	return s.outgoing(ctx, `where id < ? and (? or state = ?) order by id desc limit ?`, q.Before, q.Any, q.State, q.Limit)
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

// SaveAttempt keeps what became of one attempt: State, Attempts, NextAt and
// LastError. A callback that was passed on is gone with its last one: it holds
// what we have no need of.
func (s *Store) SaveAttempt(ctx context.Context, o doorbell.Outgoing) error {
	return s.writer.do(ctx, func(t *txn) error {
		if o.State == doorbell.Delivered && o.Hook == doorbell.ForwardHook {
			return t.exec(`delete from outbox where id = ?`, o.ID)
		}
		return t.exec(`update outbox set state = ?, attempts = ?, next_at = ?, last_error = ? where id = ?`,
			o.State, o.Attempts, millis(o.NextAt), o.LastError, o.ID)
	})
}

// SendAgain puts messages back into the queue: the one with this id, or all
// that were given up where it is 0. It returns how many.
func (s *Store) SendAgain(ctx context.Context, id int64) (n int64, err error) {
	where, args := `state = ?`, []any{millis(now()), doorbell.GivenUp}
	if id != 0 {
		where, args[1] = `id = ?`, id
	}
	err = s.writer.do(ctx, func(t *txn) error {
		n, err = t.affect(`update outbox set state = 0, attempts = 0, next_at = ? where `+where, args...)
		return err
	})
	return n, err
}

// Backlog counts the messages that wait and those given up.
func (s *Store) Backlog(ctx context.Context) (waiting, givenUp int64, err error) {
	err = s.reads.one(ctx, `select (select count(*) from outbox where state = 0), (select count(*) from outbox where state = 2)`).
		Scan(&waiting, &givenUp)
	return waiting, givenUp, err
}
