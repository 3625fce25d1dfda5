package handlers

import (
	"context"
	"strings"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/store"
	"doorbell/transport/transporttest"
)

// TestTransports runs the suite through the real router, over real sockets.
func TestTransports(t *testing.T) {
	transporttest.Suite(t, openServer)
}

// TestEventStreamRules: the HTML standard, case by case.
func TestEventStreamRules(t *testing.T) { transporttest.EventStreamRules(t, openServer) }

// TestWebSocketRules: RFC 6455, case by case.
func TestWebSocketRules(t *testing.T) { transporttest.WebSocketRules(t, openServer(t)) }

// openServer is a fresh server as the suites need it.
func openServer(t *testing.T) *transporttest.Server {
	s := newServer(t)
	orders := map[int64]int64{}
	return &transporttest.Server{
		URL:   s.url,
		Token: func(shops ...int64) string { return s.token(doorbell.RoleConsole, "suite", shops...) },
		Raise: func(shop int64, n, size int) {
			for range n {
				orders[shop]++
				s.raise(shop, doorbell.NewOrder, orders[shop], strings.Repeat("x", size))
			}
		},
		RaiseContent: func(shop int64, content string) {
			orders[shop]++
			s.raise(shop, doorbell.NewOrder, orders[shop], content)
		},
		Close: func(shop, order int64) { s.raise(shop, doorbell.TakenCare, order, "") },
		Head:  func(shop int64) int64 { _, p := s.position(shop); return int64(p.Head) },
		Epoch: func() string { epoch, _ := s.position(1); return epoch },
		Prune: func() {
			keep := store.Retention{Alerts: time.Hour, Orders: time.Hour, Inbox: time.Hour}
			if err := s.store.Prune(context.Background(), keep, time.Now().Add(2*time.Hour)); err != nil {
				t.Error(err)
			}
		},
		NewEpoch: func() {
			epoch, _ := s.position(1)
			if err := s.store.DrawEpoch(context.Background(), epoch); err != nil {
				t.Error(err)
			}
		},
		Slowest: func(shop int64) int64 {
			slowest := int64(1 << 53)
			for _, c := range s.hub.Consoles(doorbell.ShopID(shop)) {
				cursor, err := doorbell.ParseCursor(c.Cursor)
				if err != nil {
					t.Error(err)
				}
				slowest = min(slowest, int64(cursor.Seqs[doorbell.ShopID(shop)]))
			}
			return slowest
		},
		Announce: func(text string) { s.hub.Announce(text, nil, false) },
		Shutdown: func() { go s.shutdown() },
	}
}
