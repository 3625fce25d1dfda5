package store

import (
	"context"
	"time"
)

// Lease gives holder what only one node may do, for this long, unless another
// holds it; who holds it already holds it longer.
func (s *Store) Lease(ctx context.Context, name, holder string, until time.Time) (held bool, err error) {
	err = s.writer.do(ctx, func(t *txn) error {
		n, err := t.affect(`insert into leases (name, holder, until_at) values (?, ?, ?) on conflict (name) do update
			set holder = excluded.holder, until_at = excluded.until_at where leases.holder = excluded.holder or leases.until_at < ?`,
			name, holder, millis(until), millis(now()))
		held = n == 1
		return err
	})
	return held, err
}

// Release gives a lease back, so that another node need not wait for its end.
func (s *Store) Release(ctx context.Context, name, holder string) error {
	return s.writer.do(ctx, func(t *txn) error {
		return t.exec(`delete from leases where name = ? and holder = ?`, name, holder)
	})
}
