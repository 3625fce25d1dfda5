package server

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"doorbell/handlers"
	"doorbell/internal/testrun"
	"doorbell/transport/transporttest"
)

// startFront serves on loopback, whose addresses are counted here as a
// stranger's would be.
func startFront(t *testing.T, limit int, handler http.Handler) (*visitors, string) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := newVisitors(limit, nil)
	v.counts = func(netip.Addr) bool { return true }
	f := newFront(ln, handler, v, slog.New(slog.DiscardHandler), nil)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- f.serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := f.endAccepting(context.Background()); err != nil {
			t.Error(err)
		}
		if err := f.server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return v, ln.Addr().String()
}

func (c *visitors) count() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range c.open {
		n += of
	}
	return n
}

// TestConnectionsOfAnAddress: up to the limit they are served; a few more are
// told; what comes beyond is closed at once; and what ends makes room.
func TestConnectionsOfAnAddress(t *testing.T) {
	const limit = 5
	told := make(chan bool, 2*limit+crowdTold)
	v, addr := startFront(t, limit, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		told <- handlers.Crowd(r) != nil
	}))
	dial := func() (net.Conn, error) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			t.Cleanup(func() { _ = c.Close() })
		}
		return c, err
	}
	ask := func(c net.Conn) error {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			err = res.Body.Close()
		}
		return err
	}
	conns := make([]net.Conn, limit+crowdTold)
	for i := range conns {
		var err error
		if conns[i], err = dial(); err == nil {
			err = ask(conns[i])
		}
		if err != nil {
			t.Fatalf("connection %d: %v", i+1, err)
		}
		if tooMany := <-told; tooMany != (i >= limit) {
			t.Fatalf("connection %d of %d: told that it is one too many: %v", i+1, limit, tooMany)
		}
	}
	if c, err := dial(); err == nil && ask(c) == nil { // it may be closed before dial returns
		t.Errorf("connection %d is served", len(conns)+1)
	}
	if n := v.count(); n != len(conns) {
		t.Errorf("%d are counted, want %d", n, len(conns))
	}
	for _, c := range conns {
		_ = c.Close()
	}
	testrun.Eventually(t, "none is counted", func() bool { return v.count() == 0 })
	c, err := dial()
	if err == nil {
		err = ask(c)
	}
	if err != nil || <-told {
		t.Errorf("the next one is refused: %v", err)
	}
}

// TestNoConnectionStaysCounted: connections die in every state, by either side,
// before and after a handler has taken them over.
func TestNoConnectionStaysCounted(t *testing.T) {
	rng := transporttest.Seeded(t)
	var mu sync.Mutex
	roll := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(n)
	}
	v, addr := startFront(t, 20, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch roll(4) {
		case 0:
			panic(http.ErrAbortHandler)
		case 1:
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			if roll(2) == 0 {
				_, _ = io.WriteString(c, "taken over")
			}
			_ = c.Close()
			_ = c.Close() // twice counts once
		case 2:
			_, _ = io.Copy(io.Discard, r.Body)
		default:
			_, _ = io.WriteString(w, "x")
		}
	}))
	requests := []string{"", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "nonsense\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range transporttest.Size(t, "DOORBELL_TEST_CYCLES", 1000) / 8 {
				c, err := net.Dial("tcp", addr)
				if err != nil { // reset already: one too many
					continue
				}
				if roll(2) == 0 {
					_ = c.(*net.TCPConn).SetLinger(0) // leaves by a reset
				}
				_, _ = io.Copy(c, strings.NewReader(strings.Repeat(requests[roll(len(requests))], 1+roll(2))))
				if roll(2) == 0 {
					_ = c.SetReadDeadline(time.Now().Add(time.Duration(roll(3)) * time.Millisecond))
					_, _ = c.Read(make([]byte, 8))
				}
				_ = c.Close()
			}
		})
	}
	all.Wait()
	testrun.Eventually(t, "none is counted", func() bool { return v.count() == 0 && len(v.open) == 0 })
}

// TestWhoIsAClient: a proxy, this machine and a Unix socket are none; an IPv6
// client has a network.
func TestWhoIsAClient(t *testing.T) {
	v := newVisitors(1, []string{"10.0.0.0/8", "2001:db8:ffff::1"})
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }
	for _, c := range []struct {
		name  string
		addr  net.Addr
		count int
	}{
		{"a stranger", tcp("203.0.113.7"), 1},
		{"again, as IPv6 writes it", tcp("::ffff:203.0.113.7"), 2},
		{"another", tcp("203.0.113.8"), 1},
		{"this machine", tcp("127.0.0.1"), 0},
		{"this machine by IPv6", tcp("::1"), 0},
		{"a trusted network", tcp("10.9.8.7"), 0},
		{"a trusted address", tcp("2001:db8:ffff::1"), 0},
		{"an IPv6 client", tcp("2001:db8::1"), 1},
		{"another address of its network", tcp("2001:db8::ffff"), 2},
		{"a Unix socket", &net.UnixAddr{Name: "@"}, 0},
	} {
		if _, n := v.come(c.addr); n != c.count {
			t.Errorf("%s: counted %d, want %d", c.name, n, c.count)
		}
	}
}
