package server

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/ledger"
	"doorbell/internal/payment"
	"doorbell/internal/payment/providers"
	"doorbell/internal/store"
	"doorbell/internal/webhook"
	"doorbell/internal/webpush"
)

// newOutbound makes what speaks to other systems: webhooks, pushes, and the
// questions to payment providers.
func (s *Server) newOutbound(queriers []payment.Querier, dial dialer) error {
	cfg, node := s.cfg, s.store.Holder()
	var err error
	keys, err := webpush.EnsureKeys(DataDir(cfg))
	if err != nil {
		return err
	}
	s.push = webpush.New(webpush.Options{Store: s.store, Keys: keys, Subscriber: subscriber(cfg), Log: s.log})
	if s.hooks, err = newHooks(cfg, s.store, s.push, dial, node, s.log); err != nil {
		return err
	}
	if s.watcher, err = s.newWatcher(); err != nil {
		return err
	}
	s.escalator = s.newEscalator()
	zones, err := Zones(cfg)
	if err != nil {
		return err
	}
	s.sealer = ledger.New(ledger.Options{Store: s.store, Zones: zones, Log: s.log, Node: node})
	s.reconciler = payment.NewReconciler(payment.ReconcilerOptions{
		Queriers: queriers, Store: s.unpaid(), Take: s.service.TakeNotice, Log: s.log, Node: node,
		After: cfg.Pay.Reconcile.After, Until: cfg.Pay.Reconcile.Until,
	})
	return nil
}

// subscriber returns whom a push service may ask about this server.
func subscriber(cfg config.Config) string {
	if u := cfg.Server.PublicURL; strings.HasPrefix(u, "https://") {
		return u
	}
	return "https://doorbell.invalid"
}

// hookRules say which events each webhook is told of.
func hookRules(configured []config.Hook) []doorbell.Hook {
	var out []doorbell.Hook
	for _, c := range configured {
		h := doorbell.Hook{Name: c.Name}
		for _, e := range c.Events {
			h.Events = append(h.Events, doorbell.EventType(e))
		}
		for _, shop := range c.Shops {
			h.Shops = append(h.Shops, doorbell.ShopID(shop))
		}
		out = append(out, h)
	}
	return out
}

// newHooks sends to the configured webhooks and channels, and passes callbacks on.
func newHooks(cfg config.Config, queue *store.Store, push *webpush.Sender, dial dialer, node string, log *slog.Logger) (*webhook.Sender, error) {
	var targets []webhook.Target
	if len(cfg.Escalation)+len(cfg.Channels) > 0 {
		var err error
		if targets, err = channelTargets(cfg, push, dial); err != nil {
			return nil, err
		}
	}
	for _, h := range cfg.Webhooks {
		targets = append(targets, webhook.Target{Name: h.Name, URL: h.URL, Secret: string(h.Secret)})
	}
	for _, p := range providers.All(cfg.Pay) {
		if url := p.Endpoint().Forward; url != "" { // WeChat Pay's alone, so far: the outbox has one name for it
			targets = append(targets, webhook.Target{Name: doorbell.ForwardHook, URL: url})
		}
	}
	return webhook.New(webhook.Options{Queue: queue, Targets: targets, Log: log, Node: node, Needed: needed(queue)})
}

// lookForUnheard is how often alerts that nobody heard are looked for: they are
// told of at most this late.
const lookForUnheard = 5 * time.Second

// tellUnheard tells of alerts that nobody heard in time.
func (s *Server) tellUnheard(ctx context.Context) error {
	after := s.cfg.Alerts.Unheard
	if after == 0 {
		return nil
	}
	tick := time.NewTicker(lookForUnheard)
	defer tick.Stop()
	for {
		n, err := s.service.TellUnheard(ctx, after)
		if err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "unheard-alert check failed", "error", err)
		}
		if n > 0 {
			s.unheard.Add(int64(n))
			s.hooks.Wake()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
