package server

import (
	"context"
	"time"

	"doorbell/internal/attendance"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/hours"
)

// shopHours returns when the shops are open, of those that say so.
func shopHours(cfg config.Config) (map[doorbell.ShopID]hours.Hours, error) {
	out := map[doorbell.ShopID]hours.Hours{}
	for _, shop := range cfg.Shops {
		if len(shop.Hours) == 0 {
			continue
		}
		zone, err := cfg.Location()
		if err == nil && shop.Timezone != "" {
			zone, err = time.LoadLocation(shop.Timezone)
		}
		if err != nil {
			return nil, config.Fault{Err: err}
		}
		if out[doorbell.ShopID(shop.ID)], err = hours.Parse(shop.Hours, zone); err != nil {
			return nil, config.Fault{Err: err}
		}
	}
	return out, nil
}

// attentiveUntil returns the hub's AttentiveUntil by the clock that all nodes share.
func (s *Server) attentiveUntil() map[doorbell.ShopID]time.Time {
	here, ahead := s.hub.AttentiveUntil(), s.store.Ahead()
	for shop, until := range here {
		here[shop] = until.Add(ahead)
	}
	return here
}

// newWatcher looks after the shops that are open.
func (s *Server) newWatcher() (*attendance.Watcher, error) {
	open, err := shopHours(s.cfg)
	return attendance.New(attendance.Options{
		Store: s.store, Hours: open, Here: s.attentiveUntil, Log: s.log, Node: s.store.Holder(), Heartbeat: s.cfg.Stream.Heartbeat,
		Tell: func(ctx context.Context, from, to doorbell.Attendance, what doorbell.EventType) (bool, error) {
			first, err := s.service.TellAttendance(ctx, from, to, what)
			if first {
				s.hooks.Wake()
			}
			return first, err
		},
	}), err
}
