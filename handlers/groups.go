package handlers

import (
	"context"
	"io/fs"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
	"doorbell/internal/reference"
	"doorbell/transport"
)

const console, service, customer = doorbell.RoleConsole, doorbell.RoleService, doorbell.RoleCustomer

// Guard is what identifying callers needs.
type Guard struct {
	Tokens  *auth.Tokens
	Logins  *auth.Logins
	SkyOpen bool
	Sky     Sky // optional
}

// guard identifies callers and their rights.
type guard struct {
	*web
	Guard
	expiryLog onceADay
	skyLog    fewAMinute // of refused handshakes
}

// Access is what the group access needs, besides Web and Guard.
type Access struct {
	Shops     Shops
	ShopNames map[doorbell.ShopID]string
	// Sessions ends the streams of ended sessions.
	Sessions interface{ EndLogins(ids ...string) }
	Register *auth.Register
}

// Shops lists the shops, for tokens that cover all.
type Shops interface {
	Shops(ctx context.Context, after doorbell.ShopID, limit int) ([]doorbell.ShopID, error)
}

// access handles sign-in and sign-out: tokens, tickets, sessions, devices.
type access struct {
	*guard
	Access
}

func (h *access) routes(root, v1 *gin.RouterGroup) {
	root.POST("/login", h.origins, h.wholeQuery, h.answer(h.login))
	root.POST("/logout", h.origins, h.wholeQuery, h.answer(h.logout))
	v1.GET("/sessions", h.allow(service, console), h.answer(h.sessions))
	v1.DELETE("/sessions/:id", h.allow(service, console), h.answer(h.endSession))
	v1.GET("/devices", h.allow(service, console), h.answer(h.devices))
	v1.DELETE("/devices/:id", h.allow(service, console), h.answer(h.endSession))
	v1.GET("/shops", h.allow(service, console, customer), h.answer(h.shops))
	v1.GET("/me", h.allow(service, console, customer), h.answer(h.me))
	v1.POST("/tickets", h.allow(service, console), h.answer(h.ticket))
	v1.POST("/tickets/preview", h.answer(h.lookAtTicket))
	v1.POST("/tokens", h.allow(service), h.answer(h.token))
	v1.GET("/tokens", h.allow(), h.answer(h.tokens))
	v1.DELETE("/tokens/:id", h.allow(), h.answer(h.revokeToken))
}

// Streams is what the streams need, besides Web and Guard.
type Streams struct {
	Hub            Hub
	Transports     Transports
	Heartbeat      time.Duration
	PollsPerSecond int // of one token, with wait=0; 0: no limit
}

// Hub opens the sessions of streams.
type Hub interface {
	Open(ctx context.Context, sub transport.Subscription) (*transport.Session, error)
	Streams() map[string]int // number of running streams by transport
}

// Transports carry the streams.
type Transports struct{ WebSocket, SSE, Poll transport.Transport }

// streams has the three transports.
type streams struct {
	*guard
	Streams
	looks *pace // polls that only look, by holder
}

func (h *streams) routes(root *gin.RouterGroup) {
	for _, path := range []string{"/ws", "/ws/:sid"} {
		root.GET(path, h.answer(h.webSocket))
	}
	for _, path := range []string{"/events", "/events/:sid"} {
		root.GET(path, over(h.Transports.SSE), h.origins, h.uncrowded, h.wholeQuery, h.answer(h.events))
	}
	root.GET("/poll", h.origins, h.uncrowded, h.wholeQuery, h.answer(h.poll))
}

// API is what the calls under /api/v1 need, besides Web and Guard.
type API struct {
	Orders   Orders
	Alerts   Alerts
	Consoles Consoles
	Days     Days
	Ledgers  Ledgers
	Zones    map[doorbell.ShopID]*time.Location // of a shop's day; shop 0: of all others

	AnnouncePlain bool
	Pushes        Pushes
	// PushAllowed reports whether doorbell may post to a push endpoint.
	PushAllowed func(endpoint string) bool
}

// Orders creates, reads and updates orders.
type Orders interface { //nolint:interfacebloat // one method for each call on an order
	CreateOrder(ctx context.Context, o doorbell.Order) (out doorbell.Order, created bool, err error)
	Order(ctx context.Context, id doorbell.OrderID) (doorbell.Order, error)
	Remind(ctx context.Context, id doorbell.OrderID, by string) (doorbell.Alert, error)
	AcceptOrder(ctx context.Context, id doorbell.OrderID, by string) (doorbell.Order, error)
	AcceptOrderByHand(ctx context.Context, id doorbell.OrderID, by string) (doorbell.Order, error)
	CancelOrder(ctx context.Context, id doorbell.OrderID, by string) (doorbell.Order, error)
}

// Alerts raises, reads and accepts alerts and stores their receipts.
type Alerts interface { //nolint:interfacebloat // one method for each call on an alert
	RaiseAlert(ctx context.Context, r doorbell.Raise, key doorbell.Key) (alert doorbell.Alert, created bool, err error)
	Alerts(ctx context.Context, q doorbell.AlertQuery) (doorbell.AlertPage, error)
	Alert(ctx context.Context, shop doorbell.ShopID, seq doorbell.Seq) (a doorbell.AlertState, told []doorbell.Escalation, err error)
	AcceptAlert(ctx context.Context, shop doorbell.ShopID, seq doorbell.Seq, by string) (doorbell.Alert, error)
	Receive(ctx context.Context, r doorbell.Receipt) error
	Messages(ctx context.Context, q doorbell.MessageQuery) (list []doorbell.Message, total int, err error)
}

