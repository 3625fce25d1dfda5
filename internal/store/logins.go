package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"doorbell/internal/doorbell"
)

// joinShops and splitShops convert a set of shops to and from a column's text.
func joinShops(s doorbell.ShopSet) string {
	if s.All {
		return "*"
	}
	parts := make([]string, len(s.List))
	for i, shop := range s.List {
		parts[i] = shop.String()
	}
	return strings.Join(parts, ",")
}

func splitShops(s string) (doorbell.ShopSet, error) {
	if s == "*" {
		return doorbell.ShopSet{All: true}, nil
	}
	var out doorbell.ShopSet
	if s == "" {
		return out, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil {
			return out, fmt.Errorf("shops column: %w", err)
		}
		out.List = append(out.List, doorbell.ShopID(n))
	}
	return out, nil
}

const loginColumns = `id, key_hash, subject, role, shops, created_at, expires_at, limit_at, paired, label, parent, source, device, generation, ended_at, ended_by`

func scanLogin(scan func(...any) error) (l doorbell.Login, err error) {
	var shops string
	var created, expires, limit, ended int64
	g := &l.Grant
	if err = scan(&l.ID, &l.KeyHash, &g.Subject, &g.Role, &shops, &created, &expires, &limit, &l.Paired, &l.Label,
		&g.Parent, &g.Source, &g.Device, &l.Generation, &ended, &l.EndedBy); err != nil {
		return l, err
	}
	l.Created, g.Expires, l.Limit, l.Ended, g.Session = instant(created), instant(expires), instant(limit), instant(ended), l.ID
	g.Shops, err = splitShops(shops)
	return l, err
}

// errEnded returns the error for what an ended session tries to create.
func errEnded() error {
	return doorbell.Refuse(doorbell.NotFound, "This session has ended.", "登录已过期。")
}

// mustLive returns an error if the session has ended. It runs in the transaction
// that creates something for the session: what is created after the end would
// outlive the session.
func (t *txn) mustLive(session, generation string) error {
	if session == "" {
		return nil
	}
	var one int
	err := t.row(`select 1 from logins where id = ? and ended_at = 0 and generation = ? and expires_at > ?`+t.dialect.forUpdate, session, generation, millis(t.now())).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return errEnded()
	}
	return err
}

// SaveLogin adds a session, or returns NotFound if the session that creates it has
// ended.
func (s *Store) SaveLogin(ctx context.Context, l doorbell.Login) error {
	return s.queue.do(ctx, func(t *txn) error {
		if err := t.mustLive(l.Grant.Parent, l.Generation); err != nil {
			return err
		}
		g := l.Grant
		return t.exec(`insert into logins (`+loginColumns+`) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '')`,
			l.ID, l.KeyHash, g.Subject, g.Role, joinShops(g.Shops), millis(l.Created), millis(g.Expires), millis(l.Limit), l.Paired, l.Label,
			g.Parent, g.Source, g.Device, l.Generation)
	})
}

// LoginByKey returns the session with this cookie's hash, also one that was ended
// or has another generation. It returns NotFound for an unknown or expired one.
func (s *Store) LoginByKey(ctx context.Context, hash string) (doorbell.Login, error) {
	return s.login(ctx, `select `+loginColumns+` from logins where key_hash = ?`, hash)
}

// Login returns the session with this id, as LoginByKey does.
func (s *Store) Login(ctx context.Context, id string) (doorbell.Login, error) {
	return s.login(ctx, `select `+loginColumns+` from logins where id = ?`, id)
}

func (s *Store) login(ctx context.Context, query, key string) (doorbell.Login, error) {
	l, err := scanLogin(s.reads.one(ctx, query, key).Scan)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !l.Grant.Expires.After(s.Now()) {
		return l, errEnded()
	}
	if err != nil {
		return l, fmt.Errorf("read a session: %w", err)
	}
	return l, nil
}

