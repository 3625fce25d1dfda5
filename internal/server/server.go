// Package server is what lives while doorbell serves: New wires the parts, Run
// runs all of them until its context ends, and stops them in order.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"

	"doorbell/handlers"
	"doorbell/internal/attendance"
	"doorbell/internal/auth"
	"doorbell/internal/bus"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/escalation"
	"doorbell/internal/ledger"
	"doorbell/internal/payment"
	"doorbell/internal/sky/adopt"
	"doorbell/internal/store"
	"doorbell/internal/webhook"
	"doorbell/internal/webpush"
	"doorbell/transport"
	"doorbell/transport/poll"
	"doorbell/transport/sse"
	"doorbell/transport/ws"
)

// Options of New. All are required.
type Options struct {
	Config  config.Config
	Version string // as hello and page.json tell it
	Log     *slog.Logger
	// Command returns the command line that runs "doorbell words" on this
	// machine with the same settings, for a person to paste.
	Command func(words string) string
}

// Server is everything that lives while doorbell serves.
type Server struct {
	Options
	cfg        config.Config
	log        *slog.Logger
	store      *store.Store
	bus        *bus.Bus
	hub        *transport.Hub
	transports handlers.Transports
	edge       *handlers.Server
	tokens     *auth.Tokens
	logins     *auth.Logins
	register   *auth.Register
	announce   *announcer // nil: off

	service    *doorbell.Service
	gates      map[string]*payment.Gate // by provider
	reconciler *payment.Reconciler
	skyOrders  *adopt.Watch // nil without sky.adopt
	hooks      *webhook.Sender
	push       *webpush.Sender
	unheard    atomic.Int64 // alerts that nobody heard in time
	watcher    *attendance.Watcher
	pages      *pages
	escalator  *escalation.Escalator
	sealer     *ledger.Sealer
	measures   *measures

	certificate *certificate // nil: plain HTTP
}

// faults are where a simulation steps in between the parts; what is nil is left
// as it is.
type faults struct {
	log     func(*store.Store) transport.Log
	publish func(alerts []doorbell.Alert, deliver func([]doorbell.Alert))
	dial    dialer // of channels
}

// dialer connects to a service; nil: over the network.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// New makes all parts and starts none of them. A fault of the settings is a
// config.Fault.
func New(ctx context.Context, o Options) (*Server, error) { return build(ctx, o, faults{}) }

// followers are told of the alerts that were committed, in the order that they
// were added. All are added before Run, and nothing is committed before it.
type followers []func([]doorbell.Alert)

func (f *followers) add(follow func([]doorbell.Alert)) { *f = append(*f, follow) }

func (f *followers) tell(alerts []doorbell.Alert) {
	for _, follow := range *f {
		follow(alerts)
	}
}

func build(ctx context.Context, o Options, faulty faults) (*Server, error) {
	cfg, log := o.Config, o.Log
	s := &Server{Options: o, cfg: cfg, log: log, gates: map[string]*payment.Gate{}, measures: newMeasures()}
	rules, err := Rules(cfg)
	if err != nil {
		return nil, config.Fault{Err: err}
	}
	if err := s.fromSettings(); err != nil {
		return nil, config.Fault{Err: err}
	}
	broker, err := bus.Parse(string(cfg.Bus.URL))
	if err != nil {
		return nil, config.Fault{Err: fmt.Errorf("bus.url: %w", err)}
	}
	// What the settings alone can get wrong is found by now; the rest makes files.
	verifiers, err := loadVerifiers(cfg)
	if err != nil {
		return nil, InFolderOf(DataSetting(cfg), err)
	}
	for provider, v := range verifiers {
		s.gates[provider] = payment.NewGate(v)
	}
	queriers, err := loadQueriers(ctx, cfg)
	if err != nil {
		return nil, err
	}
	committed := followers{s.measures.noteRaised}
	if s.store, err = store.Open(ctx, store.Options{
		URL: cfg.Database.URL, Log: log, Publish: committed.tell, Beside: cfg.Sky.Adopt, Measures: s.measures,
	}); err != nil {
		return nil, InFolderOf("database.url "+store.SafeURL(cfg.Database.URL), err)
	}
	if err := s.shareSecrets(ctx); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	if s.tokens, err = newTokens(ctx, cfg, log); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	key, err := s.store.BusKey(ctx)
	if err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	s.bus = bus.New(bus.Options{Broker: broker, Key: key, Log: log})
	if err := s.newParts(ctx, rules, queriers, faulty); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	if faulty.publish != nil {
		committed.add(func(alerts []doorbell.Alert) { faulty.publish(alerts, s.hub.Deliver) })
		return s, nil
	}
	committed.add(s.hub.Deliver)
	committed.add(s.bus.Publish)
	committed.add(func([]doorbell.Alert) { s.hooks.Wake() })
	committed.add(s.push.Offer)
	return s, nil
}

// fromSettings makes what needs nothing but the settings and the files that they
// name.
func (s *Server) fromSettings() (err error) {
	if s.announce, err = newAnnouncer(s.cfg); err != nil {
		return err
	}
	s.certificate, err = newCertificate(s.cfg.Server.TLS, s.log)
	return err
}

// newParts makes what stands on the store.
func (s *Server) newParts(ctx context.Context, rules doorbell.Rules, queriers []payment.Querier, faulty faults) (err error) {
	cfg := s.cfg
	var records transport.Log = s.store
	if faulty.log != nil {
		records = faulty.log(s.store)
	}
	if s.logins, err = newLogins(ctx, cfg, s.store, s.tokens); err != nil {
		return err
	}
	s.pages = s.newPages()
	s.hub = transport.New(transport.Options{
		Pages: s.pages.options(),
		Log:   records, Logger: s.log, Version: s.Version, Heartbeat: cfg.Stream.Heartbeat, LogText: cfg.Log.ClientText, Live: s.logins.Live,
		Limits: transport.Limits{PerAddress: cfg.Limits.ConnectionsPerAddress, PerToken: cfg.Limits.StreamsPerToken, PerShop: cfg.Limits.StreamsPerShop},
		Bus:    s.bus,
	})
	s.register, err = auth.NewRegister(ctx, auth.RegisterOptions{
		Keep: s.store, Tokens: s.tokens, Every: cfg.Stream.Heartbeat, End: s.hub.EndTokens, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.transports = handlers.Transports{WebSocket: ws.New(cfg.Stream.WriteTimeout), SSE: sse.New(cfg.Stream.WriteTimeout), Poll: poll.Transport{}}
	orders, adopted, err := Orders(ctx, cfg, s.store, s.log)
	if err != nil {
		return err
	}
	s.service = doorbell.NewService(orders, rules, s.log)
	s.service.Accepted = s.measures.tookCare
	s.skyOrders = s.newWatch(adopted)
	if err := s.newOutbound(queriers, faulty.dial); err != nil {
		return InFolderOf(DataSetting(cfg), err)
	}
	s.edge, err = s.newEdge() //nolint:contextcheck // each request has its own
	return err
}
