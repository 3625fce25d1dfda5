package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/push"
	"doorbell/internal/store"
	"doorbell/static"
	"doorbell/transport"
	"doorbell/transport/poll"
	"doorbell/transport/sse"
	"doorbell/transport/ws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testServer is the whole server on a port of its own, with a real database.
type testServer struct {
	t        testing.TB
	url      string
	store    *store.Store
	hub      *transport.Hub
	service  *doorbell.Service
	tokens   *auth.Tokens
	logins   *auth.Logins
	platform *paysim.WeChat
	logs     *syncBuilder
	edge     *Server
	shutdown func()
}

// syncBuilder collects log lines.
type syncBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuilder) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuilder) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

var platform = sync.OnceValues(paysim.NewWeChat) // an RSA key takes its time

// newServer starts one; edit may change what the edge is told. No console is
// cut for not reading as long as a test takes.
func newServer(t testing.TB, edit ...func(*Options)) *testServer {
	t.Helper()
	return newServerThatCuts(t, time.Minute, edit...)
}

// newServerThatCuts has a write timeout.
func newServerThatCuts(t testing.TB, writeTimeout time.Duration, edit ...func(*Options)) *testServer {
	t.Helper()
	s := &testServer{t: t, logs: &syncBuilder{}}
	log := slog.New(slog.NewTextHandler(s.logs, nil))
	var err error
	if s.tokens, err = auth.NewHS256([]byte(strings.Repeat("s", 32))); err != nil {
		t.Fatal(err)
	}
	if s.platform, err = platform(); err != nil {
		t.Fatal(err)
	}
	verifier, err := payment.NewWeChat(s.platform.Account())
	if err != nil {
		t.Fatal(err)
	}
	texts, err := doorbell.ParseTexts(map[doorbell.Type]string{1: "订单号: {{.Number}}", 2: "订单号: {{.Number}}", 3: "订单号: {{.Number}}", 4: "订单号: {{.Number}}"})
	if err != nil {
		t.Fatal(err)
	}
	s.store, err = store.Open(t.Context(), store.Options{URL: "sqlite://" + filepath.Join(t.TempDir(), "d.db"), Log: log, Publish: func(alerts []doorbell.Alert) { s.hub.Deliver(alerts) }})
	if err != nil {
		t.Fatal(err)
	}
	s.logins = auth.NewLogins(s.store)
	s.hub = transport.New(transport.Options{Log: s.store, Logger: log, Version: "test", Heartbeat: 15 * time.Second, Renew: s.logins.Until})
	s.service = doorbell.NewService(s.store, doorbell.Rules{Texts: texts, Reminders: doorbell.ReminderRules{
		Interval: time.Minute, Statuses: []doorbell.Status{2, 3, 4},
	}}, log)
	wsT, sseT := ws.New(writeTimeout), sse.New(writeTimeout)
	o := Options{
		Service: s.service, Shops: s.store, Hub: s.hub, Pushes: s.store, PushAllowed: push.Allowed, Tokens: s.tokens, Logins: s.logins, Gates: map[string]*payment.Gate{"wechat": payment.NewGate(verifier)}, Ready: s.store.Check,
		Streams: Streams{WebSocket: wsT.Serve, RefuseWebSocket: ws.Refuse, SSE: sseT.Serve, Poll: poll.Serve},
		Static:  static.Files, Log: log, Version: "test", BasePath: "/", Heartbeat: 15 * time.Second,
		Page: Page{Version: "test"}, ShopNames: map[doorbell.ShopID]string{1: "总店"},
	}
	for _, f := range edit {
		f(&o)
	}
	if s.edge, err = New(o); err != nil {
		t.Fatal(err)
	}
	s.run(wsT, sseT, o.BasePath)
	return s
}

// run starts the parts and stops them in the program's order.
func (s *testServer) run(wsT *ws.Transport, sseT *sse.Transport, path string) {
	storeCtx, stopStore := context.WithCancel(context.Background())
	hubCtx, stopHub := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.store.Run(storeCtx) }) // nil always
	running.Go(func() { _ = s.hub.Run(hubCtx) })     // nil always
	hs := httptest.NewUnstartedServer(s.edge)
	hs.Listener = smallBuffers{hs.Listener}
	hs.Start()
	s.url = hs.URL + path
	s.shutdown = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.hub.Shutdown(ctx); err != nil {
			s.t.Error(err)
		}
		if err := errors.Join(wsT.Shutdown(ctx), sseT.Shutdown(ctx)); err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(func() {
		s.shutdown()
		hs.Close()
		stopHub()
		stopStore()
		running.Wait()
		if err := s.store.Close(); err != nil {
			s.t.Error(err)
		}
	})
}

// smallBuffers makes a console that does not read fill its window soon.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		err = errors.Join(err, tcp.SetWriteBuffer(16<<10))
	}
	return c, err
}

// token makes one that is good for an hour.
func (s *testServer) token(role doorbell.Role, sub string, shops ...int64) string {
	s.t.Helper()
	g := doorbell.Grant{Subject: sub, Role: role, Expires: time.Now().Add(time.Hour)}
	for _, shop := range shops {
		g.Shops.List = append(g.Shops.List, doorbell.ShopID(shop))
	}
	token, err := s.tokens.Issue(g)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// raise appends an external alert.
func (s *testServer) raise(shop int64, typ doorbell.Type, order int64, content string) doorbell.Alert {
	s.t.Helper()
	a, _, err := s.service.RaiseAlert(context.Background(), doorbell.Raise{
		Type: typ, Shop: doorbell.ShopID(shop), OrderID: doorbell.OrderID(order), Content: content,
	}, doorbell.Key{})
	if err != nil {
		s.t.Error(err)
	}
	return a
}

func (s *testServer) position(shop int64) (string, doorbell.Position) {
	s.t.Helper()
	epoch, at, err := s.store.Positions(context.Background(), []doorbell.ShopID{doorbell.ShopID(shop)})
	if err != nil {
		s.t.Fatal(err)
	}
	return epoch, at[doorbell.ShopID(shop)]
}
