package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"doorbell/handlers"
	"doorbell/internal/auth"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/hooks"
	"doorbell/internal/payment"
	"doorbell/internal/push"
	"doorbell/internal/store"
	"doorbell/static"
	"doorbell/transport"
	"doorbell/transport/poll"
	"doorbell/transport/sse"
	"doorbell/transport/ws"
)

const (
	// stopWait bounds each step of a stop.
	stopWait = 5 * time.Second
	// pruneEvery is how often old things are looked for.
	pruneEvery = time.Hour
	// socketBuffer bounds what the kernel holds for a console that does not
	// read; a burst of alerts fits many times.
	socketBuffer = 64 << 10
)

// serve is the command.
func serve(ctx context.Context, args []string, out io.Writer) error {
	set, file := flags("serve", out)
	if err := parse(set, args); err != nil {
		return err
	}
	cfg, err := settings(*file)
	if err != nil {
		return err
	}
	log := newLogger(os.Stderr)
	for _, name := range cfg.Unknown {
		log.WarnContext(ctx, "unknown variable ignored", "name", name)
	}
	a, err := build(ctx, cfg.Config, log, seams{})
	if err != nil {
		return err
	}
	ln, err := listen(ctx, cfg.Server.Addr)
	if err != nil {
		return errors.Join(fmt.Errorf("server.addr %s: %w", cfg.Server.Addr, err), a.store.Close())
	}
	listeners := listeners{consoles: ln}
	if addr := cfg.Pay.Addr; addr != "" {
		if listeners.callbacks, err = (&net.ListenConfig{}).Listen(ctx, "tcp", addr); err != nil {
			return errors.Join(fmt.Errorf("pay.addr %s: %w", addr, err), ln.Close(), a.store.Close())
		}
	}
	return a.run(ctx, listeners, out)
}

// listeners are the sockets of a server: callbacks may be nil, and then come in
// where the consoles do, as they may in any case.
type listeners struct{ consoles, callbacks net.Listener }

// listen takes the socket that systemd hands over (sd_listen_fds(3): the first
// is descriptor 3), else opens addr. A socket that outlives the process keeps
// callbacks waiting, instead of refusing them, while one server stops and the
// next one starts.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || os.Getenv("LISTEN_FDS") != "1" {
		return (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	}
	f := os.NewFile(3, "LISTEN_FDS")
	ln, err := net.FileListener(f)
	return ln, errors.Join(err, f.Close())
}

// app is everything that lives while the server does.
type app struct {
	cfg      config.Config
	log      *slog.Logger
	store    *store.Store
	hub      *transport.Hub
	ws       *ws.Transport
	sse      *sse.Transport
	edge     *handlers.Server
	logins   *auth.Logins
	announce *announcer // nil: off

	service    *doorbell.Service
	gates      map[string]*payment.Gate // by provider
	reconciler *payment.Reconciler
	hooks      *hooks.Sender
	push       *push.Sender
	unheard    atomic.Int64 // alerts that nobody heard in time
}

// seams are where a simulation steps in between the parts; what is nil is left
// as it is.
type seams struct {
	log     func(*store.Store) transport.Log
	publish func(alerts []doorbell.Alert, deliver func([]doorbell.Alert))
}

