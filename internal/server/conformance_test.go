package server_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/server/servertest"
	"doorbell/internal/store"
	"doorbell/transport/transporttest"
)

// TestTransports runs the suite on the server as serve makes it, over real sockets.
func TestTransports(t *testing.T) {
	transporttest.Suite(t, openServer)
}

// TestEventStreamRules: the HTML standard, case by case.
func TestEventStreamRules(t *testing.T) { transporttest.EventStreamRules(t, openServer) }

// TestWebSocketRules: RFC 6455, case by case.
func TestWebSocketRules(t *testing.T) { transporttest.WebSocketRules(t, openServer(t)) }

// slowest is how far the slowest console of a shop has got.
func slowest(t *testing.T, s *servertest.Server, shop int64) int64 {
	t.Helper()
	slowest := int64(1 << 53)
	for _, c := range s.Hub.Consoles(doorbell.ShopID(shop)) {
		cursor, err := doorbell.ParseCursor(c.Cursor)
		if err != nil {
			t.Error(err)
		}
		slowest = min(slowest, int64(cursor.Seqs[doorbell.ShopID(shop)]))
	}
	return slowest
}

// openServer is a fresh server as the suites need it.
func openServer(t *testing.T) *transporttest.Server {
	t.Helper()
	s := servertest.Start(t)
	var mu sync.Mutex
	orders := map[int64]int64{}
	next := func(shop int64) int64 {
		mu.Lock()
		defer mu.Unlock()
		orders[shop]++
		return orders[shop]
	}
	return &transporttest.Server{
		URL:   s.URL,
		Token: func(shops ...int64) string { return s.Token(doorbell.RoleConsole, "suite", shops...) },
		Raise: func(shop int64, n, size int) {
			for range n {
				s.Raise(shop, doorbell.NewOrder, next(shop), strings.Repeat("x", size))
			}
		},
		RaiseContent: func(shop int64, content string) { s.Raise(shop, doorbell.NewOrder, next(shop), content) },
		Close:        func(shop, order int64) { s.Raise(shop, doorbell.TakenCare, order, "") },
		Head:         func(shop int64) int64 { _, p := s.Position(shop); return int64(p.Head) },
		Epoch:        func() string { epoch, _ := s.Position(1); return epoch },
		Prune: func() {
			keep := store.Retention{Alerts: time.Hour, Orders: time.Hour, Inbox: time.Hour}
			if err := s.Store.Prune(context.Background(), keep, time.Now().Add(2*time.Hour)); err != nil {
				t.Error(err)
			}
		},
		NewEpoch: func() {
			epoch, _ := s.Position(1)
			if err := s.Store.DrawEpoch(context.Background(), epoch); err != nil {
				t.Error(err)
			}
		},
		Slowest:  func(shop int64) int64 { return slowest(t, s, shop) },
		Announce: func(text string) { s.Hub.Announce(text, nil, false) },
		Shutdown: func() { go s.Stop() }, // the test's end waits for it
	}
}
