package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"strings"
	"time"

	"doorbell/internal/doorbell"
)

const alertColumns = `shop_id, seq, type, source, order_id, number, content, test, actor, created_at, nonce`

func scanAlert(scan func(...any) error, more ...any) (a doorbell.Alert, err error) {
	var created int64
	err = scan(append([]any{
		&a.Shop, &a.Seq, &a.Type, &a.Source, &a.OrderID, &a.Number, &a.Content, &a.Test, &a.Actor, &created, &a.Nonce,
	}, more...)...)
	a.Time = instant(created)
	return a, err
}

// Append implements doorbell.LogTx.
func (t *txn) Append(a doorbell.Alert) (doorbell.Alert, error) {
	var err error
	if a.Seq, a.Epoch, a.Prev, err = t.dialect.bumpSeq(t, a.Shop); err != nil {
		return a, fmt.Errorf("take the next seq of shop %d: %w", a.Shop, err)
	}
	a.Nonce = newNonce()
	if !a.Type.Rings() {
		err := t.exec(`update alerts set ringing = 0 where shop_id = ? and source = ? and order_id = ? and ringing = 1`,
			a.Shop, a.Source, a.OrderID)
		if err != nil {
			return a, fmt.Errorf("close the open alerts of order %d: %w", a.OrderID, err)
		}
	}
	err = t.exec(`insert into alerts (`+alertColumns+`, ringing) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		a.Shop, a.Seq, a.Type, a.Source, a.OrderID, a.Number, a.Content, a.Test, a.Actor, millis(a.Time), a.Nonce, a.Type.Rings())
	if err != nil {
		return a, fmt.Errorf("append alert %d of shop %d: %w", a.Seq, a.Shop, err)
	}
	t.alerts = append(t.alerts, a)
	t.links.keep(a)
	if t.turns != nil {
		t.turns.take(a.Shop, a.Seq)
	}
	return a, nil
}

// newNonce returns a random nonce above 0; 0 stands for no nonce.
func newNonce() doorbell.Nonce { return doorbell.Nonce(rand.Int64N(math.MaxInt64) + 1) }

// Alert implements doorbell.LogTx.
func (t *txn) Alert(shop doorbell.ShopID, seq doorbell.Seq) (doorbell.Alert, error) {
	if err := t.dialect.lockHead(t, shop); err != nil {
		return doorbell.Alert{}, err
	}
	return t.alert(shop, seq)
}

func (t *txn) alert(shop doorbell.ShopID, seq doorbell.Seq) (doorbell.Alert, error) {
	a, err := scanAlert(t.row(`select `+alertColumns+` from alerts where shop_id = ? and seq = ?`, shop, seq).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return a, doorbell.Refuse(doorbell.NotFound, "Shop %d has no alert %d.", "门店 %d 没有提醒 %d。", shop, seq)
	}
	return a, err
}

// ClosedBy implements doorbell.LogTx.
func (t *txn) ClosedBy(a doorbell.Alert) (closing doorbell.Alert, closed bool, err error) {
	if err := t.dialect.lockHead(t, a.Shop); err != nil {
		return closing, false, err
	}
	closing, err = scanAlert(t.row(`select `+alertColumns+` from alerts
		where shop_id = ? and source = ? and order_id = ? and seq > ? and type in (3, 4) order by seq limit 1`,
		a.Shop, a.Source, a.OrderID, a.Seq).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return closing, false, nil
	}
	return closing, err == nil, err
}

// Ringing implements doorbell.LogTx.
func (t *txn) Ringing(shop doorbell.ShopID, source doorbell.Source, order doorbell.OrderID) (bool, error) {
	if err := t.dialect.lockHead(t, shop); err != nil {
		return false, err
	}
	var n int
	err := t.row(`select count(*) from alerts where shop_id = ? and source = ? and order_id = ? and ringing = 1`,
		shop, source, order).Scan(&n)
	return n > 0, err
}

// Key implements doorbell.KeyTx.
func (t *txn) Key(k doorbell.Key) (hash string, seq doorbell.Seq, found bool, err error) {
	err = t.row(`select body_hash, seq from idempotency_keys where subject = ? and shop_id = ? and value = ?`,
		k.Subject, k.Shop, k.Value).Scan(&hash, &seq)
	if errors.Is(err, sql.ErrNoRows) {
		return "", 0, false, nil
	}
	return hash, seq, err == nil, err
}

// SaveKey implements doorbell.KeyTx.
func (t *txn) SaveKey(k doorbell.Key, hash string, seq doorbell.Seq, at time.Time) error {
	return t.exec(`insert into idempotency_keys (subject, shop_id, value, body_hash, seq, created_at) values (?, ?, ?, ?, ?, ?)`,
		k.Subject, k.Shop, k.Value, hash, seq, millis(at))
}

// Positions returns the log's epoch and each shop's last seq, read from one
// snapshot. For a shop without alerts the seq is 0; reading creates no row.
func (s *Store) Positions(ctx context.Context, shops []doorbell.ShopID) (epoch string, at map[doorbell.ShopID]doorbell.Position, err error) {
	return positions(ctx, s.reads, shops)
}

// querier is the pool of reading connections, or a snapshot that was taken from
// it.
type querier interface {
	query(ctx context.Context, query string, args ...any) (rows, error)
}

// positions reads with one statement, which is a snapshot without a transaction: a
// console that connects waits for it (25 µs became 14).
func positions(ctx context.Context, q querier, shops []doorbell.ShopID) (epoch string, at map[doorbell.ShopID]doorbell.Position, err error) {
	at = make(map[doorbell.ShopID]doorbell.Position, len(shops))
	ids := make([]any, len(shops))
	for i, shop := range shops {
		ids[i] = shop
		at[shop] = doorbell.Position{Head: 0, Oldest: 1}
	}
	list, args := inList(ids)
	rows, err := q.query(ctx, `select value, 0, 0, 0, 0 from meta where name = 'epoch' union all
		select '', h.shop_id, h.last_seq, coalesce((select min(a.seq) from alerts a where a.shop_id = h.shop_id), h.last_seq + 1),
			coalesce((select l.nonce from alerts l where l.shop_id = h.shop_id and l.seq = h.last_seq), 0)
		from shop_heads h where h.shop_id in (`+list+`)`, args...)
	if err != nil {
		return "", nil, fmt.Errorf("read the epoch and the heads: %w", err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		var value string
		var shop doorbell.ShopID
		var p doorbell.Position
		err := r.Scan(&value, &shop, &p.Head, &p.Oldest, &p.Nonce)
		if shop == 0 {
			epoch = value
		} else {
			at[shop] = p
		}
		return err
	})
	if err == nil && epoch == "" {
		err = errors.New("the log has no epoch")
	}
	return epoch, at, err
}

// inList returns the placeholders for `in (…)` and their arguments. The number of
// placeholders is rounded up to 0, 1, 2, 4, 8 … and the last value fills the spare
// ones, so that ten prepared statements serve lists of every length.
func inList(values []any) (places string, args []any) {
	if len(values) == 0 {
		return `null`, nil
	}
	n := 1 << bits.Len(uint(len(values)-1))
	args = append(make([]any, 0, n), values...)
	for len(args) < n {
		args = append(args, values[len(values)-1])
	}
	return `?` + strings.Repeat(`, ?`, n-1), args
}

// DrawEpoch gives the log a new epoch after the log was found to have gone back.
// It does nothing if another node has replaced the epoch old meanwhile.
func (s *Store) DrawEpoch(ctx context.Context, old string) error {
	return s.queue.do(ctx, func(t *txn) error {
		t.links.epoch = "" // alerts that this transaction appends later carry the new epoch
		return t.exec(`update meta set value = ? where name = 'epoch' and value = ?`, newEpoch(), old)
	})
}

// AlertsAfter returns the shop's alerts with seq > after, rising, at most limit.
// For a shop without alerts it returns an empty slice, not NotFound.
func (s *Store) AlertsAfter(ctx context.Context, shop doorbell.ShopID, after doorbell.Seq, limit int) ([]doorbell.Alert, error) {
	rows, err := s.reads.query(ctx, `select `+alertColumns+` from alerts
		where shop_id = ? and seq > ? order by seq limit ?`, shop, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the log of shop %d after %d: %w", shop, after, err)
	}
	var out []doorbell.Alert
	err = eachRow(rows, func(r *sql.Rows) error {
		a, err := scanAlert(r.Scan)
		out = append(out, a)
		return err
	})
	return out, err
}

// snapshot runs read in one read-only transaction.
func (s *Store) snapshot(ctx context.Context, read func(context.Context, snapshot) error) error {
	var wanted []string
	if err := s.transaction(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return read(ctx, snapshot{tx, s.reads, &wanted})
	}); err != nil {
		return err
	}
	s.reads.prepare(ctx, wanted)
	return nil
}

func (s *Store) transaction(ctx context.Context, read func(context.Context, *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	tx, err := s.reads.db.BeginTx(ctx, s.dialect.snapshot)
	if err != nil {
		return fmt.Errorf("begin to read: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing to lose
	return read(ctx, tx)
}

// Shops returns the shops that have a log and follow the given one, in rising
// order.
func (s *Store) Shops(ctx context.Context, after doorbell.ShopID, limit int) (shops []doorbell.ShopID, err error) {
	rows, err := s.reads.query(ctx, `select shop_id from shop_heads where shop_id > ? order by shop_id limit ?`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the shops: %w", err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		var shop doorbell.ShopID
		err := r.Scan(&shop)
		shops = append(shops, shop)
		return err
	})
	return shops, err
}

// Unheard implements doorbell.Store.
func (s *Store) Unheard(ctx context.Context, before time.Time, limit int) (out []doorbell.Alert, err error) {
	return s.unheard(ctx, `created_at < ?`, before, limit)
}

// UnheardAfter implements doorbell.Store.
func (s *Store) UnheardAfter(ctx context.Context, after time.Time, limit int) (out []doorbell.Alert, err error) {
	return s.unheard(ctx, `created_at > ?`, after, limit)
}

func (s *Store) unheard(ctx context.Context, when string, at time.Time, limit int) (out []doorbell.Alert, err error) {
	rows, err := s.reads.query(ctx, `select `+alertColumns+` from alerts
		where ringing = 1 and heard = 0 and `+when+` order by created_at limit ?`, millis(at), limit)
	if err != nil {
		return nil, fmt.Errorf("read the unheard alerts: %w", err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		a, err := scanAlert(r.Scan)
		out = append(out, a)
		return err
	})
	return out, err
}

// MarkUnheard implements doorbell.LogTx.
func (t *txn) MarkUnheard(shop doorbell.ShopID, seq doorbell.Seq) (bool, error) {
	n, err := t.affect(`update alerts set heard = 2 where shop_id = ? and seq = ? and ringing = 1 and heard = 0`, shop, seq)
	return n == 1, err
}