// build makes all parts and starts none of them.
func build(ctx context.Context, cfg config.Config, log *slog.Logger, s seams) (*app, error) {
	a := &app{cfg: cfg, log: log, gates: map[string]*payment.Gate{}}
	rules, err := rulesOf(cfg)
	if err != nil {
		return nil, usageError{err}
	}
	if a.announce, err = newAnnouncer(cfg, func(text string) { a.hub.Announce(text, nil, cfg.Announce.Plain) }); err != nil {
		return nil, usageError{err}
	}
	// What the settings alone can get wrong is found by now; the rest makes files.
	verifiers, err := loadVerifiers(cfg)
	if err != nil {
		return nil, err
	}
	for provider, v := range verifiers {
		a.gates[provider] = payment.NewGate(v)
	}
	queriers, err := loadQueriers(ctx, cfg)
	if err != nil {
		return nil, err
	}
	tokens, err := newTokens(ctx, cfg)
	if err != nil {
		return nil, err
	}
	publish := func(alerts []doorbell.Alert) {
		a.hub.Deliver(alerts)
		a.hooks.Wake()
		a.push.Offer(alerts)
	}
	if s.publish != nil {
		publish = func(alerts []doorbell.Alert) { s.publish(alerts, a.hub.Deliver) }
	}
	if a.store, err = store.Open(ctx, store.Options{URL: cfg.Database.URL, Log: log, Publish: publish}); err != nil {
		return nil, err
	}
	var records transport.Log = a.store
	if s.log != nil {
		records = s.log(a.store)
	}
	a.logins = auth.NewLogins(a.store)
	a.hub = transport.New(transport.Options{
		Log: records, Logger: log, Version: version(), Heartbeat: cfg.Stream.Heartbeat, LogText: cfg.Log.ClientText, Renew: a.logins.Until,
	})
	a.ws, a.sse = ws.New(cfg.Stream.WriteTimeout), sse.New(cfg.Stream.WriteTimeout)
	a.service = doorbell.NewService(a.store, rules, log)
	if err := a.newTellers(queriers); err != nil {
		return nil, errors.Join(err, a.store.Close())
	}
	a.edge, err = a.newEdge(tokens) //nolint:contextcheck // each request has its own
	if err != nil {
		return nil, errors.Join(err, a.store.Close())
	}
	return a, nil
}

// rulesOf is what the settings decide.
func rulesOf(cfg config.Config) (doorbell.Rules, error) {
	texts, err := doorbell.ParseTexts(map[doorbell.Type]string{
		doorbell.NewOrder: cfg.Alerts.Text.NewOrder, doorbell.Reminder: cfg.Alerts.Text.Reminder,
		doorbell.TakenCare: cfg.Alerts.Text.TakenCare, doorbell.CalledOff: cfg.Alerts.Text.CalledOff,
	})
	rules := doorbell.Rules{
		Texts: texts, Trial: cfg.OnTrial(), Hooks: hookRules(cfg.Webhooks),
		Reminders: doorbell.ReminderRules{Interval: cfg.Reminder.Interval},
	}
	for _, s := range cfg.Reminder.Statuses {
		rules.Reminders.Statuses = append(rules.Reminders.Statuses, doorbell.Status(s))
	}
	return rules, err
}

func (a *app) newEdge(tokens *auth.Tokens) (*handlers.Server, error) {
	cfg := a.cfg
	names := map[doorbell.ShopID]string{}
	zone, err := cfg.Location()
	if err != nil {
		return nil, usageError{err}
	}
	zones := map[doorbell.ShopID]*time.Location{0: zone}
	for _, s := range cfg.Shops {
		names[doorbell.ShopID(s.ID)] = s.Name
		if s.Timezone == "" {
			continue
		}
		if zones[doorbell.ShopID(s.ID)], err = time.LoadLocation(s.Timezone); err != nil {
			return nil, usageError{err}
		}
	}
	page := handlers.Page{Version: version(), Trial: cfg.OnTrial(), PushKey: a.push.Keys.Public, Speech: map[string]handlers.Speech{
		"1": handlers.Speech(cfg.Console.Speech.NewOrder), "2": handlers.Speech(cfg.Console.Speech.Reminder),
	}}
	if cfg.Console.Sounds != "" {
		page.Sounds = os.DirFS(cfg.Console.Sounds)
	}
	return handlers.New(handlers.Options{
		Service: a.service, Shops: a.store, Hub: a.hub, Tokens: tokens, Logins: a.logins, Gates: a.gates, Pushes: a.store, PushAllowed: push.Allowed, Ready: a.store.Check,
		Forward: map[string]bool{"wechat": cfg.Pay.WeChat.Forward != ""}, Series: a.series(),
		Streams: handlers.Streams{WebSocket: a.ws.Serve, RefuseWebSocket: ws.Refuse, SSE: a.sse.Serve, Poll: poll.Serve},
		Static:  fs.FS(static.Files), Log: a.log, Version: version(),
		BasePath: cfg.Server.BasePath, PublicURL: cfg.Server.PublicURL, Origins: cfg.Auth.Origins,
		TrustedProxies: cfg.Server.TrustedProxies, SkyOpen: cfg.Sky.Open, Heartbeat: cfg.Stream.Heartbeat,
		AnnouncePlain: cfg.Announce.Plain, Page: page, ShopNames: names, Zones: zones,
	})
}

