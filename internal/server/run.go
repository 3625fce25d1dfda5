package server

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"doorbell/internal/lease"
	"doorbell/internal/store"
)

const (
	// stopWait bounds each step of a stop.
	stopWait = 5 * time.Second
	// pruneEvery is how often old things are looked for.
	pruneEvery = time.Hour
)

// Close gives up a server that never ran.
func (s *Server) Close() error { return s.store.Close() }

// Run serves on l until ctx ends, then stops in the reverse order: not ready,
// the consoles told bye, HTTP, the store last. It writes the start screen to out.
func (s *Server) Run(ctx context.Context, l Listeners, out io.Writer) error {
	consoles, done := s.consoles()
	defer done()
	fronts := []*front{newFront(l.Consoles, consoles, newVisitors(s.cfg.Limits.ConnectionsPerAddress, s.cfg.Server.TrustedProxies), s.log, s.certificate)}
	if l.Callbacks != nil {
		fronts = append(fronts, newFront(l.Callbacks, s.edge.Callbacks(), nil, s.log, nil))
	}
	if l.Metrics != nil {
		fronts = append(fronts, newFront(l.Metrics, s.edge.Figures(), nil, s.log, nil))
	}
	if l.Admin != nil {
		fronts = append(fronts, newFront(l.Admin, admin(), nil, s.log, nil))
	}
	lasting := context.WithoutCancel(ctx)
	storeCtx, stopStore := context.WithCancel(lasting)
	hubCtx, stopHub := context.WithCancel(lasting)
	busCtx, stopBus := context.WithCancel(lasting)
	defer stopStore()
	defer stopHub()
	defer stopBus()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.store.Run(storeCtx) })
	g.Go(func() error { return s.hub.Run(hubCtx) })
	g.Go(func() error { return s.bus.Run(busCtx, heardByBus{s.hub, s.measures}) })
	for _, f := range fronts {
		g.Go(func() error { return f.serve(ctx) })
	}
	var workers sync.WaitGroup // whoever writes to the store until ctx ends, and a last time then
	for _, work := range s.workers(l.Consoles.Addr(), out) {
		workers.Add(1)
		g.Go(func() error { defer workers.Done(); return work(ctx) })
	}
	g.Go(func() error {
		<-ctx.Done()
		s.log.InfoContext(lasting, "stopping")
		err := s.stop(lasting, fronts)
		workers.Wait() // leases are given back, attempts noted: the store takes that still
		stopHub()
		stopBus() // what was committed last is still told
		stopStore()
		return err
	})
	err := errors.Join(g.Wait(), s.store.Close())
	s.log.InfoContext(lasting, "stopped")
	return err
}

// workers returns the work that runs beside the requests until its context ends.
func (s *Server) workers(addr net.Addr, out io.Writer) []func(context.Context) error {
	all := []func(context.Context) error{
		s.prune, s.tellUnheard, s.reloadKeys, s.tokens.Run, s.register.Run, s.reconciler.Run, s.hooks.Run, s.push.Run, s.watcher.Run, s.escalator.Run, s.sealer.Run, s.pages.run, s.noteDeliveries,
		func(ctx context.Context) error { return giveBack(ctx, s.hub.Count, debug.FreeOSMemory) },
		func(ctx context.Context) error { return s.printBanner(ctx, addr, out) },
	}
	if s.certificate != nil {
		all = append(all, s.certificate.run)
	}
	if s.skyOrders != nil {
		all = append(all, s.skyOrders.Run)
	}
	if s.announce != nil {
		announce := func(text string) { s.hub.Announce(text, nil, s.cfg.Announce.Plain) }
		all = append(all, func(ctx context.Context) error { return s.announce.run(ctx, announce) })
	}
	return all
}

func (s *Server) stop(ctx context.Context, fronts []*front) error {
	s.edge.Drain()
	steps := []func(context.Context) error{
		s.hub.Shutdown, s.transports.WebSocket.Shutdown, s.transports.SSE.Shutdown, s.transports.Poll.Shutdown,
	}
	for _, f := range fronts {
		steps = append(steps, f.endAccepting, f.server.Shutdown)
	}
	for _, step := range steps {
		ctx, cancel := context.WithTimeout(ctx, stopWait)
		if err := step(ctx); err != nil {
			s.log.WarnContext(ctx, "stopping took too long", "error", err)
		}
		cancel()
	}
	var errs []error
	for _, f := range fronts {
		errs = append(errs, f.server.Close())
	}
	return errors.Join(errs...)
}

// prune removes what is older than the retention, now and every hour, on one node.
func (s *Server) prune(ctx context.Context) error {
	lease.Keeper{Store: s.store, Name: "prune", Holder: s.store.Holder(), Log: s.log}.Run(ctx, s.pruneHourly)
	return nil
}

func (s *Server) pruneHourly(ctx context.Context) {
	keep := store.Retention{Alerts: s.cfg.Alerts.Retention, Orders: s.cfg.Orders.Retention, Inbox: s.cfg.Inbox.Retention, Ledger: s.cfg.Ledger.Retention}
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		if err := s.store.Prune(ctx, keep, s.store.Now()); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "pruning failed", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
