package server

import (
	"context"
	"time"
)

// noteDeliveriesEvery is how much a node that is killed may forget of which alerts
// left for a console. What it forgets, a console's own receipts still prove.
const noteDeliveriesEvery = time.Second

// noteDeliveries keeps which alerts have left for a console, until ctx ends and a last
// time then.
func (s *Server) noteDeliveries(ctx context.Context) error {
	tick := time.NewTicker(noteDeliveriesEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.saveDeliveries(ctx)
		case <-ctx.Done():
			s.saveDeliveries(context.WithoutCancel(ctx))
			return nil
		}
	}
}

func (s *Server) saveDeliveries(ctx context.Context) {
	all := s.hub.TakeDeliveries()
	s.measures.noteDelivered(all, s.store.Ahead())
	if err := s.store.SaveDeliveries(ctx, all); err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "deliveries not noted", "error", err)
	}
}