func newTokens(ctx context.Context, cfg config.Config) (*auth.Tokens, error) {
	switch {
	case cfg.Auth.Algorithm == "HS256":
		secret, err := auth.EnsureSecret(string(cfg.Auth.Secret), dataDir(cfg))
		if err != nil {
			return nil, err
		}
		return auth.NewHS256(secret)
	case cfg.Auth.JWKSURL != "":
		return auth.NewJWKS(ctx, cfg.Auth.Algorithm, cfg.Auth.JWKSURL)
	default:
		return auth.NewPublicKey(cfg.Auth.Algorithm, cfg.Auth.PublicKey)
	}
}

// run serves on l until ctx ends, then stops in the reverse order: not ready,
// the consoles told bye, HTTP, the store last.
func (a *app) run(ctx context.Context, l listeners, out io.Writer) error {
	fronts := []*front{newFront(l.consoles, a.edge, a.log)}
	if l.callbacks != nil {
		fronts = append(fronts, newFront(l.callbacks, a.edge.Callbacks(), a.log))
	}
	lasting := context.WithoutCancel(ctx)
	storeCtx, stopStore := context.WithCancel(lasting)
	hubCtx, stopHub := context.WithCancel(lasting)
	defer stopStore()
	defer stopHub()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.store.Run(storeCtx) })
	g.Go(func() error { return a.hub.Run(hubCtx) })
	for _, f := range fronts {
		g.Go(func() error { return f.serve(ctx) })
	}
	g.Go(func() error { return a.prune(ctx) })
	g.Go(func() error { return giveBack(ctx, a.hub.Count, debug.FreeOSMemory) })
	g.Go(func() error { return a.tellUnheard(ctx) })
	g.Go(func() error { return a.reloadKeys(ctx) })
	g.Go(func() error { return a.reconciler.Run(ctx) })
	g.Go(func() error { return a.hooks.Run(ctx) })
	g.Go(func() error { return a.push.Run(ctx) })
	if a.announce != nil {
		g.Go(func() error { return a.announce.run(ctx) })
	}
	g.Go(func() error { return a.startScreen(ctx, l.consoles.Addr(), out) })
	g.Go(func() error {
		<-ctx.Done()
		a.log.InfoContext(lasting, "stopping")
		err := a.stop(lasting, fronts)
		stopHub()
		stopStore()
		return err
	})
	err := errors.Join(g.Wait(), a.store.Close())
	a.log.InfoContext(lasting, "stopped")
	return err
}

func (a *app) stop(ctx context.Context, fronts []*front) error {
	a.edge.Drain()
	steps := []func(context.Context) error{a.hub.Shutdown, a.ws.Shutdown, a.sse.Shutdown}
	for _, f := range fronts {
		steps = append(steps, f.endAccepting, f.server.Shutdown)
	}
	for _, step := range steps {
		ctx, cancel := context.WithTimeout(ctx, stopWait)
		if err := step(ctx); err != nil {
			a.log.WarnContext(ctx, "stopping took too long", "error", err)
		}
		cancel()
	}
	var errs []error
	for _, f := range fronts {
		errs = append(errs, f.server.Close())
	}
	return errors.Join(errs...)
}

// boundedListener bounds each connection's send buffer.
type boundedListener struct{ net.Listener }

func (l boundedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(socketBuffer) // a bound, not a need
	}
	return c, err
}

// prune removes what is older than the retention, now and every hour.
func (a *app) prune(ctx context.Context) error {
	keep := store.Retention{Alerts: a.cfg.Alerts.Retention, Orders: a.cfg.Orders.Retention, Inbox: a.cfg.Inbox.Retention}
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		if err := a.store.Prune(ctx, keep, time.Now()); err != nil && ctx.Err() == nil {
			a.log.ErrorContext(ctx, "pruning failed", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
