package server

import (
	"doorbell/handlers"
	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
	"doorbell/internal/store"
	"doorbell/transport"
)

// Parts are what a server is made of, for whoever runs one in a process of their
// own and looks behind its HTTP edge: package servertest.
type Parts struct {
	Store      *store.Store
	Hub        *transport.Hub
	Transports handlers.Transports
	Service    *doorbell.Service
	Tokens     *auth.Tokens
	Logins     *auth.Logins
	Edge       *handlers.Server
}

// Parts returns what New has made.
func (s *Server) Parts() Parts {
	return Parts{Store: s.store, Hub: s.hub, Transports: s.transports, Service: s.service, Tokens: s.tokens, Logins: s.logins, Edge: s.edge}
}
