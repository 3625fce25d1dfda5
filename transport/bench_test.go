package transport

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"doorbell/internal/doorbell"
)

// swallow is a sink whose messages leave at once.
type swallow struct{ n int }

func (s *swallow) TrySend(Message) bool { s.n++; return true }
func (s *swallow) Close(Reason)         {}

// crowd opens consoles of a shop; their messages leave when leave is called.
func crowd(b *testing.B, h *Hub, shop doorbell.ShopID, n int, sseCursors bool) (leave func()) {
	b.Helper()
	sessions := make([]*Session, n)
	for i := range sessions {
		s, err := h.Open(b.Context(), Subscription{Transport: SSE, Shops: []doorbell.ShopID{shop}, Cursors: sseCursors, Heartbeat: time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		s.Run(b.Context(), &swallow{})
		s.Sent(b.Context(), 1) // hello
		sessions[i] = s
		b.Cleanup(func() { s.Leave(context.Background(), 0, "over") })
	}
	return func() {
		for _, s := range sessions {
			s.Sent(b.Context(), 1)
		}
	}
}

func benchHub() *Hub {
	return New(Options{
		Log: &fakeLog{epoch: "e1", logs: map[doorbell.ShopID][]doorbell.Alert{}}, Logger: slog.New(slog.DiscardHandler), Heartbeat: time.Minute,
	})
}

// BenchmarkFeed measures one alert from the commit to the sinks of its shop's
// consoles and their calls of Sent: the cost of the hub without a network.
// ns/delivery must not depend on consoles of other shops.
func BenchmarkFeed(b *testing.B) {
	for _, c := range []struct{ own, others int }{{1, 0}, {100, 0}, {1000, 0}, {100, 10_000}} {
		for kind, cursors := range map[string]bool{"ws": false, "sse": true} {
			b.Run(fmt.Sprintf("%s/consoles=%d/others=%d", kind, c.own, c.others), func(b *testing.B) {
				h := benchHub()
				leave := crowd(b, h, 1, c.own, cursors)
				for shop := range c.others / 4 {
					crowd(b, h, doorbell.ShopID(shop+2), 4, cursors)
				}
				a := doorbell.Alert{Type: doorbell.NewOrder, Shop: 1, OrderID: 1, Number: "1001", Content: "订单号：1001", Source: doorbell.FromOrder, Time: time.Now(), Link: doorbell.Link{Epoch: "e1"}}
				b.ReportAllocs()
				for b.Loop() {
					a.Seq++
					h.Deliver([]doorbell.Alert{a})
					leave()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.own), "ns/delivery")
			})
		}
	}
}

// BenchmarkReceive measures what another node's alert costs this node: with four
// consoles of its shop, and with none among 10,000 consoles of others. The broker
// sends the latter no message at all; this is what one that came late would cost.
func BenchmarkReceive(b *testing.B) {
	for _, c := range []struct {
		name string
		shop doorbell.ShopID
	}{{"consoles of the shop", 1}, {"none", 2}} {
		b.Run(c.name, func(b *testing.B) {
			h := benchHub()
			leave := crowd(b, h, 1, 4, true)
			for shop := range 2500 {
				crowd(b, h, doorbell.ShopID(shop+3), 4, true)
			}
			a := doorbell.Alert{Type: doorbell.NewOrder, Shop: c.shop, OrderID: 1, Number: "1001", Content: "订单号：1001", Source: doorbell.FromOrder, Time: time.Now(), Link: doorbell.Link{Epoch: "e1"}}
			data := a.Encode()
			b.ReportAllocs()
			for b.Loop() {
				a.Seq++
				h.Receive(doorbell.PeerAlert{Link: a.Link, Shop: a.Shop, Seq: a.Seq, Type: a.Type, Data: data})
				if c.shop == 1 {
					leave()
				}
			}
		})
	}
}

// BenchmarkOpen measures a console that connects, without network and database.
func BenchmarkOpen(b *testing.B) {
	h := benchHub()
	crowd(b, h, 1, 1000, true)
	b.ReportAllocs()
	for b.Loop() {
		s, err := h.Open(b.Context(), Subscription{Transport: SSE, Shops: []doorbell.ShopID{1}, Cursors: true, Heartbeat: time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		s.Run(b.Context(), &swallow{})
		s.Leave(b.Context(), 0, "over")
	}
}
