package store

import (
	"context"
	"database/sql"
	"fmt"

	"doorbell/internal/doorbell"
)

// maxPushes bounds what one session can ask for.
const maxPushes = 20

// SavePush adds or renews where a browser wants alerts pushed to; the oldest of
// too many of a session goes.
func (s *Store) SavePush(ctx context.Context, p doorbell.Push) error {
	return s.writer.do(ctx, func(t *txn) error {
		err := t.exec(`insert into pushes (endpoint, login_id, shop_id, p256dh, auth, language, created_at) values (?, ?, ?, ?, ?, ?, ?)
			on conflict (endpoint) do update set login_id = excluded.login_id, shop_id = excluded.shop_id, p256dh = excluded.p256dh,
			auth = excluded.auth, language = excluded.language, created_at = excluded.created_at`,
			p.Endpoint, p.Login, p.Shop, p.Key, p.Auth, p.Language, millis(now()))
		if err != nil {
			return err
		}
		return t.exec(`delete from pushes where login_id = ? and endpoint not in
			(select endpoint from pushes where login_id = ? order by created_at desc limit ?)`, p.Login, p.Login, maxPushes)
	})
}

// DropPush forgets one; one that is not there is no error.
func (s *Store) DropPush(ctx context.Context, endpoint string) error {
	return s.writer.do(ctx, func(t *txn) error { return t.exec(`delete from pushes where endpoint = ?`, endpoint) })
}

// PushShops are the shops whose alerts anybody wants pushed.
func (s *Store) PushShops(ctx context.Context) (map[doorbell.ShopID]bool, error) {
	rows, err := s.reads.query(ctx, `select distinct shop_id from pushes`)
	if err != nil {
		return nil, fmt.Errorf("read the shops with pushes: %w", err)
	}
	out := map[doorbell.ShopID]bool{}
	err = eachRow(rows, func(r *sql.Rows) error {
		var shop doorbell.ShopID
		err := r.Scan(&shop)
		out[shop] = true
		return err
	})
	return out, err
}

// Pushes are where the alerts of a shop go, of sessions that are good.
func (s *Store) Pushes(ctx context.Context, shop doorbell.ShopID) (out []doorbell.Push, err error) {
	rows, err := s.reads.query(ctx, `select p.endpoint, p.login_id, p.shop_id, p.p256dh, p.auth, p.language
		from pushes p join logins l on l.id = p.login_id where p.shop_id = ? and l.expires_at > ?`, shop, millis(now()))
	if err != nil {
		return nil, fmt.Errorf("read the pushes: %w", err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		var p doorbell.Push
		err := r.Scan(&p.Endpoint, &p.Login, &p.Shop, &p.Key, &p.Auth, &p.Language)
		out = append(out, p)
		return err
	})
	return out, err
}
