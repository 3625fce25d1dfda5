package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"doorbell/handlers"
	"doorbell/internal/auth"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
	"doorbell/internal/sky"
	"doorbell/internal/sky/adopt"
	"doorbell/internal/store"
)

// sky returns what the edge needs to know of a sky-take-out installation.
func (s *Server) sky() handlers.Sky {
	cfg := s.cfg.Sky
	out := handlers.Sky{
		Tokens:    auth.NewSky(string(cfg.Secret.Admin), string(cfg.Secret.User)),
		AdminName: cfg.TokenNames.Admin, UserName: cfg.TokenNames.User,
	}
	if zone, err := cfg.Location(); err == nil { // the configuration was checked
		out.Zone = zone
	}
	if s.skyOrders != nil {
		out.Customers = s.skyOrders.Orders.Customers
	}
	return out
}

// consoles returns what serves the consoles' listener: the edge, in front of
// sky-take-out's backend where one is configured.
func (s *Server) consoles() (serve http.Handler, done func()) {
	target, err := url.Parse(s.cfg.Sky.Upstream)
	if err != nil || s.cfg.Sky.Upstream == "" { // the configuration was checked
		return s.edge, func() {}
	}
	up := sky.New(sky.Options{
		Target: target, Own: s.edge.Serves, Next: s.edge, Trusted: s.edge.FromProxy, Log: s.log, OwnCookies: handlers.Cookies(),
		Closed: func(ctx context.Context, order doorbell.OrderID, t doorbell.Type) error {
			return s.service.CloseElsewhere(ctx, auth.SkyShop, order, t, "sky.upstream")
		},
		Paid: func() {
			if s.skyOrders != nil {
				s.skyOrders.Wake()
			}
		},
	})
	return up, up.Close
}

// Orders returns the store of the orders: with sky.adopt those of their table, which
// is returned a second time then.
func Orders(ctx context.Context, cfg config.Config, own *store.Store, log *slog.Logger) (doorbell.Store, *adopt.Orders, error) {
	if !cfg.Sky.Adopt {
		return own, nil, nil
	}
	zone, err := cfg.Sky.Location()
	if err != nil {
		return nil, nil, err
	}
	orders := adopt.New(adopt.Options{Store: own, Zone: zone, Rings: cfg.Sky.Watch > 0, Log: log})
	return orders, orders, orders.Check(ctx)
}

// newWatch returns what looks at their table; nil where there is none.
func (s *Server) newWatch(orders *adopt.Orders) *adopt.Watch {
	if orders == nil {
		return nil
	}
	return adopt.NewWatch(adopt.WatchOptions{
		Orders: orders, Look: s.service.LookElsewhere, Every: s.cfg.Sky.Watch, Leases: s.store, Node: s.store.Holder(), Log: s.log,
	})
}

// unpaid is where the reconciler finds the orders that providers are asked for.
func (s *Server) unpaid() payment.Store {
	if s.skyOrders == nil {
		return s.store
	}
	return adoptedUnpaid{s.store, s.skyOrders.Orders}
}

type adoptedUnpaid struct {
	*store.Store
	orders *adopt.Orders
}

// Unpaid implements payment.Store.
func (a adoptedUnpaid) Unpaid(ctx context.Context, from, to time.Time, after doorbell.Order, limit int) ([]doorbell.Order, error) {
	return a.orders.Unpaid(ctx, from, to, after, limit)
}
