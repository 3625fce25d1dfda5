package store

import (
	"context"
	"database/sql"
	"fmt"

	"doorbell/internal/doorbell"
)

// maxPushes bounds the push subscriptions of one session.
const maxPushes = 20

// SavePush adds or renews a browser's push subscription; if the session has too
// many, the oldest is deleted.
func (s *Store) SavePush(ctx context.Context, p doorbell.Push) error {
	return s.queue.do(ctx, func(t *txn) error {
		err := t.exec(t.dialect.replacing("pushes", "endpoint", "endpoint, login_id, shop_id, p256dh, auth, language, created_at"),
			p.Endpoint, p.Login, p.Shop, p.Key, p.Auth, p.Language, millis(s.Now()))
		if err != nil {
			return err
		}
		return t.exec(`delete from pushes where login_id = ? and endpoint not in
			(select endpoint from (select endpoint from pushes where login_id = ? order by created_at desc limit ?) kept)`, p.Login, p.Login, maxPushes)
	})
}

// DropPush deletes a push subscription; a missing one is no error.
func (s *Store) DropPush(ctx context.Context, endpoint string) error {
	return s.queue.do(ctx, func(t *txn) error { return t.exec(`delete from pushes where endpoint = ?`, endpoint) })
}

// PushShops returns the shops whose alerts somebody has subscribed to.
func (s *Store) PushShops(ctx context.Context) (map[doorbell.ShopID]bool, error) {
	rows, err := s.reads.query(ctx, `select distinct shop_id from pushes`)
	if err != nil {
		return nil, fmt.Errorf("read the shops with push subscriptions: %w", err)
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

// Pushes returns the push subscriptions for a shop whose sessions are valid.
func (s *Store) Pushes(ctx context.Context, shop doorbell.ShopID) (out []doorbell.Push, err error) {
	rows, err := s.reads.query(ctx, `select p.endpoint, p.login_id, p.shop_id, p.p256dh, p.auth, p.language
		from pushes p join logins l on l.id = p.login_id where p.shop_id = ? and l.expires_at > ? and l.ended_at = 0`, shop, millis(s.Now()))
	if err != nil {
		return nil, fmt.Errorf("read the push subscriptions: %w", err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		var p doorbell.Push
		err := r.Scan(&p.Endpoint, &p.Login, &p.Shop, &p.Key, &p.Auth, &p.Language)
		out = append(out, p)
		return err
	})
	return out, err
}
