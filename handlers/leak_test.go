package handlers_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
	"doorbell/transport/transporttest"
)

// openFiles counts this process's file descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestNothingLeaks connects and leaves in every state, cleanly and not:
// goroutines, descriptors, sessions and the limits' counts return to their start.
func TestNothingLeaks(t *testing.T) {
	rng := transporttest.Seeded(t)
	// Behind a proxy, so that clients' addresses are counted too; refused clients
	// must not stay counted either.
	s := newServer(t, func(c *config.Config) {
		c.Stream.WriteTimeout, c.Server.TrustedProxies = 2*time.Second, []string{"127.0.0.1"}
		c.Limits = config.Limits{ConnectionsPerAddress: 6, StreamsPerToken: 12, StreamsPerShop: 10}
	})
	cycles := transporttest.Size(t, "DOORBELL_TEST_CYCLES", 10000)
	token := s.token(doorbell.RoleConsole, "till", 1)
	s.raise(1, doorbell.NewOrder, 1, "x")
	s.abandonMany(rng, 2000, token) // opens what stays open: database connections, r3labs' streams
	testrun.Eventually(t, "all sessions are gone", func() bool { return s.streams() == 0 })
	var goroutines, files int
	testrun.Eventually(t, "the server is at rest", func() bool {
		was := [2]int{goroutines, files}
		goroutines, files = runtime.NumGoroutine(), openFiles(t)
		return was == [2]int{goroutines, files}
	})
	s.abandonMany(rng, cycles, token)
	testrun.Eventually(t, "all sessions are gone", func() bool { return s.streams() == 0 })
	testrun.Eventually(t, "the goroutines and the descriptors are back to where they were", func() bool {
		return runtime.NumGoroutine() <= goroutines+2 && openFiles(t) <= files+2
	})
	testrun.Eventually(t, "no stream is counted any more", func() bool { return s.seats() == [3]int{} })
	t.Logf("%d cycles: goroutines %d → %d, descriptors %d → %d", cycles, goroutines, runtime.NumGoroutine(), files, openFiles(t))
}

func (s *testServer) seats() [3]int {
	address, holder, shop := s.Hub.Seats()
	return [3]int{address, holder, shop}
}

func (s *testServer) abandonMany(rng *rand.Rand, cycles int, token string) {
	const workers = 16
	var all sync.WaitGroup
	for w := range workers {
		own := rand.New(rand.NewPCG(rng.Uint64(), uint64(w)))
		all.Go(func() {
			for range cycles / workers {
				if err := s.abandon(own, token); err != nil {
					s.t.Errorf("connect: %v", err)
					return
				}
				if own.IntN(50) == 0 {
					s.raise(1, doorbell.TakenCare, 1, "x")
				}
			}
		})
	}
	all.Wait()
}

// abandon makes one connection, brings it to a state and leaves it there.
func (s *testServer) abandon(rng *rand.Rand, token string) error {
	address := strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), "/")
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // left, one way or the other
	if rng.IntN(2) == 0 {
		if err := c.(*net.TCPConn).SetLinger(0); err != nil { // leaves by a reset
			return err
		}
	}
	auth := "Host: " + address + "\r\nAuthorization: Bearer " + token + "\r\nX-Forwarded-For: 203.0.113." + strconv.Itoa(rng.IntN(3)) + "\r\n"
	upgrade := "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: doorbell.v1\r\n"
	closing := string([]byte{0x88, 0x82, 0, 0, 0, 0, 3, 232})
	requests := []string{
		"", "GET /ev", "GET /events HTTP/1.1\r\n",
		"GET /ws HTTP/1.1\r\n" + auth + upgrade + "\r\n",
		"GET /ws?after=0 HTTP/1.1\r\n" + auth + upgrade + "\r\n",
		"GET /ws HTTP/1.1\r\n" + auth + upgrade + "\r\n" + closing,
		"GET /ws HTTP/1.1\r\n" + auth + upgrade + "\r\n" + "\x81\x85half",
		"GET /ws HTTP/1.1\r\n" + auth + upgrade + "Sec-WebSocket-Version: 8\r\n\r\n",
		"GET /ws HTTP/1.1\r\nHost: " + address + "\r\nOrigin: http://" + address + "\r\n" + upgrade + "\r\n",
		"GET /events HTTP/1.1\r\n" + auth + "\r\n",
		"GET /events?after=0 HTTP/1.1\r\n" + auth + "\r\n",
		"GET /events?after=0 HTTP/1.0\r\n" + auth + "\r\n",
		"GET /events?after=nonsense HTTP/1.1\r\n" + auth + "\r\n",
		"GET /poll?wait=60 HTTP/1.1\r\n" + auth + "\r\n",
		"GET /poll?after=0&wait=0 HTTP/1.1\r\n" + auth + "\r\n",
		"POST /login HTTP/1.1\r\n" + auth + "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
		"POST /pay/wechat HTTP/1.1\r\n" + auth + "Content-Length: 100\r\n\r\n{",
		"GET /api/v1/alerts?shop=1 HTTP/1.1\r\n" + auth + "\r\n",
	}
	if _, err := io.WriteString(c, requests[rng.IntN(len(requests))]); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if read := rng.IntN(3) * rng.IntN(300); read > 0 {
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, make([]byte, read)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return nil // the server was quicker
		}
	}
	return nil
}
