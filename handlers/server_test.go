package handlers_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"doorbell/handlers"
	"doorbell/internal/auth"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment/wechat"
	"doorbell/internal/server/servertest"
	"doorbell/static"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testServer is a server that runs, and a client of it.
type testServer struct {
	*servertest.Server
	t        testing.TB
	url      string // where the client's requests go
	client   *http.Transport
	platform *wechat.Player // pays
}

// newServer starts the whole server; edits change its settings.
func newServer(t testing.TB, edits ...func(*config.Config)) *testServer {
	t.Helper()
	named := func(c *config.Config) { c.Shops = []config.Shop{{ID: 1, Name: "总店"}} }
	return clientOf(t, servertest.Start(t, append([]func(*config.Config){named}, edits...)...))
}

// newEdge starts the edge alone, for tests that put something else in the place of
// one of its parts. What the options do not name is not there, but for the pages
// and for who makes tokens.
func newEdge(t testing.TB, o handlers.Options) *testServer {
	t.Helper()
	s := &servertest.Server{Log: &servertest.Log{}}
	var err error
	if s.Tokens, err = auth.NewHS256([]byte(strings.Repeat("s", 32)), auth.Expected{}); err != nil {
		t.Fatal(err)
	}
	o.Web, o.Tokens = handlers.Web{Log: slog.New(slog.NewTextHandler(s.Log, nil)), BasePath: "/"}, s.Tokens
	if o.Static == nil {
		o.Static = static.Files
	}
	if s.Edge, err = handlers.New(o); err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewServer(s.Edge)
	t.Cleanup(hs.Close)
	s.URL = hs.URL + "/"
	return clientOf(t, s)
}

// clientOf returns a client, whose connections are closed before the server stops.
func clientOf(t testing.TB, s *servertest.Server) *testServer {
	t.Helper()
	c := &testServer{Server: s, t: t, url: s.URL, client: &http.Transport{}, platform: servertest.Players(t).WeChat}
	t.Cleanup(c.client.CloseIdleConnections)
	return c
}

// endSessions is the middle of a stop: the streams have ended, and the listener
// still accepts.
func (s *testServer) endSessions() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := errors.Join(s.Hub.Shutdown(ctx), s.Transports.WebSocket.Shutdown(ctx), s.Transports.SSE.Shutdown(ctx)); err != nil {
		s.t.Error(err)
	}
}

func (s *testServer) token(role doorbell.Role, sub string, shops ...int64) string {
	s.t.Helper()
	return servertest.Token(s.t, s.Tokens, role, sub, shops...)
}

func (s *testServer) raise(shop int64, typ doorbell.Type, order int64, content string) doorbell.Alert {
	s.t.Helper()
	return s.Raise(shop, typ, order, content)
}

func (s *testServer) position(shop int64) (string, doorbell.Position) {
	s.t.Helper()
	return s.Position(shop)
}
