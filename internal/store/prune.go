package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"doorbell/internal/doorbell"
)

// Retention says how long finished data is kept.
type Retention struct {
	Alerts time.Duration
	Orders time.Duration
	Inbox  time.Duration
	Ledger time.Duration // of the entries of sealed days; 0: for ever
}

// keptOutgoing is how long a message is kept after it was created, to be inspected
// and sent again; one that has waited so long belongs to a hook that was removed.
const keptOutgoing = 7 * 24 * time.Hour

// keptAttention is how long a node's entry is kept after its consoles are gone:
// nodes come and go, and each start is a new node.
const keptAttention = time.Hour

// pruneStep bounds one delete, so that a payment never waits for a large one.
const pruneStep = 500

// Prune deletes what is older than the retention. A shop's log loses only a
// prefix, up to its first alert that still rings, so that the rest has no gap; the
// head stays. A paid order that waits to be accepted stays.
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
			if keep.Ledger > 0 {
				if err := s.pruneLedger(ctx, shop, at.Add(-keep.Ledger)); err != nil {
					return err
				}
			}
			after = shop
		}
		if len(shops) < pruneStep {
			break
		}
	}
	keep.Inbox = max(keep.Inbox, keep.Orders) // an order's payments and refunds are kept as long as the order
	if err := s.queue.do(ctx, func(t *txn) error { return t.noteOrdersPruned(at.Add(-keep.Orders)) }); err != nil {
		return fmt.Errorf("note which orders are pruned: %w", err)
	}
	old := func(d time.Duration) int64 { return at.Add(-d).UnixMilli() }
	for _, p := range []struct {
		what, table, key, where string
		before                  int64
	}{
		{"orders", "orders", "id", `created_at < ? and not (status = 2 and pay_status = 1) order by created_at`, old(keep.Orders)},
		{"the inbox", "inbox", "provider, kind, transaction_id", `last_at < ? order by last_at`, old(keep.Inbox)},
		{"the outbox", "outbox", "id", `created_at < ? order by created_at`, old(keptOutgoing)},
		{"pushes", "pushes", "endpoint", `login_id not in (select id from logins where expires_at >= ? and ended_at = 0)`, at.UnixMilli()},
		{"sessions", "logins", "id", `expires_at < ?`, at.UnixMilli()},
		{"attention", "attention", "shop_id, node", `until_at < ?`, old(keptAttention)},
		{"tickets", "tickets", "id", `expires_at < ?`, at.UnixMilli()},
		{"tokens", "tokens", "id", `expires_at < ?`, at.UnixMilli()},
	} {
		if err := s.repeat(ctx, s.dialect.deleteSome(p.table, p.key, p.where), p.before, pruneStep); err != nil {
			return fmt.Errorf("prune %s: %w", p.what, err)
		}
	}
	return nil
}

// repeat runs a bounded delete until it deletes nothing.
func (s *Store) repeat(ctx context.Context, query string, args ...any) error {
	for {
		var n int64
		err := s.queue.do(ctx, func(t *txn) (err error) {
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
		err := s.queue.do(ctx, func(t *txn) error {
			upto, err := t.prefix(shop, before)
			if more = upto != 0; err != nil || !more {
				return err
			}
			if err := t.notePruned(shop, upto); err != nil {
				return err
			}
			for _, query := range []string{
				`delete from receipts where shop_id = ? and seq <= ?`,
				`delete from idempotency_keys where shop_id = ? and seq <= ?`,
				`delete from alert_details where shop_id = ? and seq <= ?`,
				`delete from escalations where shop_id = ? and seq <= ?`,
				`delete from deliveries where shop_id = ? and upto_seq <= ?`,
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

// prefix returns the last seq of the shop's oldest alerts that may be deleted, at
// most pruneStep of them; 0 for none.
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