// under selects a session and all sessions that descend from it.
const under = `(with recursive made (id) as (select id from logins where id = ? or parent = ? union select l.id from logins l join made on l.parent = made.id) select id from made)`

// Logins returns the valid sessions, the latest first.
func (s *Store) Logins(ctx context.Context, generation string, p doorbell.LoginPage) (out []doorbell.Login, err error) {
	query := `select ` + loginColumns + ` from logins where ended_at = 0 and generation = ? and expires_at > ?`
	args := []any{generation, millis(s.Now())}
	if !p.Before.IsZero() {
		query += ` and created_at <= ? and (created_at, id) < (?, ?)`
		args = append(args, millis(p.Before), millis(p.Before), p.ID)
	}
	if p.Source != "" {
		query += ` and source = ?`
		args = append(args, p.Source)
	}
	if p.Paired {
		query += ` and paired = 1`
	}
	if p.Under != "" {
		query += ` and id in ` + under
		args = append(args, p.Under, p.Under)
	}
	rows, err := s.reads.query(ctx, query+` order by created_at desc, id desc limit ?`, append(args, p.Limit)...)
	if err != nil {
		return nil, fmt.Errorf("list the sessions: %w", err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		l, err := scanLogin(r.Scan)
		out = append(out, l)
		return err
	})
	return out, err
}

// LiveLogins returns, for those of the given sessions (a few hundred at most) that
// are valid, when each expires.
func (s *Store) LiveLogins(ctx context.Context, generation string, ids []string) (map[string]time.Time, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	size := 1 // a few statement shapes, not hundreds
	for size < len(ids) {
		size *= 8
	}
	args := make([]any, 0, size+2)
	args = append(args, generation, millis(s.Now()))
	for i := range size {
		args = append(args, ids[min(i, len(ids)-1)])
	}
	rows, err := s.reads.query(ctx, `select id, expires_at from logins where ended_at = 0 and generation = ? and expires_at > ?
		and id in (?`+strings.Repeat(`, ?`, size-1)+`)`, args...)
	if err != nil {
		return nil, fmt.Errorf("check which sessions are valid: %w", err)
	}
	out := map[string]time.Time{}
	err = eachRow(rows, func(r *sql.Rows) error {
		var id string
		var expires int64
		err := r.Scan(&id, &expires)
		out[id] = instant(expires)
		return err
	})
	return out, err
}

// ProlongLogin sets the expiry of a session that has not been ended.
func (s *Store) ProlongLogin(ctx context.Context, id string, expires time.Time) error {
	return s.queue.do(ctx, func(t *txn) error {
		return t.exec(`update logins set expires_at = ? where id = ? and ended_at = 0`, millis(expires), id)
	})
}

// EndLogin ends a session and everything that descends from it: sessions, tickets
// and push subscriptions. It returns the ids of the ended sessions.
func (s *Store) EndLogin(ctx context.Context, id, by string) (ended []string, err error) {
	err = s.queue.do(ctx, func(t *txn) error {
		ended = nil // a change may run twice
		for {
			found, err := t.endUnder(id, by)
			if err != nil || len(found) == 0 {
				return err
			}
			// Sessions that were created while these rows were waited for become visible
			// only now; an ended session can't create further ones.
			ended = append(ended, found...)
		}
	})
	return ended, err
}

