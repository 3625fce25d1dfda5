package server

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"doorbell/internal/auth"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/store"
)

// TestWhatEndsAllSessions: a restart does not; a new secret, the end of the
// trial and a restore do.
func TestWhatEndsAllSessions(t *testing.T) {
	dir := t.TempDir()
	url := func(name string) string { return "sqlite://" + filepath.Join(dir, name) }
	cfg := config.Default()
	cfg.Database.URL, cfg.Auth.Secret = url("d.db"), config.Secret(strings.Repeat("a", 32))
	// start runs a server's sessions for as long as use does.
	start := func(cfg config.Config, use func(*auth.Logins)) {
		t.Helper()
		log := slog.New(slog.DiscardHandler)
		s, err := store.Open(t.Context(), store.Options{URL: cfg.Database.URL, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		tokens, err1 := newTokens(t.Context(), cfg, log)
		logins, err2 := newLogins(t.Context(), cfg, s, tokens)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		use(logins)
		stop()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	}
	var cookie string
	start(cfg, func(l *auth.Logins) {
		g := doorbell.Grant{Subject: "kitchen", Role: doorbell.RoleConsole, Shops: doorbell.ShopSet{List: []doorbell.ShopID{1}}}
		var err error
		if cookie, _, err = l.Open(t.Context(), doorbell.Login{Grant: g, Paired: true}); err != nil {
			t.Fatal(err)
		}
	})
	if err := store.Backup(t.Context(), cfg.Database.URL, filepath.Join(dir, "bak")); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Restore(t.Context(), url("restored.db"), filepath.Join(dir, "bak")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		edit func(*config.Config)
		code doorbell.Code
	}{
		{"a restart", func(*config.Config) {}, ""},
		{"another heartbeat", func(c *config.Config) { c.Stream.Heartbeat *= 2 }, ""},
		{"a new secret", func(c *config.Config) { c.Auth.Secret = config.Secret(strings.Repeat("b", 32)) }, auth.SessionOutdated},
		{"the end of the trial", func(c *config.Config) { c.Server.Addr = "0.0.0.0:8080" }, auth.SessionOutdated},
		{"a restore", func(c *config.Config) { c.Database.URL = url("restored.db") }, auth.SessionOutdated},
		{"back to what it was", func(*config.Config) {}, ""},
	} {
		now := cfg
		c.edit(&now)
		start(now, func(l *auth.Logins) {
			if _, _, err := l.Check(t.Context(), cookie); doorbell.CodeOf(err) != c.code {
				t.Errorf("after %s: %v, want %q", c.name, err, c.code)
			}
		})
	}
}
