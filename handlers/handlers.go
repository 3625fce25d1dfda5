// Package handlers is the HTTP edge: decode, call, encode. No SQL, no rule.
//
// Its groups share web (where the server stands, and how it answers) and guard
// (who calls): access (signing in, tickets, sessions), streams, api (orders,
// alerts, consoles), callbacks (of payment providers), pages, and operations
// (readiness, figures). Each has a struct in Options with what it needs, and says
// so by interfaces of its own.
package handlers

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// Options are the arguments of New, a struct for each group of handlers. All
// fields are required unless they say otherwise.
type Options struct {
	Web
	Guard
	Access
	Streams
	API
	Callbacks
	Desk
	Pages
	Operations
}

// Server is the complete HTTP edge.
type Server struct {
	http.Handler
	callbacks http.Handler
	figures   http.Handler
	routes    gin.RoutesInfo

	web        *web
	streams    *streams
	operations *operations
}

// Callbacks returns only the providers' routes, /healthz and /readyz, for a
// separate listener: a flood of consoles does not reach it, and a tunnel may
// expose it as a whole.
func (s *Server) Callbacks() http.Handler { return s.callbacks }

// Figures returns only /metrics, without a token, for a separate listener that no
// proxy exposes.
func (s *Server) Figures() http.Handler { return s.figures }

// Drain makes /readyz answer 503.
func (s *Server) Drain() { s.operations.draining.Store(true) }

// New builds the groups and their routes.
func New(o Options) (*Server, error) {
	gin.SetMode(gin.ReleaseMode)
	w := newWeb(o.Web)
	g := &guard{web: w, Guard: o.Guard}
	signIn := &access{guard: g, Access: o.Access}
	live := &streams{guard: g, Streams: o.Streams, looks: perSecond(pollsPerSecond, o.PollsPerSecond)}
	looked := &desk{guard: g, Desk: o.Desk}
	calls := &api{guard: g, API: o.API}
	paid := &callbacks{web: w, Callbacks: o.Callbacks, verdicts: newVerdicts(o.Gates), took: newTook(o.Gates)}
	shown, err := newPages(w, o.Pages)
	if err != nil {
		return nil, err
	}
	watched := &operations{guard: g, Operations: o.Operations, figures: registered(append(o.Collectors, w.refused, live, paid)...)}

	all, root, err := w.engine()
	if err != nil {
		return nil, err
	}
	paid.routes(root)
	watched.health(root)
	live.routes(root)
	root = root.Group("", w.uncrowded) // never for payments and monitoring
	v1 := root.Group("/api/v1", w.origins, w.wholeQuery)
	signIn.routes(root, v1)
	calls.routes(root, v1)
	looked.routes(v1)
	shown.routes(root)
	watched.routes(root)
	w.preflights(all)

	paying, root, err := w.engine()
	if err != nil {
		return nil, err
	}
	paid.routes(root)
	watched.health(root)

	figures, _, err := w.engine()
	if err != nil {
		return nil, err
	}
	figures.GET("/metrics", gin.WrapH(watched.figures))
	return &Server{
		Handler: w.heads(all), callbacks: w.heads(paying), figures: w.heads(figures), routes: all.Routes(),
		web: w, streams: live, operations: watched,
	}, nil
}
