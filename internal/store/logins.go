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

// joinShops and splitShops are how a set of shops stands in a column.
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

// SaveLogin adds a session.
func (s *Store) SaveLogin(ctx context.Context, l doorbell.Login) error {
	return s.writer.do(ctx, func(t *txn) error {
		return t.exec(`insert into logins (`+loginColumns+`) values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			l.ID, l.Grant.Subject, l.Grant.Role, joinShops(l.Grant.Shops), millis(l.Created), millis(l.Grant.Expires), millis(l.Limit), l.Paired, l.Label)
	})
}

const loginColumns = `id, subject, role, shops, created_at, expires_at, limit_at, paired, label`

func scanLogin(scan func(...any) error) (l doorbell.Login, err error) {
	var shops string
	var created, expires, limit int64
	if err = scan(&l.ID, &l.Grant.Subject, &l.Grant.Role, &shops, &created, &expires, &limit, &l.Paired, &l.Label); err != nil {
		return l, err
	}
	l.Created, l.Grant.Expires, l.Limit, l.Grant.Session = instant(created), instant(expires), instant(limit), l.ID
	l.Grant.Shops, err = splitShops(shops)
	return l, err
}

// Login is the session, NotFound when there is none or its time is over.
func (s *Store) Login(ctx context.Context, id string) (doorbell.Login, error) {
	l, err := scanLogin(s.reads.one(ctx, `select `+loginColumns+` from logins where id = ?`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !l.Grant.Expires.After(now()) {
		return l, doorbell.Refuse(doorbell.NotFound, "This session has ended.", "登录已过期。")
	}
	if err != nil {
		return l, fmt.Errorf("read a session: %w", err)
	}
	return l, nil
}

// maxDevices bounds a list of paired devices.
const maxDevices = 1000

// Devices are the sessions of paired devices, the latest first.
func (s *Store) Devices(ctx context.Context) (out []doorbell.Login, err error) {
	rows, err := s.reads.query(ctx, `select `+loginColumns+` from logins
		where paired = 1 and expires_at > ? order by created_at desc limit ?`, millis(now()), maxDevices)
	if err != nil {
		return nil, fmt.Errorf("read the paired devices: %w", err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		l, err := scanLogin(r.Scan)
		out = append(out, l)
		return err
	})
	return out, err
}

// ProlongLogin moves a session's end.
func (s *Store) ProlongLogin(ctx context.Context, id string, expires time.Time) error {
	return s.writer.do(ctx, func(t *txn) error {
		return t.exec(`update logins set expires_at = ? where id = ?`, millis(expires), id)
	})
}

// EndLogin removes a session, and what is pushed to it; one that there is not
// is no error.
func (s *Store) EndLogin(ctx context.Context, id string) error {
	return s.writer.do(ctx, func(t *txn) error {
		if err := t.exec(`delete from pushes where login_id = ?`, id); err != nil {
			return err
		}
		return t.exec(`delete from logins where id = ?`, id)
	})
}

// SaveTicket adds a ticket.
func (s *Store) SaveTicket(ctx context.Context, k doorbell.Ticket) error {
	return s.writer.do(ctx, func(t *txn) error {
		return t.exec(`insert into tickets (id, subject, role, shops, session_until, expires_at, pairs) values (?, ?, ?, ?, ?, ?, ?)`,
			k.ID, k.Grant.Subject, k.Grant.Role, joinShops(k.Grant.Shops), millis(k.Grant.Expires), millis(k.Expires), k.Pairs)
	})
}

// SpendTicket takes a ticket out, so that of several who come with it one gets
// it and the others NotFound, as for one whose time is over.
func (s *Store) SpendTicket(ctx context.Context, id string) (k doorbell.Ticket, err error) {
	err = s.writer.do(ctx, func(t *txn) error {
		var shops string
		var until, expires int64
		err := t.row(`select id, subject, role, shops, session_until, expires_at, pairs from tickets where id = ?`, id).
			Scan(&k.ID, &k.Grant.Subject, &k.Grant.Role, &shops, &until, &expires, &k.Pairs)
		if errors.Is(err, sql.ErrNoRows) {
			return doorbell.Refuse(doorbell.NotFound, "This ticket was used, or its time is over.", "该链接已使用或已过期。")
		}
		if err != nil {
			return fmt.Errorf("read a ticket: %w", err)
		}
		n, err := t.affect(`delete from tickets where id = ?`, id)
		if err != nil {
			return err
		}
		if n != 1 || expires <= now().UnixMilli() {
			return doorbell.Refuse(doorbell.NotFound, "This ticket was used, or its time is over.", "该链接已使用或已过期。")
		}
		k.Grant.Expires, k.Expires = instant(until), instant(expires)
		k.Grant.Shops, err = splitShops(shops)
		return err
	})
	return k, err
}
