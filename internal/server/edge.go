package server

import (
	"cmp"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"doorbell/handlers"
	"doorbell/internal/auth"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/ledger"
	"doorbell/internal/payment"
	"doorbell/internal/payment/providers"
	"doorbell/internal/store"
	"doorbell/internal/webpush"
	"doorbell/static"
)

// Rules returns what the settings decide.
func Rules(cfg config.Config) (doorbell.Rules, error) {
	texts, err := doorbell.ParseTexts(map[doorbell.Type]string{
		doorbell.NewOrder: cfg.Alerts.Text.NewOrder, doorbell.Reminder: cfg.Alerts.Text.Reminder,
		doorbell.TakenCare: cfg.Alerts.Text.TakenCare, doorbell.CalledOff: cfg.Alerts.Text.CalledOff,
	})
	rules := doorbell.Rules{
		Texts: texts, Trial: cfg.OnTrial(), Hooks: hookRules(cfg.Webhooks), Ladders: ladders(cfg),
		Accounts:  doorbell.NewAccounts(merchantAccounts(cfg.Pay)),
		Reminders: doorbell.ReminderRules{Interval: cfg.Reminder.Interval},
	}
	for _, s := range cfg.Reminder.Statuses {
		rules.Reminders.Statuses = append(rules.Reminders.Statuses, doorbell.Status(s))
	}
	return rules, err
}

// Zones returns the zones of the shops' days.
func Zones(cfg config.Config) (ledger.Zones, error) {
	zone, err := cfg.Location()
	if err != nil {
		return nil, config.Fault{Err: err}
	}
	zones := ledger.Zones{0: zone}
	for _, shop := range cfg.Shops {
		if shop.Timezone == "" {
			continue
		}
		if zones[doorbell.ShopID(shop.ID)], err = time.LoadLocation(shop.Timezone); err != nil {
			return nil, config.Fault{Err: err}
		}
	}
	return zones, nil
}

// newEdge makes the HTTP edge.
func (s *Server) newEdge() (*handlers.Server, error) {
	cfg := s.cfg
	names := map[doorbell.ShopID]string{}
	zones, err := Zones(cfg)
	if err != nil {
		return nil, err
	}
	for _, shop := range cfg.Shops {
		names[doorbell.ShopID(shop.ID)] = shop.Name
	}
	page := handlers.Page{Version: s.Version, Trial: cfg.OnTrial(), PushKey: s.push.Keys.Public, Speech: map[string]handlers.Speech{
		"1": handlers.Speech(cfg.Console.Speech.NewOrder), "2": handlers.Speech(cfg.Console.Speech.Reminder),
	}}
	if cfg.Console.Sounds != "" {
		page.Sounds = os.DirFS(cfg.Console.Sounds)
	}
	var endpoints []payment.Endpoint
	for _, p := range providers.All(cfg.Pay) {
		endpoints = append(endpoints, p.Endpoint())
	}
	return handlers.New(handlers.Options{
		Web: handlers.Web{
			Log: s.log, BasePath: cfg.Server.BasePath, PublicURL: cfg.Server.PublicURL, Origins: cfg.Auth.Origins, TrustedProxies: cfg.Server.TrustedProxies,
			Rates: rates(cfg.Limits),
		},
		Guard:  handlers.Guard{Tokens: s.tokens, Logins: s.logins, SkyOpen: cfg.Sky.Open, Sky: s.sky()},
		Access: handlers.Access{Shops: s.store, ShopNames: names, Sessions: s.hub, Register: s.register},
		Streams: handlers.Streams{
			Hub: s.hub, Transports: s.transports, Heartbeat: cfg.Stream.Heartbeat, PollsPerSecond: cfg.Limits.PollsPerSecond,
		},
		API: handlers.API{
			Orders: s.service, Alerts: s.service, Days: s.service, Ledgers: ledger.Book{Store: s.store, Zones: zones}, Consoles: s.hub, Zones: zones, AnnouncePlain: cfg.Announce.Plain,
			Pushes: s.store, PushAllowed: webpush.Allowed,
		},
		Desk:       s.desk(),
		Callbacks:  handlers.Callbacks{Endpoints: endpoints, Gates: s.gates, Payments: s.service},
		Pages:      handlers.Pages{Static: fs.FS(static.Files), Page: page, Version: s.Version},
		Operations: handlers.Operations{Ready: s.store.Check, Bus: s.bus, Complaints: s.complaints, Collectors: s.collectors()},
	})
}

