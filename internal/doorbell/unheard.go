package doorbell

import (
	"context"
	"time"
)

// unheardStep bounds how many alerts are told of at once.
const unheardStep = 100

// TellUnheard tells of every alert that has rung for this long without a
// console having sounded: in the log, to the hooks, and in the count that it
// returns. Each is told once.
func (s *Service) TellUnheard(ctx context.Context, after time.Duration) (told int, err error) {
	for {
		now := s.now()
		alerts, err := s.store.Unheard(ctx, now.Add(-after), unheardStep)
		if err != nil {
			return told, err
		}
		for _, a := range alerts {
			var first bool
			seconds := int64(now.Sub(a.Time) / time.Second)
			err := s.store.Write(ctx, func(tx Tx) (err error) {
				if first, err = tx.MarkUnheard(a.Shop, a.Seq); err != nil || !first {
					return err
				}
				return s.tell(tx, OrderUnheard, a.Shop, unheardEvent{a.OrderID, a.Number, a.Shop, seconds, a})
			})
			if err != nil {
				return told, err
			}
			if first {
				told++
				s.log.WarnContext(ctx, "nobody heard", "shop", a.Shop, "seq", a.Seq, "type", a.Type, "number", a.Number, "seconds", seconds)
			}
		}
		if len(alerts) < unheardStep {
			return told, nil
		}
	}
}
