package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"doorbell/internal/doorbell"
)

const tokenColumns = `id, subject, role, shops, issued_at, expires_at, first_at, used_at, parent, mark, revoked_at, revoked_by` //nolint:gosec // names of columns

func scanToken(scan func(...any) error) (e doorbell.TokenEntry, err error) {
	var shops string
	var issued, expires, first, used, revoked int64
	g := &e.Grant
	if err = scan(&e.ID, &g.Subject, &g.Role, &shops, &issued, &expires, &first, &used, &e.Parent, &e.Mark, &revoked, &e.RevokedBy); err != nil {
		return e, err
	}
	g.Issued, g.Expires, g.Source = instant(issued), instant(expires), e.ID
	e.First, e.Used, e.Revoked = instant(first), instant(used), instant(revoked)
	g.Shops, err = splitShops(shops)
	return e, err
}

// NoteTokens stores that tokens were made or used. Of one that is known already
// only the time of its use changes.
func (s *Store) NoteTokens(ctx context.Context, entries []doorbell.TokenEntry) error {
	if len(entries) == 0 {
		return nil
	}
	err := s.queue.do(ctx, func(t *txn) error {
		for _, e := range entries {
			g := e.Grant
			n, err := t.affect(`update tokens set used_at = ? where id = ? and used_at < ?`, millis(e.Used), e.ID, millis(e.Used))
			if err != nil {
				return err
			}
			if n > 0 {
				continue
			}
			if err := t.exec(t.dialect.insertOr("tokens", "id", tokenColumns), e.ID, g.Subject, g.Role, joinShops(g.Shops), millis(g.Issued), millis(g.Expires),
				millis(e.First), millis(e.Used), e.Parent, e.Mark, 0, ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note which tokens are in use: %w", err)
	}
	return nil
}

// Tokens returns tokens that have not expired, revoked ones among them, the latest
// first.
func (s *Store) Tokens(ctx context.Context, p doorbell.TokenPage) (out []doorbell.TokenEntry, err error) {
	query := `select ` + tokenColumns + ` from tokens where expires_at > ?`
	args := []any{millis(s.Now())}
	if p.Mark != "" {
		query += ` and mark = ?`
		args = append(args, p.Mark)
	}
	if !p.Before.IsZero() {
		query += ` and first_at <= ? and (first_at, id) < (?, ?)`
		args = append(args, millis(p.Before), millis(p.Before), p.ID)
	}
	rows, err := s.reads.query(ctx, query+` order by first_at desc, id desc limit ?`, append(args, p.Limit)...)
	if err != nil {
		return nil, fmt.Errorf("list the tokens: %w", err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		e, err := scanToken(r.Scan)
		out = append(out, e)
		return err
	})
	return out, err
}

// RevokedTokens returns the ids of the tokens that were revoked at this time or
// later and have not expired.
func (s *Store) RevokedTokens(ctx context.Context, since time.Time) (ids []string, err error) {
	rows, err := s.reads.query(ctx, `select id from tokens where revoked_at > 0 and revoked_at >= ? and expires_at > ?`, millis(since), millis(s.Now()))
	if err != nil {
		return nil, fmt.Errorf("read which tokens are revoked: %w", err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		var id string
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// RevokeToken revokes a token and those that were made by it, in any number of
// steps, and ends what came of them: sessions, tickets and push subscriptions. It
// returns the ids of the tokens, also of those that were revoked before; what was
// made of them meanwhile ends then. An unknown or expired token is NotFound.
func (s *Store) RevokeToken(ctx context.Context, id, by string) (revoked []string, err error) {
	err = s.queue.do(ctx, func(t *txn) error {
		revoked = nil // a change may run twice
		var one int
		err := t.row(`select 1 from tokens where id = ? and expires_at > ?`, id, millis(t.now())).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			return doorbell.Refuse(doorbell.NotFound, "There is no such token.", "没有这个令牌。")
		}
		if err != nil {
			return err
		}
		err = t.each(`with recursive made (id) as (select id from tokens where id = ? union select t.id from tokens t join made on t.parent = made.id) select id from made order by id`,
			[]any{id}, func(r *sql.Rows) error {
				var id string
				err := r.Scan(&id)
				revoked = append(revoked, id)
				return err
			})
		if err != nil {
			return err
		}
		for _, one := range revoked {
			if err := t.exec(`update tokens set revoked_at = ?, revoked_by = ? where id = ? and revoked_at = 0`, millis(t.now()), by, one); err != nil {
				return err
			}
			if err := t.endOfToken(one, by); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && doorbell.CodeOf(err) != doorbell.NotFound {
		err = fmt.Errorf("revoke a token: %w", err)
	}
	return revoked, err
}

// endOfToken ends the sessions and tickets that began with a token.
func (t *txn) endOfToken(token, by string) error {
	var logins []string
	err := t.each(`select id from logins where source = ? and ended_at = 0`, []any{token}, func(r *sql.Rows) error {
		var id string
		err := r.Scan(&id)
		logins = append(logins, id)
		return err
	})
	if err != nil {
		return err
	}
	for _, login := range logins {
		if _, err := t.endUnder(login, by); err != nil {
			return err
		}
	}
	return t.exec(`delete from tickets where source = ?`, token)
}
