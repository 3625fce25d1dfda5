package ledger

import (
	"context"
	"time"

	"doorbell/internal/doorbell"
)

// Book reads the ledgers.
type Book struct {
	Store interface {
		// Now returns the time by the clock that all nodes share.
		Now() time.Time
		SealedDay(ctx context.Context, shop doorbell.ShopID, day string) (d doorbell.LedgerDay, found bool, err error)
		LedgerDay(ctx context.Context, d doorbell.LedgerDay) (doorbell.LedgerDay, error)
	}
	Zones Zones
}

// Day returns a shop's day as it was sealed, else as it stands now; an empty day is
// today by the shop's clock.
func (b Book) Day(ctx context.Context, shop doorbell.ShopID, day string) (doorbell.LedgerDay, error) {
	zone := b.Zones.Of(shop)
	at := b.Store.Now().In(zone)
	if day != "" {
		var err error
		if at, err = time.ParseInLocation(time.DateOnly, day, zone); err != nil {
			return doorbell.LedgerDay{}, doorbell.InvalidField("day", "must be YYYY-MM-DD", "必须是 YYYY-MM-DD")
		}
	}
	d := doorbell.LedgerDay{Shop: shop, Begins: at}.Bound("", zone)
	sealed, found, err := b.Store.SealedDay(ctx, shop, d.Day)
	if err != nil || found {
		return sealed, err
	}
	d.AsOf = doorbell.Instant(b.Store.Now())
	return b.Store.LedgerDay(ctx, d)
}
