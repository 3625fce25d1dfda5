package handlers_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"doorbell/handlers"
	"doorbell/internal/doorbell"
	"doorbell/transport"
	"doorbell/transport/poll"
	"doorbell/transport/sse"
	"doorbell/transport/ws"
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

// expect announces n more messages before they are sent.
func (t *tally) expect(n int64) { t.wanted.Add(n) }

// listeners connects n consoles that count closing braces: each alert and each
// event has one.
func listeners(b *testing.B, addr, request string, n int) *tally {
	b.Helper()
	t := &tally{reached: make(chan struct{}, 1)}
	t.expect(int64(n)) // for their hellos; the floor sends none and subtracts them
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

// emptyLog is a log without a database: only delivered alerts exist.
type emptyLog struct{}

func (emptyLog) Positions(context.Context, []doorbell.ShopID) (string, map[doorbell.ShopID]doorbell.Position, error) {
	return "bench", map[doorbell.ShopID]doorbell.Position{}, nil
}

func (emptyLog) AlertsAfter(context.Context, doorbell.ShopID, doorbell.Seq, int) ([]doorbell.Alert, error) {
	return nil, nil
}

func (emptyLog) DrawEpoch(context.Context, string) error { return nil }

const consolesOfBench = 100

// BenchmarkDeliver measures an alert from the hub to 100 consoles' sockets, until
// all have it. "floor" writes the same bytes once for each console and does
// nothing else: read the others as ratios to it. "none" is the hub with a channel
// and a goroutine for each console, and no library: the difference to it is the
// cost of melody and r3labs.
func BenchmarkDeliver(b *testing.B) {
	b.Run("floor", benchFloor)
	b.Run("none", benchNoLibrary)
	b.Run("ws", func(b *testing.B) {
		benchDeliver(b, "GET /ws?shops=1 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: doorbell.v1\r\n")
	})
	b.Run("sse", func(b *testing.B) { benchDeliver(b, "GET /events?shops=1 HTTP/1.1\r\n") })
}

// sockets returns consoles that send no request, and the server's ends of their
// connections.
func sockets(b *testing.B) (received *tally, consoles []net.Conn) {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = ln.Close() })
	received = listeners(b, ln.Addr().String(), "x", consolesOfBench)
	for range consolesOfBench {
		c, err := ln.Accept()
		if err != nil {
			b.Fatal(err)
		}
		consoles = append(consoles, c)
		b.Cleanup(func() { _ = c.Close() })
	}
	return received, consoles
}

// perDelivery reports the time, and the CPU of the consoles as well.
func perDelivery(b *testing.B) (report func()) {
	b.Helper()
	before := cpuTime(b)
	b.ReportAllocs()
	return func() {
		n := float64(b.N) * consolesOfBench
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/delivery")
		b.ReportMetric(float64(cpuTime(b)-before)/n, "cpu-ns/delivery")
	}
}

func cpuTime(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// plainSink is a sink without a library.
type plainSink struct {
	conn  net.Conn
	queue chan transport.Message
}

func (s *plainSink) TrySend(m transport.Message) bool {
	select {
	case s.queue <- m:
		return true
	default:
		return false
	}
}

func (s *plainSink) Close(transport.Reason) { close(s.queue) }

func (s *plainSink) run(ctx context.Context, session *transport.Session) {
	for m := range s.queue {
		frame := append([]byte{0x81, 126, byte(len(m.Data) >> 8), byte(len(m.Data))}, m.Data...)
		if _, err := s.conn.Write(frame); err == nil {
			session.Sent(ctx, 1)
		}
	}
	session.Leave(ctx, 0, "over")
}

func benchNoLibrary(b *testing.B) {
	received, consoles := sockets(b)
	hub := transport.New(transport.Options{Log: emptyLog{}, Logger: slog.New(slog.DiscardHandler), Heartbeat: time.Minute})
	b.Cleanup(func() {
		if err := hub.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
	})
	for _, c := range consoles {
		session, err := hub.Open(b.Context(), transport.Subscription{Transport: transport.WebSocket, Shops: []doorbell.ShopID{1}})
		if err != nil {
			b.Fatal(err)
		}
		s := &plainSink{conn: c, queue: make(chan transport.Message, transport.Window+transport.Reserve)}
		session.Run(b.Context(), s)
		go s.run(context.Background(), session)
	}
	<-received.reached
	benchHub(b, hub, received)
}

// benchHub delivers to the consoles of hub, which have received hello.
func benchHub(b *testing.B, hub *transport.Hub, received *tally) {
	b.Helper()
	a := doorbell.Alert{Type: doorbell.NewOrder, Shop: 1, OrderID: 1, Number: "1001", Content: strings.Repeat("x", 60), Source: doorbell.FromOrder, Time: time.Now(), Link: doorbell.Link{Epoch: "bench"}}
	report := perDelivery(b)
	for b.Loop() {
		a.Seq++
		received.expect(consolesOfBench)
		hub.Deliver([]doorbell.Alert{a})
		<-received.reached
	}
	report()
}

func benchFloor(b *testing.B) {
	received, consoles := sockets(b)
	frame := []byte(strings.Repeat("x", 200) + "}")
	received.expect(-consolesOfBench) // no hellos
	report := perDelivery(b)
	for b.Loop() {
		received.expect(consolesOfBench)
		for _, c := range consoles {
			if _, err := c.Write(frame); err != nil {
				b.Fatal(err)
			}
		}
		<-received.reached
	}
	report()
}

func benchDeliver(b *testing.B, head string) {
	hub := transport.New(transport.Options{Log: emptyLog{}, Logger: slog.New(slog.DiscardHandler), Heartbeat: time.Minute})
	carried := handlers.Transports{WebSocket: ws.New(time.Minute), SSE: sse.New(time.Minute), Poll: poll.Transport{}}
	s := newEdge(b, handlers.Options{Streams: handlers.Streams{Hub: hub, Transports: carried, Heartbeat: time.Minute}})
	b.Cleanup(func() {
		ctx := context.Background()
		if err := errors.Join(hub.Shutdown(ctx), carried.WebSocket.Shutdown(ctx), carried.SSE.Shutdown(ctx)); err != nil {
			b.Error(err)
		}
	})
	addr := strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), "/")
	request := head + "Host: " + addr + "\r\nAuthorization: Bearer " + s.token(doorbell.RoleConsole, "bench", 1) + "\r\n\r\n"
	received := listeners(b, addr, request, consolesOfBench)
	<-received.reached
	benchHub(b, hub, received)
}

// BenchmarkPoll measures a long poll that finds ten alerts: a polling console does
// nothing but repeat this.
func BenchmarkPoll(b *testing.B) {
	s := newServer(b)
	for i := range 10 {
		s.raise(1, doorbell.NewOrder, int64(i+1), "")
	}
	token := s.token(doorbell.RoleConsole, "bench", 1)
	client := &http.Client{}
	b.Cleanup(client.CloseIdleConnections)
	b.ReportAllocs()
	for b.Loop() {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url+"poll?shops=1&after=0", nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		if text := answerTo(b, client, req); bytes.Count(text, []byte(`"seq":`)) != 10 {
			b.Fatalf("%s", text)
		}
	}
}

// answerTo returns the body of a 2xx answer.
func answerTo(b *testing.B, client *http.Client, req *http.Request) []byte {
	b.Helper()
	res, err := client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 {
		b.Fatal(res.Status, err)
	}
	return text
}

// BenchmarkRaise measures an alert through the whole server, from router and token
// to the commit, with one caller.
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
		answerTo(b, client, req)
	}
}
