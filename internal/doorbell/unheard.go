package doorbell

import (
	"context"
	"sync"
	"time"
)

// unheardStep bounds how many alerts are told of at once.
const unheardStep = 100

// stopwatch measures by the clock that nobody sets.
type stopwatch struct {
	mu    sync.Mutex
	since time.Time // zero: it stands
}

// runs starts the watch, or lets it run on, and tells how long it has.
func (w *stopwatch) runs() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since.IsZero() {
		w.since = time.Now()
	}
	return time.Since(w.since)
}

func (w *stopwatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since = time.Time{}
}

// TellUnheard tells of every alert that has rung for this long without a
// console having sounded: in the log, to the hooks, and in the count that it
// returns. Each is told once. An alert whose time is yet to come was written
// before the clock was set back: it counts from when it was first seen so, for
// the clock may take hours to catch up.
func (s *Service) TellUnheard(ctx context.Context, after time.Duration) (told int, err error) {
	for more := true; more; {
		now := s.now()
		alerts, err := s.store.Unheard(ctx, now.Add(-after), unheardStep)
		if err != nil {
			return told, err
		}
		for _, a := range alerts {
			if err := s.tellOne(ctx, a, now.Sub(a.Time), &told); err != nil {
				return told, err
			}
		}
		more = len(alerts) == unheardStep
	}
	for {
		alerts, err := s.store.UnheardAfter(ctx, s.now().Add(clockSlack), unheardStep)
		if err != nil {
			return told, err
		}
		if len(alerts) == 0 {
			s.ahead.stop()
			return told, nil
		}
		waited := s.ahead.runs()
		if waited < after {
			return told, nil
		}
		for _, a := range alerts {
			if err := s.tellOne(ctx, a, waited, &told); err != nil {
				return told, err
			}
		}
	}
}

func (s *Service) tellOne(ctx context.Context, a Alert, waited time.Duration, told *int) error {
	var first bool
	seconds := int64(waited / time.Second)
	shown, err := s.wasShown(ctx, a)
	if err != nil {
		return err
	}
	err = s.store.WriteUrgent(ctx, func(tx Tx) (err error) {
		if first, err = tx.MarkUnheard(a.Shop, a.Seq); err != nil || !first {
			return err
		}
		return s.tell(tx, OrderUnheard, a.Shop, unheardEvent{a.OrderID, a.Number, a.Shop, seconds, shown, a})
	})
	if err == nil && first {
		*told++
		s.log.WarnContext(ctx, "nobody heard", "shop", a.Shop, "seq", a.Seq, "type", a.Type, "number", a.Number, "seconds", seconds, "shown", shown)
	}
	return err
}
