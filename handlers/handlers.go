// Package handlers is the HTTP edge: decode, call, encode. No SQL, no rule.
package handlers

import (
	"context"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
	"doorbell/transport"
)

// Shops tells which shops there are, for tokens that cover all.
type Shops interface {
	Shops(ctx context.Context, after doorbell.ShopID, limit int) ([]doorbell.ShopID, error)
}

// Streams serve a session on one transport. WebSocket and Poll return an error
// only where nothing was written.
type Streams struct {
	WebSocket func(w http.ResponseWriter, r *http.Request, s *transport.Session) error
	// RefuseWebSocket upgrades to close with a code.
	RefuseWebSocket func(w http.ResponseWriter, r *http.Request, code int, reason string) error
	// SSE reports whether it took the connection over.
	SSE  func(w http.ResponseWriter, r *http.Request, s *transport.Session) (detached bool)
	Poll func(w http.ResponseWriter, r *http.Request, s *transport.Session, wait time.Duration, version string) error
}

// Options of New; all are needed but where it says so.
type Options struct {
	Service *doorbell.Service
	Shops   Shops
	Hub     *transport.Hub
	Streams Streams
	Tokens  *auth.Tokens
	Logins  *auth.Logins
	Gates   map[string]*payment.Gate // by provider; those that are not configured are not there
	Forward map[string]bool          // providers whose callbacks are passed on; may be nil
	Series  []Series                 // further figures for /metrics; may be nil
	Pushes  Pushes
	// PushAllowed reports whether an endpoint is one that we post to.
	PushAllowed func(endpoint string) bool
	Ready       func(context.Context) error
	Static      fs.FS
	Log         *slog.Logger
	Version     string

	BasePath       string
	PublicURL      string // may be empty
	Origins        []string
	TrustedProxies []string
	SkyOpen        bool
	Heartbeat      time.Duration
	AnnouncePlain  bool
	Page           Page
	ShopNames      map[doorbell.ShopID]string
	Zones          map[doorbell.ShopID]*time.Location // of a shop's day; 0: of all others
}

// Page is what the console is told before anybody signs in.
type Page struct {
	Version string            `json:"version"`
	Trial   bool              `json:"trial"`
	Speech  map[string]Speech `json:"speech"` // by type
	PushKey string            `json:"pushKey"`
	Sounds  fs.FS             `json:"-"` // replaces the shipped clips; may be nil
}

// Speech is a sentence in both languages.
type Speech struct {
	Chinese string `json:"zh"`
	English string `json:"en"`
}

// edge is what the handlers share.
type edge struct {
	Options
	log       *slog.Logger
	proxies   []netip.Prefix
	originLog onceAMinute
	forgeLog  onceAMinute
	expiryLog onceADay
	draining  atomic.Bool
	metrics   *metrics
}

// Server is the HTTP edge as main runs it.
type Server struct {
	http.Handler
	callbacks http.Handler
	edge      *edge
}

// Callbacks has the providers' routes, /healthz and /readyz, and nothing else:
// for a listener of their own, which a flood of consoles does not reach and a
// tunnel may expose whole.
func (s *Server) Callbacks() http.Handler { return s.callbacks }

// Drain makes /readyz say no.
func (s *Server) Drain() { s.edge.draining.Store(true) }

// New builds the routes.
func New(o Options) (*Server, error) {
	gin.SetMode(gin.ReleaseMode)
	h := &edge{Options: o, log: o.Log}
	for _, p := range o.TrustedProxies {
		h.proxies = append(h.proxies, prefix(p))
	}
	h.metrics = newMetrics(h)
	all, err := h.engine()
	if err != nil {
		return nil, err
	}
	root := all.Group(strings.TrimSuffix(o.BasePath, "/"))
	h.streams(root)
	h.api(root)
	h.callbacks(root)
	h.pages(root)
	h.health(root)
	h.operations(root)
	h.preflights(all)
	paying, err := h.engine()
	if err != nil {
		return nil, err
	}
	root = paying.Group(strings.TrimSuffix(o.BasePath, "/"))
	h.callbacks(root)
	h.health(root)
	return &Server{Handler: all, callbacks: paying, edge: h}, nil
}

