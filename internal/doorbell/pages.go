package doorbell

import (
	"context"
	"time"
)

// pageLostEvent is the data of page.lost.
type pageLostEvent struct {
	Shop  ShopID `json:"shopId"`
	Pages int    `json:"pages"`
	Since string `json:"since"`
	Test  bool   `json:"test,omitempty"`
}

// TellPageLost tells that plain pages of a shop ended without anybody having closed
// them, and that nobody has loaded them anew: they look like ever, and hear nothing.
func (s *Service) TellPageLost(ctx context.Context, shop ShopID, pages int, since time.Time) error {
	since = Instant(since)
	s.log.WarnContext(ctx, "nobody hears: a page lost its connection, and does not reconnect by itself; reload it", "shop", shop, "pages", pages, "since", since)
	return s.store.WriteUrgent(ctx, func(tx Tx) error {
		return s.tell(tx, PageLost, shop, pageLostEvent{Shop: shop, Pages: pages, Since: stamp(since), Test: s.rules.Trial})
	})
}

// wasShown reports whether some console's browser has got an alert, be it that nobody
// heard it.
func (s *Service) wasShown(ctx context.Context, a Alert) (bool, error) {
	page, err := s.store.Alerts(ctx, AlertQuery{Shop: a.Shop, Before: a.Seq + 1, After: a.Seq - 1, Limit: 1})
	if err != nil {
		return false, err
	}
	for _, state := range page.Alerts {
		for _, r := range state.Receipts {
			if r.Stage == Shown {
				return true, nil
			}
		}
	}
	return false, nil
}
