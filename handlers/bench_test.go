package handlers

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/transport"
)

// tally counts what consoles receive.
type tally struct {
	received, wanted atomic.Int64
	reached          chan struct{} // buffered 1
}

func (t *tally) add(n int) {
	if got := t.received.Add(int64(n)); got == t.wanted.Load() {
		t.reached <- struct{}{}
	}
}

// expect is called before what makes n more come.
func (t *tally) expect(n int64) { t.wanted.Add(n) }

// listeners connects n consoles that count the closing braces that come: each
// alert and each event has one.
func listeners(b *testing.B, addr, request string, n int) *tally {
	b.Helper()
	t := &tally{reached: make(chan struct{}, 1)}
	t.expect(int64(n)) // their hellos; the floor says none and is told so
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, request); err != nil {
			b.Fatal(err)
		}
		go func() {
			buffer := make([]byte, 32<<10)
			for {
				n, err := c.Read(buffer)
				if err != nil {
					return
				}
				if n := bytes.Count(buffer[:n], []byte("}")); n > 0 {
					t.add(n)
				}
			}
		}()
	}
	return t
}

// emptyLog is a log without a database: what is delivered is all there is.
type emptyLog struct{}

func (emptyLog) Positions(context.Context, []doorbell.ShopID) (string, map[doorbell.ShopID]doorbell.Position, error) {
	return "bench", map[doorbell.ShopID]doorbell.Position{}, nil
}

func (emptyLog) AlertsAfter(context.Context, doorbell.ShopID, doorbell.Seq, int) ([]doorbell.Alert, error) {
	return nil, nil
}

func (emptyLog) DrawEpoch(context.Context, string) error { return nil }

const consolesOfBench = 100

// BenchmarkDeliver is an alert from the hub to 100 consoles' sockets, each time
// until all have it. floor is the same bytes by one write for each, and nothing
// else: read the others as ratios to it.
func BenchmarkDeliver(b *testing.B) {
	b.Run("floor", benchFloor)
	b.Run("ws", func(b *testing.B) {
		benchDeliver(b, "GET /ws?shops=1 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: doorbell.v1\r\n")
	})
	b.Run("sse", func(b *testing.B) { benchDeliver(b, "GET /events?shops=1 HTTP/1.1\r\n") })
}

func benchFloor(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = ln.Close() })
	received := listeners(b, ln.Addr().String(), "x", consolesOfBench)
	var consoles []net.Conn
	for range consolesOfBench {
		c, err := ln.Accept()
		if err != nil {
			b.Fatal(err)
		}
		consoles = append(consoles, c)
		b.Cleanup(func() { _ = c.Close() })
	}
	frame := []byte(strings.Repeat("x", 200) + "}")
	b.ReportAllocs()
	received.expect(-consolesOfBench) // no hellos
	for b.Loop() {
		received.expect(consolesOfBench)
		for _, c := range consoles {
			if _, err := c.Write(frame); err != nil {
				b.Fatal(err)
			}
		}
		<-received.reached
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/consolesOfBench, "ns/delivery")
}

func benchDeliver(b *testing.B, head string) {
	hub := transport.New(transport.Options{Log: emptyLog{}, Logger: slog.New(slog.DiscardHandler), Heartbeat: time.Minute})
	s := newServer(b, func(o *Options) { o.Hub = hub })
	b.Cleanup(func() {
		if err := hub.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
	})
	addr := strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), "/")
	request := head + "Host: " + addr + "\r\nAuthorization: Bearer " + s.token(doorbell.RoleConsole, "bench", 1) + "\r\n\r\n"
	received := listeners(b, addr, request, consolesOfBench)
	<-received.reached
	a := doorbell.Alert{Type: doorbell.NewOrder, Shop: 1, OrderID: 1, Number: "1001", Content: strings.Repeat("x", 60), Source: doorbell.FromOrder, Time: time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		a.Seq++
		received.expect(consolesOfBench)
		hub.Deliver([]doorbell.Alert{a})
		<-received.reached
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/consolesOfBench, "ns/delivery")
}

// BenchmarkRaise is an alert through the whole server, router and token to the
// commit, by one caller.
func BenchmarkRaise(b *testing.B) {
	s := newServer(b)
	token := s.token(doorbell.RoleService, "bench", 1)
	client := &http.Client{}
	b.Cleanup(client.CloseIdleConnections)
	b.ReportAllocs()
	for b.Loop() {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.url+"api/v1/alerts", strings.NewReader(`{"type":1,"shopId":1,"orderId":7}`))
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusCreated {
			b.Fatal(res.Status)
		}
	}
}