// engine is a router without routes.
func (h *edge) engine() (*gin.Engine, error) {
	r := gin.New()
	if err := r.SetTrustedProxies(h.TrustedProxies); err != nil {
		return nil, err
	}
	r.HandleMethodNotAllowed = true
	r.RedirectTrailingSlash = false
	r.RedirectFixedPath = false
	r.Use(identify, h.recovered, bounded)
	r.NoRoute(h.answer(func(*gin.Context) error {
		return doorbell.Refuse(doorbell.NotFound, "There is nothing here.", "没有这个地址。")
	}))
	r.NoMethod(h.answer(h.wrongMethod))
	return r, nil
}

func (h *edge) wrongMethod(c *gin.Context) error {
	return doorbell.Refuse(WrongMethod, "%s is not possible here.", "此地址不支持 %s。", c.Request.Method)
}

// streams has the three transports.
func (h *edge) streams(root *gin.RouterGroup) {
	for _, path := range []string{"/ws", "/ws/:sid"} {
		root.GET(path, h.answer(h.webSocket))
	}
	for _, path := range []string{"/events", "/events/:sid"} {
		root.GET(path, h.origins, h.answer(h.events))
		root.OPTIONS(path, h.origins, preflight)
	}
	root.GET("/poll", h.origins, h.answer(h.poll))
	root.OPTIONS("/poll", h.origins, preflight)
}

// api has /api/v1, /login, /logout and the compatible reminder.
func (h *edge) api(root *gin.RouterGroup) {
	const console, service, customer = doorbell.RoleConsole, doorbell.RoleService, doorbell.RoleCustomer
	for _, path := range []string{"/login", "/logout"} {
		root.OPTIONS(path, h.origins, preflight)
	}
	root.POST("/login", h.origins, h.answer(h.login))
	root.POST("/logout", h.origins, h.answer(h.logout))
	root.GET("/user/order/reminder/:id", h.skyReminder)

	v1 := root.Group("/api/v1", h.origins)
	v1.POST("/orders", h.allow(service), h.answer(h.createOrder))
	v1.GET("/orders/:id", h.allow(service, console, customer), h.answer(h.getOrder))
	v1.POST("/orders/:id/reminders", h.allow(service, customer), h.answer(h.remind))
	v1.POST("/orders/:id/accept", h.allow(service, console), h.answer(h.acceptOrder))
	v1.POST("/orders/:id/cancel", h.allow(service), h.answer(h.cancelOrder))
	v1.POST("/alerts", h.allow(service), h.answer(h.raise))
	v1.GET("/alerts", h.allow(service, console), h.answer(h.alerts))
	v1.POST("/alerts/:shop/:seq/accept", h.allow(console), h.answer(h.acceptAlert))
	v1.POST("/alerts/:shop/:seq/receipts", h.allow(console), h.answer(h.receipt))
	v1.PUT("/consoles/:console", h.allow(console, service), h.answer(h.hearing))
	v1.GET("/shops/:id/consoles", h.allow(service, console), h.answer(h.consoles))
	v1.GET("/shops/:id/figures", h.allow(service, console), h.answer(h.figures))
	v1.PUT("/push", h.allow(console), h.answer(h.subscribe))
	v1.DELETE("/push", h.allow(console), h.answer(h.unsubscribe))
	v1.GET("/devices", h.allow(service, console), h.answer(h.devices))
	v1.DELETE("/devices/:id", h.allow(service, console), h.answer(h.revokeDevice))
	v1.GET("/shops", h.allow(service, console, customer), h.answer(h.shops))
	v1.GET("/me", h.allow(service, console, customer), h.answer(h.me))
	v1.POST("/announcements", h.allow(service), h.answer(h.announce))
	v1.POST("/tickets", h.allow(service, console), h.answer(h.ticket))
	v1.POST("/tokens", h.allow(service), h.answer(h.token))
}

// preflights answers OPTIONS on every path of the API.
func (h *edge) preflights(r *gin.Engine) {
	seen := map[string]bool{}
	for _, route := range r.Routes() {
		if strings.HasPrefix(route.Path, h.BasePath+"api/v1/") && !seen[route.Path] {
			seen[route.Path] = true
			r.OPTIONS(route.Path, h.origins, preflight)
		}
	}
}

func prefix(s string) netip.Prefix {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p
	}
	a, err := netip.ParseAddr(s)
	if err != nil { // the configuration was checked
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, a.BitLen())
}

// trusted reports whether the request comes straight from a trusted proxy.
func (h *edge) trusted(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	for _, p := range h.proxies {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}
