package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"strings"
	"time"

	"doorbell/handlers"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/hooks"
	"doorbell/internal/payment"
	"doorbell/internal/push"
	"doorbell/internal/store"
)

// newTellers makes what speaks to other systems: webhooks, pushes, and the
// questions to payment providers.
func (a *app) newTellers(queriers []payment.Querier) error {
	cfg, node := a.cfg, nodeName(a.cfg)
	var err error
	if a.hooks, err = newHooks(cfg, a.store, node, a.log); err != nil {
		return err
	}
	keys, err := push.EnsureKeys(dataDir(cfg))
	if err != nil {
		return err
	}
	a.push = push.New(push.Options{Book: a.store, Keys: keys, Subscriber: subscriber(cfg), Log: a.log})
	a.reconciler = payment.NewReconciler(payment.ReconcilerOptions{
		Queriers: queriers, Book: a.store, Take: a.service.TakeNotice, Log: a.log, Node: node,
		After: cfg.Pay.Reconcile.After, Until: cfg.Pay.Reconcile.Until,
	})
	return nil
}

// subscriber is whom a push service may ask about this server.
func subscriber(cfg config.Config) string {
	if u := cfg.Server.PublicURL; strings.HasPrefix(u, "https://") {
		return u
	}
	return "https://doorbell.invalid"
}

// nodeName tells this node from others, and is the same after a restart: what
// only one node may do goes on at once, and does not wait for the lease of a
// process that was killed.
func nodeName(cfg config.Config) string {
	host, err := os.Hostname()
	if err != nil {
		host = rand.Text()
	}
	return host + " " + cfg.Server.Addr
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

// newHooks sends to the configured webhooks, and passes callbacks on.
func newHooks(cfg config.Config, queue *store.Store, node string, log *slog.Logger) (*hooks.Sender, error) {
	var targets []hooks.Target
	for _, h := range cfg.Webhooks {
		targets = append(targets, hooks.Target{Name: h.Name, URL: h.URL, Secret: string(h.Secret)})
	}
	if url := cfg.Pay.WeChat.Forward; url != "" {
		targets = append(targets, hooks.Target{Name: doorbell.ForwardHook, URL: url})
	}
	return hooks.New(hooks.Options{Queue: queue, Targets: targets, Log: log, Node: node})
}

// lookForUnheard is how often alerts that nobody heard are looked for: they are
// told of at most this late.
const lookForUnheard = 5 * time.Second

// tellUnheard tells of alerts that nobody heard in time.
func (a *app) tellUnheard(ctx context.Context) error {
	after := a.cfg.Alerts.Unheard
	if after == 0 {
		return nil
	}
	tick := time.NewTicker(lookForUnheard)
	defer tick.Stop()
	for {
		n, err := a.service.TellUnheard(ctx, after)
		if err != nil && ctx.Err() == nil {
			a.log.ErrorContext(ctx, "what nobody heard is not known", "error", err)
		}
		if n > 0 {
			a.unheard.Add(int64(n))
			a.hooks.Wake()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// series are the figures of the parts that the HTTP edge does not know.
func (a *app) series() []handlers.Series {
	count := func(name, help string, value func() int64) handlers.Series {
		return handlers.Series{Name: name, Help: help, Counts: true, Value: func() float64 { return float64(value()) }}
	}
	backlog := func(pick func(waiting, givenUp int64) int64) func() float64 {
		return func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			waiting, givenUp, err := a.store.Backlog(ctx)
			if err != nil {
				return -1 // told by readyz and the log as well
			}
			return float64(pick(waiting, givenUp))
		}
	}
	return []handlers.Series{
		count("doorbell_alerts_unheard_total", "Alerts that no console sounded in time (alerts.unheard).", a.unheard.Load),
		count("doorbell_reconciler_questions_total", "Questions asked at payment providers about unpaid orders.", func() int64 { n, _ := a.reconciler.Counts(); return n }),
		count("doorbell_reconciler_found_total", "Payments found by asking, whose callback had not come.", func() int64 { _, n := a.reconciler.Counts(); return n }),
		count("doorbell_webhooks_sent_total", "Webhook messages that were taken.", func() int64 { n, _ := a.hooks.Counts(); return n }),
		count("doorbell_webhooks_failed_total", "Attempts to send a webhook message that failed.", func() int64 { _, n := a.hooks.Counts(); return n }),
		count("doorbell_pushes_sent_total", "Web pushes that a push service took.", func() int64 { n, _ := a.push.Counts(); return n }),
		count("doorbell_pushes_dropped_total", "Alerts that did not fit in the queue of pushes.", func() int64 { _, n := a.push.Counts(); return n }),
		{Name: "doorbell_webhooks_waiting", Help: "Webhook messages that wait to be taken.", Value: backlog(func(n, _ int64) int64 { return n })},
		{Name: "doorbell_webhooks_given_up", Help: "Webhook messages that were given up within the last week.", Value: backlog(func(_, n int64) int64 { return n })},
	}
}
