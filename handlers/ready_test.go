package handlers_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"doorbell/handlers"
	"doorbell/internal/doorbell"
	"doorbell/transport"
)

// lostBus is a configured bus that is down.
type lostBus struct{ reason string }

func (lostBus) Alone() bool      { return false }
func (b lostBus) Reason() string { return b.reason }

// TestReadiness: without the bus a node serves and says so; without its database
// it does not.
func TestReadiness(t *testing.T) {
	for _, c := range []struct {
		name   string
		bus    handlers.Bus
		store  error
		status int
		want   string
	}{
		{"no bus", nil, nil, 200, `{"ready":true,"store":"ok","bus":"none","reasons":[]}`},
		{"all well", lostBus{""}, nil, 200, `{"ready":true,"store":"ok","bus":"ok","reasons":[]}`},
		{"the bus is gone", lostBus{"the bus is not connected"}, nil, 200, `{"ready":true,"store":"ok","bus":"down","reasons":["the bus is not connected"]}`},
		{"the database is gone", nil, errors.New("10.0.0.7 refused"), 503, `"ready":false,"store":"down","bus":"none","reasons":["the database can't serve"]`},
		{"both are", lostBus{"the bus is not connected"}, errors.New("x"), 503, `"ready":false,"store":"down","bus":"down","reasons":["the bus is not connected","the database can't serve"]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newEdge(t, handlers.Options{Operations: handlers.Operations{Bus: c.bus, Ready: func(context.Context) error { return c.store }}})
			got := s.do("GET", "readyz", "")
			if got.status != c.status || !strings.Contains(got.body, c.want) || strings.Contains(got.body, "10.0.0.7") {
				t.Errorf("%d %s, want %d and %s", got.status, got.body, c.status, c.want)
			}
		})
	}
}

// silentBus has other nodes that don't answer, or that know nothing.
type silentBus struct{ whole bool }

func (silentBus) Follow(doorbell.ShopID)   {}
func (silentBus) Unfollow(doorbell.ShopID) {}
func (silentBus) Err() error               { return nil }

func (b silentBus) Ask(context.Context, []byte) ([][]byte, bool) { return nil, b.whole }

// TestAConsoleOfAnotherNode: a report or receipt of a console unknown here is
// refused permanently only after every node has answered.
func TestAConsoleOfAnotherNode(t *testing.T) {
	for whole, want := range map[bool][2]int{true: {404, 403}, false: {503, 503}} {
		s := newEdge(t, handlers.Options{API: handlers.API{
			Consoles: transport.New(transport.Options{Log: emptyLog{}, Logger: slog.New(slog.DiscardHandler), Heartbeat: time.Minute, Bus: silentBus{whole}}),
		}})
		token := s.token(doorbell.RoleConsole, "tab", 1)
		if got := s.as(token, "PUT", "api/v1/consoles/cELSEWHERE", `{"audible":true}`); got.status != want[0] {
			t.Errorf("a word, all nodes asked %v: %d %s, want %d", whole, got.status, got.body, want[0])
		}
		if got := s.as(token, "POST", "api/v1/alerts/1/1/receipts", `{"console":"cELSEWHERE","stage":"shown"}`); got.status != want[1] {
			t.Errorf("a receipt, all nodes asked %v: %d %s, want %d", whole, got.status, got.body, want[1])
		}
	}
}