// desk is what an admin looks into and sends again.
func (s *Server) desk() handlers.Desk {
	return handlers.Desk{
		Received: func(ctx context.Context, limit int) ([]doorbell.Callback, error) {
			return s.store.Inbox(ctx, store.InboxQuery{Limit: limit})
		},
		Replay: s.service.Replay,
		Unsent: func(ctx context.Context, limit int) ([]doorbell.Outgoing, error) {
			waiting, err := s.store.Outgoing(ctx, store.OutgoingQuery{State: doorbell.Waiting, Limit: limit})
			if err != nil {
				return nil, err
			}
			lost, err := s.store.Outgoing(ctx, store.OutgoingQuery{State: doorbell.GivenUp, Limit: limit})
			all := slices.Concat(waiting, lost)
			slices.SortFunc(all, func(a, b doorbell.Outgoing) int { return cmp.Compare(b.ID, a.ID) })
			return all[:min(limit, len(all))], err
		},
		SendAgain: func(ctx context.Context, id int64) (int64, error) {
			n, err := s.store.SendAgain(ctx, id)
			if n > 0 {
				s.hooks.Wake()
			}
			return n, err
		},
	}
}

func rates(l config.Limits) handlers.Rates {
	return handlers.Rates{
		LoginsPerMinute: l.LoginsPerMinute, TicketsPerSecond: l.TicketsPerSecond,
		ReadsPerSecond: l.ReadsPerSecond, ShopReadsPerSecond: l.ShopReadsPerSecond,
		SearchesPerSecond: l.SearchesPerSecond, ShopSearchesPerSecond: l.ShopSearchesPerSecond,
		RemindersPerMinute: l.RemindersPerMinute, ShopRemindersPerMinute: l.ShopRemindersPerMinute,
	}
}

func newTokens(ctx context.Context, cfg config.Config, log *slog.Logger) (*auth.Tokens, error) {
	switch {
	case cfg.Auth.Algorithm == "HS256":
		secret, err := auth.EnsureSecret(string(cfg.Auth.Secret), DataDir(cfg))
		if err != nil {
			return nil, InFolderOf(DataSetting(cfg), err)
		}
		return auth.NewHS256(secret, Expected(cfg))
	case cfg.Auth.JWKSURL != "":
		return auth.NewJWKS(ctx, cfg.Auth.Algorithm, cfg.Auth.JWKSURL, Expected(cfg), log)
	default:
		tokens, err := auth.NewPublicKey(cfg.Auth.Algorithm, cfg.Auth.PublicKey, Expected(cfg))
		if err != nil {
			return nil, config.Fault{Err: err}
		}
		return tokens, nil
	}
}

// newLogins binds the sessions to what they end with.
func newLogins(ctx context.Context, cfg config.Config, s *store.Store, tokens *auth.Tokens) (*auth.Logins, error) {
	drawn, err := s.Generation(ctx)
	if err != nil {
		return nil, err
	}
	generation := auth.Generation(drawn, tokens, cfg.OnTrial())
	if err := s.AdoptLogins(ctx, generation); err != nil {
		return nil, err
	}
	return auth.NewLogins(s, auth.LoginRules{Generation: generation, Limit: cfg.Auth.SessionLimit}), nil
}

// Expected returns what tokens must name.
func Expected(cfg config.Config) auth.Expected {
	return auth.Expected{Audience: cfg.Auth.Audience, Issuer: cfg.Auth.Issuer}
}