// endUnder ends the sessions that descend from id and have not ended yet.
func (t *txn) endUnder(id, by string) (found []string, err error) {
	err = t.each(`select id from logins where ended_at = 0 and id in `+under+` order by id`, []any{id, id}, func(r *sql.Rows) error {
		var id string
		err := r.Scan(&id)
		found = append(found, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, one := range found {
		if err := t.exec(`update logins set ended_at = ?, ended_by = ? where id = ?`, millis(t.now()), by, one); err != nil {
			return nil, err
		}
		for _, query := range []string{`delete from pushes where login_id = ?`, `delete from tickets where parent = ?`} {
			if err := t.exec(query, one); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// Generation returns this database's random part of the sessions' validity. A
// restore draws a new one, which ends all sessions.
func (s *Store) Generation(ctx context.Context) (generation string, err error) {
	if err := s.reads.one(ctx, `select value from meta where name = 'generation'`).Scan(&generation); err != nil {
		return "", fmt.Errorf("read the sessions' generation: %w", err)
	}
	return generation, nil
}

// AdoptLogins assigns the sessions from before generations existed to this
// generation, once. It must run before Run does.
func (s *Store) AdoptLogins(ctx context.Context, generation string) (err error) {
	tx, err := s.writes.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("adopt the sessions: %w", err)
	}
	defer func() { err = errors.Join(err, notDone(tx.Rollback())) }()
	for _, one := range []struct {
		query string
		args  []any
	}{
		{`update logins set generation = ? where generation = '' and exists (select 1 from meta where name = 'adopt_logins')`, []any{generation}},
		{`delete from meta where name = 'adopt_logins'`, nil},
		{`delete from pushes where login_id in (select id from logins where generation <> ?)`, []any{generation}},
	} {
		if _, err := tx.ExecContext(ctx, s.dialect.rebind(one.query), one.args...); err != nil {
			return fmt.Errorf("adopt the sessions: %w", err)
		}
	}
	return tx.Commit()
}

// notDone returns a rollback's error, but nil for a rollback after a commit.
func notDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

const ticketColumns = `id, subject, role, shops, session_until, expires_at, pairs, parent, source, device, generation`

func scanTicket(scan func(...any) error) (k doorbell.Ticket, err error) {
	var shops string
	var until, expires int64
	g := &k.Grant
	if err = scan(&k.ID, &g.Subject, &g.Role, &shops, &until, &expires, &k.Pairs, &g.Parent, &g.Source, &g.Device, &k.Generation); err != nil {
		return k, err
	}
	g.Expires, k.Expires = instant(until), instant(expires)
	g.Shops, err = splitShops(shops)
	return k, err
}

// SaveTicket adds a ticket, or returns NotFound if the session that creates it has
// ended.
func (s *Store) SaveTicket(ctx context.Context, k doorbell.Ticket) error {
	return s.queue.do(ctx, func(t *txn) error {
		if err := t.mustLive(k.Grant.Parent, k.Generation); err != nil {
			return err
		}
		g := k.Grant
		return t.exec(`insert into tickets (`+ticketColumns+`) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			k.ID, g.Subject, g.Role, joinShops(g.Shops), millis(g.Expires), millis(k.Expires), k.Pairs, g.Parent, g.Source, g.Device, k.Generation)
	})
}

// errSpent returns the same error for a ticket that never existed, was used or has
// expired.
func errSpent() error {
	return doorbell.Refuse(doorbell.NotFound, "This ticket was used, or its time is over.", "该链接已使用或已过期。")
}

// Ticket returns a ticket without spending it.
func (s *Store) Ticket(ctx context.Context, id string) (doorbell.Ticket, error) {
	k, err := scanTicket(s.reads.one(ctx, `select `+ticketColumns+` from tickets where id = ?`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !k.Expires.After(s.Now()) {
		return doorbell.Ticket{}, errSpent()
	}
	if err != nil {
		return k, fmt.Errorf("read a ticket: %w", err)
	}
	return k, nil
}

// SpendTicket removes a ticket and returns it: of several callers with the same
// ticket one gets it, the others get NotFound, as for an expired one.
func (s *Store) SpendTicket(ctx context.Context, id string) (k doorbell.Ticket, err error) {
	err = s.queue.do(ctx, func(t *txn) error {
		k, err = scanTicket(t.row(`select `+ticketColumns+` from tickets where id = ?`, id).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return errSpent()
		}
		if err != nil {
			return fmt.Errorf("read a ticket: %w", err)
		}
		n, err := t.affect(`delete from tickets where id = ?`, id)
		if err != nil {
			return err
		}
		if n != 1 || !k.Expires.After(s.Now()) {
			return errSpent()
		}
		return nil
	})
	return k, err
}
