// Package ledger seals the shops' days: what was paid, heard and accepted can't be
// changed afterwards without that showing.
package ledger

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/lease"
)

// Store is what the sealer needs of the store.
type Store interface { //nolint:interfacebloat // what is read of a shop, and the lease
	// Now returns the time by the clock that all nodes share.
	Now() time.Time
	Shops(ctx context.Context, after doorbell.ShopID, limit int) ([]doorbell.ShopID, error)
	FirstRing(ctx context.Context, shop doorbell.ShopID) (time.Time, error)
	LedgerHead(ctx context.Context, shop doorbell.ShopID) (doorbell.LedgerHead, error)
	LedgerDay(ctx context.Context, d doorbell.LedgerDay) (doorbell.LedgerDay, error)
	SealDay(ctx context.Context, d doorbell.LedgerDay) (out doorbell.LedgerDay, sealed bool, err error)
	lease.Store
}

// Zones are the zones of the shops' days; 0 is that of all others.
type Zones map[doorbell.ShopID]*time.Location

// Of returns a shop's zone.
func (z Zones) Of(shop doorbell.ShopID) *time.Location {
	for _, id := range []doorbell.ShopID{shop, 0} {
		if zone := z[id]; zone != nil {
			return zone
		}
	}
	return time.UTC
}

// Options of New; all are needed.
type Options struct {
	Store Store
	Zones Zones
	Log   *slog.Logger
	Node  string
}

// Sealer seals the days of all shops, on the one node that has the lease.
type Sealer struct {
	Options
	sealed atomic.Int64
}

const (
	lookEvery = 10 * time.Minute
	// Grace is how long after its end a day is sealed: consoles that were cut off tell
	// what they heard when they come back.
	Grace = time.Hour
	// slack is how long before it is sealed a day's last word may have been written: a
	// transaction that is under way, another node's clock.
	slack     = time.Minute
	shopsStep = 500
	leaseName = "ledger"
)

// New starts nothing.
func New(o Options) *Sealer { return &Sealer{Options: o} }

// Sealed is how many days this process has sealed.
func (s *Sealer) Sealed() int64 { return s.sealed.Load() }

// Run seals until ctx ends.
func (s *Sealer) Run(ctx context.Context) error {
	lease.Keeper{Store: s.Store, Name: leaseName, Holder: s.Node, Log: s.Log}.Run(ctx, func(ctx context.Context) {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			if err := s.look(ctx); err != nil && ctx.Err() == nil {
				s.Log.ErrorContext(ctx, "ledger not sealed", "error", err)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return nil
}

// look seals what is due in all shops. A shop that fails keeps no other waiting.
func (s *Sealer) look(ctx context.Context) (failed error) {
	var after doorbell.ShopID
	for {
		shops, err := s.Store.Shops(ctx, after, shopsStep)
		if err != nil {
			return err
		}
		for _, shop := range shops {
			after = shop
			if err := s.shop(ctx, shop); err != nil {
				failed = err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if len(shops) < shopsStep {
			return failed
		}
	}
}

// shop seals the days of one shop that are due, the oldest first.
func (s *Sealer) shop(ctx context.Context, shop doorbell.ShopID) error {
	head, err := s.Store.LedgerHead(ctx, shop)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		d := doorbell.LedgerDay{Shop: shop, Before: head.Hash, Begins: head.Ends}
		if head.Day == "" {
			first, err := s.Store.FirstRing(ctx, shop)
			if err != nil || first.IsZero() {
				return err
			}
			d.Begins = first
		}
		d = d.Bound(head.Day, s.Zones.Of(shop))
		now := s.Store.Now()
		if now.Before(d.Ends.Add(Grace)) {
			return nil
		}
		d.AsOf = doorbell.Instant(now.Add(-slack))
		if d, err = s.Store.LedgerDay(ctx, d); err != nil {
			return err
		}
		// What rings still has until it is cold; then the day is sealed as it is.
		if !d.Settled() && now.Before(d.Ends.Add(doorbell.ExpiresAfter+Grace)) {
			return nil
		}
		d, sealed, err := s.Store.SealDay(ctx, d)
		if err != nil || !sealed {
			return err
		}
		s.sealed.Add(1)
		sum := d.Sum()
		s.Log.InfoContext(ctx, "day sealed", "shop", shop, "day", d.Day, "paid", sum.Paid, "heard", sum.Heard, "accepted", sum.Accepted,
			"cancelled", sum.Cancelled, "exceptions", sum.Lacking, "hash", d.Hash)
		head = doorbell.LedgerHead{Day: d.Day, Ends: d.Ends, Hash: d.Hash}
	}
	return ctx.Err()
}
