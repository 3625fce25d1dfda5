package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"doorbell/internal/doorbell"
)

// Retention says how long things are kept after their time.
type Retention struct {
	Alerts time.Duration
	Orders time.Duration
	Inbox  time.Duration
}

// keptOutgoing is how long a message stays after it was made, to be looked at
// and sent again; one that waits so long is for a hook that is gone.
const keptOutgoing = 7 * 24 * time.Hour

// pruneStep bounds one delete, so that a payment never waits for a big one.
const pruneStep = 500

// Prune removes what is older than the retention. A shop's log loses a prefix
// only, up to the first alert that still rings, so that what is kept has no
// hole; its head stays. An order that is paid and waits to be accepted stays.
func (s *Store) Prune(ctx context.Context, keep Retention, at time.Time) error {
	var after doorbell.ShopID
	for {
		shops, err := s.Shops(ctx, after, pruneStep)
		if err != nil {
			return err
		}
		for _, shop := range shops {
			if err := s.pruneShop(ctx, shop, at.Add(-keep.Alerts)); err != nil {
				return fmt.Errorf("prune the log of shop %d: %w", shop, err)
			}
			after = shop
		}
		if len(shops) < pruneStep {
			break
		}
	}
	old := func(d time.Duration) int64 { return at.Add(-d).UnixMilli() }
	for _, p := range []struct {
		what, query string
		before      int64
	}{
		{"orders", `delete from orders where id in (select id from orders where created_at < ? and not (status = 2 and pay_status = 1) order by created_at limit ?)`, old(keep.Orders)},
		{"the inbox", `delete from inbox where (provider, kind, transaction_id) in (select provider, kind, transaction_id from inbox where last_at < ? order by last_at limit ?)`, old(keep.Inbox)},
		{"the outbox", `delete from outbox where id in (select id from outbox where created_at < ? order by created_at limit ?)`, old(keptOutgoing)},
		{"pushes", `delete from pushes where endpoint in (select endpoint from pushes where login_id not in (select id from logins where expires_at >= ?) limit ?)`, at.UnixMilli()},
		{"sessions", `delete from logins where id in (select id from logins where expires_at < ? limit ?)`, at.UnixMilli()},
		{"tickets", `delete from tickets where id in (select id from tickets where expires_at < ? limit ?)`, at.UnixMilli()},
	} {
		if err := s.repeat(ctx, p.query, p.before, pruneStep); err != nil {
			return fmt.Errorf("prune %s: %w", p.what, err)
		}
	}
	return nil
}

// repeat runs a bounded delete until it finds nothing more.
func (s *Store) repeat(ctx context.Context, query string, args ...any) error {
	for {
		var n int64
		err := s.writer.do(ctx, func(t *txn) (err error) {
			n, err = t.affect(query, args...)
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

func (s *Store) pruneShop(ctx context.Context, shop doorbell.ShopID, before time.Time) error {
	for more := true; more; {
		err := s.writer.do(ctx, func(t *txn) error {
			upto, err := t.prefix(shop, before)
			if more = upto != 0; err != nil || !more {
				return err
			}
			for _, query := range []string{
				`delete from receipts where shop_id = ? and seq <= ?`,
				`delete from idempotency_keys where shop_id = ? and seq <= ?`,
				`delete from alerts where shop_id = ? and seq <= ?`,
			} {
				if err := t.exec(query, shop, upto); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// prefix is the last seq of the shop's oldest alerts that may go, at most
// pruneStep of them; 0 when none may.
func (t *txn) prefix(shop doorbell.ShopID, before time.Time) (doorbell.Seq, error) {
	var upto doorbell.Seq
	stop := false
	err := t.each(`select seq, created_at, ringing from alerts where shop_id = ? order by seq limit ?`,
		[]any{shop, pruneStep}, func(r *sql.Rows) error {
			var seq doorbell.Seq
			var created int64
			var ringing bool
			if err := r.Scan(&seq, &created, &ringing); err != nil {
				return err
			}
			if stop = stop || ringing || created >= before.UnixMilli(); !stop {
				upto = seq
			}
			return nil
		})
	return upto, err
}