// Days returns a shop's figures of a day.
type Days interface {
	Figures(ctx context.Context, shop doorbell.ShopID, day time.Time) (doorbell.Figures, error)
}

// Ledgers tells what was paid, heard and accepted on a shop's day; an empty day is
// today.
type Ledgers interface {
	Day(ctx context.Context, shop doorbell.ShopID, day string) (doorbell.LedgerDay, error)
}

// Consoles are those connected to any node; transport.ErrNodesSilent says that a
// node could not be asked.
type Consoles interface { //nolint:interfacebloat // one method for each call on a console
	ConsolesOfAll(ctx context.Context, shop doorbell.ShopID) []transport.ConsoleState
	AttentionOfAll(ctx context.Context, shop doorbell.ShopID) transport.Attention
	SetHearingOfAny(ctx context.Context, console string, by doorbell.Grant, v transport.Hearing) (known bool, err error)
	SendsAny(ctx context.Context, console string, by doorbell.Grant, shop doorbell.ShopID) (bool, error)
	NoteReceiptOfAny(ctx context.Context, console string, stage doorbell.Stage, at time.Time)
	AnnounceToAll(ctx context.Context, text string, shops []doorbell.ShopID, plain bool) (reached int)
}

// api handles orders, alerts, consoles, push subscriptions and figures, and
// sky-take-out's reminder.
type api struct {
	*guard
	API
}

func (h *api) routes(root, v1 *gin.RouterGroup) {
	root.GET("/user/order/reminder/:id", h.skyReminder)
	if h.Sky.Tokens.TakesAdmins() {
		h.messageRoutes(root)
	}
	v1.POST("/orders", h.allow(service), h.answer(h.createOrder))
	v1.GET("/orders/:id", h.allow(service, console, customer), h.answer(h.getOrder))
	v1.POST("/orders/:id/reminders", h.allow(service, customer), h.answer(h.remind))
	v1.POST("/orders/:id/accept", h.allow(service, console), h.answer(h.acceptOrder))
	v1.POST("/orders/:id/cancel", h.allow(service), h.answer(h.cancelOrder))
	v1.POST("/alerts", h.allow(service), h.answer(h.raise))
	v1.GET("/alerts", h.allow(service, console), h.answer(h.alerts))
	v1.GET("/alerts/:shop/:seq", h.allow(service, console), h.answer(h.alert))
	v1.POST("/alerts/:shop/:seq/accept", h.allow(console), h.answer(h.acceptAlert))
	v1.POST("/alerts/:shop/:seq/receipts", h.allow(console), h.answer(h.receipt))
	v1.PUT("/consoles/:console", h.allow(console, service), h.answer(h.hearing))
	v1.GET("/shops/:id/consoles", h.allow(service, console), h.answer(h.consoles))
	v1.GET("/shops/:id/attention", h.allow(service, console), h.answer(h.attention))
	v1.GET("/shops/:id/figures", h.allow(service, console), h.answer(h.figures))
	v1.GET("/ledger", h.allow(service, console), h.answer(h.ledger))
	v1.PUT("/push", h.allow(console), h.answer(h.subscribe))
	v1.DELETE("/push", h.allow(console), h.answer(h.unsubscribe))
	v1.POST("/announcements", h.allow(service), h.answer(h.announce))
}

// Callbacks is what payment callbacks need, besides Web.
type Callbacks struct {
	Endpoints []payment.Endpoint
	Gates     map[string]*payment.Gate // by provider; only configured ones
	Payments  Payments
}

// Payments settles providers' notices.
type Payments interface {
	TakeNotice(ctx context.Context, n doorbell.Notice) (doorbell.Verdict, error)
}

// callbacks receives the providers' callbacks.
type callbacks struct {
	*web
	Callbacks
	forgeLog onceAMinute
	verdicts *prometheus.CounterVec   // by provider and verdict
	took     *prometheus.HistogramVec // from arrival to commit, by provider
}

// Pages is what the pages need, besides Web.
type Pages struct {
	Static  fs.FS
	Page    Page
	Version string
}

// Page is what the console gets before anybody signs in.
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

// pages serves the console and its files.
type pages struct {
	*web
	Pages
	parts     map[string]string // SHA-256 of the files, by name
	reference *reference.Documents
}

func newPages(w *web, o Pages) (*pages, error) {
	files, err := parts(o.Static)
	return &pages{web: w, Pages: o, parts: files, reference: reference.New(w.BasePath, o.Version)}, err
}

// Operations is what monitoring needs, besides Web and Guard.
type Operations struct {
	Ready      func(context.Context) error
	Bus        Bus                    // nil: none
	Complaints func() []string        // what is wrong and keeps nothing from working, safe for strangers; nil: nothing
	Collectors []prometheus.Collector // of other packages, for /metrics; may be nil
}

// operations reports the server's state.
type operations struct {
	*guard
	Operations
	figures  http.Handler
	draining atomic.Bool
}
