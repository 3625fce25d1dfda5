// Package servertest runs the whole server in a test: made by server.New from
// settings, as doorbell serve makes it, on free ports and with a database of its
// own, and stopped in the program's own order.
package servertest

import (
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"doorbell/internal/auth"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/server"
)

// Version is what a server under test calls itself.
const Version = "test"

// Server is one that runs.
type Server struct {
	server.Parts
	Config config.Config
	URL    string // of the consoles' listener, with the base path
	// CallbacksURL, FiguresURL and AdminURL are those of listeners of their own, which
	// there are where the settings name pay.addr, metrics.addr and server.admin.
	CallbacksURL, FiguresURL, AdminURL string
	Log                                *Log

	t    testing.TB
	stop func()
}

// Start runs a server until the test ends. The settings are Settings, and what
// edits make of them: an address with port 0 gets a free one.
func Start(t testing.TB, edits ...func(*config.Config)) *Server {
	t.Helper()
	s := &Server{Config: Settings(t), Log: &Log{}, t: t}
	for _, edit := range edits {
		edit(&s.Config)
	}
	ctx, cancel := context.WithCancel(context.Background())
	made, err := server.New(ctx, server.Options{
		Config: s.Config, Version: Version, Log: slog.New(slog.NewTextHandler(s.Log, nil)),
		Command: func(words string) string { return "doorbell " + words },
	})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	l, err := server.Listen(ctx, s.Config, nil)
	if err != nil {
		cancel()
		t.Fatal(err, made.Close())
	}
	s.Parts = made.Parts()
	s.URL = server.Scheme(s.Config) + strings.TrimPrefix(address(l.Consoles, s.Config.Server.BasePath), "http")
	s.CallbacksURL, s.FiguresURL = address(l.Callbacks, s.Config.Server.BasePath), address(l.Metrics, s.Config.Server.BasePath)
	s.AdminURL = address(l.Admin, "/")
	ended := make(chan error, 1)
	go func() { ended <- made.Run(ctx, l, io.Discard) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

// address returns the URL of a listener; empty where there is none.
func address(l net.Listener, path string) string {
	if l == nil {
		return ""
	}
	return "http://" + l.Addr().String() + path
}

// Settings are the defaults, but for a database and a secret of its own, nothing
// that a test on one machine could bump into by chance, and WeChat Pay as
// Players().WeChat signs for it.
func Settings(t testing.TB) config.Config {
	t.Helper()
	cfg := config.Default()
	cfg.Server.Addr = "127.0.0.1:0"
	cfg.Database.URL = "sqlite://" + filepath.Join(t.TempDir(), "doorbell.db")
	cfg.Auth.Secret = config.Secret(strings.Repeat("s", 32))
	cfg.Stream.WriteTimeout = time.Minute // no console is cut for not reading as long as a test takes
	cfg.Limits = config.Limits{}          // a test has all its clients at one address
	cfg.Pay.WeChat = WeChat(t, Players(t).WeChat)
	return cfg
}

// Stop ends the server as a signal does, and returns when all of it has ended.
func (s *Server) Stop() { s.stop() }

// Token makes a token that is good for an hour.
func (s *Server) Token(role doorbell.Role, sub string, shops ...int64) string {
	s.t.Helper()
	return Token(s.t, s.Tokens, role, sub, shops...)
}

// Token makes one by the keys of any server.
func Token(t testing.TB, by *auth.Tokens, role doorbell.Role, sub string, shops ...int64) string {
	t.Helper()
	g := doorbell.Grant{Subject: sub, Role: role, Expires: time.Now().Add(time.Hour)}
	for _, shop := range shops {
		g.Shops.List = append(g.Shops.List, doorbell.ShopID(shop))
	}
	token, err := by.Issue(g)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Raise appends an external alert.
func (s *Server) Raise(shop int64, typ doorbell.Type, order int64, content string) doorbell.Alert {
	s.t.Helper()
	a, _, err := s.Service.RaiseAlert(context.Background(), doorbell.Raise{
		Type: typ, Shop: doorbell.ShopID(shop), OrderID: doorbell.OrderID(order), Content: content,
	}, doorbell.Key{})
	if err != nil {
		s.t.Error(err)
	}
	return a
}

// Position returns the log's epoch and how far a shop's log has come.
func (s *Server) Position(shop int64) (epoch string, at doorbell.Position) {
	s.t.Helper()
	epoch, all, err := s.Store.Positions(context.Background(), []doorbell.ShopID{doorbell.ShopID(shop)})
	if err != nil {
		s.t.Error(err)
	}
	return epoch, all[doorbell.ShopID(shop)]
}

// Log collects what the server logs, of whichever goroutine.
type Log struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns all lines so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
