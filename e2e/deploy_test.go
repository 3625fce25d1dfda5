package e2e

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"doorbell/transport/transporttest"
)

// TestRollingRestarts replaces the server again and again under load, and hands
// the listening socket over as systemd does: no callback is refused.
func TestRollingRestarts(t *testing.T) {
	t.Parallel()
	rng := transporttest.Seeded(t)
	restarts := transporttest.Size(t, "DOORBELL_TEST_RESTARTS", 10)
	bin, err := plainBinary()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() }) // the test is over
	hand, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	s := &server{t: t, bin: bin, addr: addr, base: "http://" + addr + "/", dir: t.TempDir(), hand: hand}
	s.start()
	t.Cleanup(func() { s.stop(syscall.SIGTERM) })
	w := loadOn(t, s, 6, 8, rng, func(s *server) string { return s.base })
	for range restarts {
		pause(t.Context(), time.Duration(100+rng.IntN(300))*time.Millisecond)
		w.s.stop(syscall.SIGTERM)
		w.s.start()
		w.catchUp()
	}
	w.finish()
	if w.refused > 0 {
		t.Errorf("%d callbacks were refused during %d restarts, want none; the last by %v", w.refused, restarts, w.refusal)
	}
	t.Logf("%d restarts, %d callbacks refused", restarts, w.refused)
}

// crowd is many consoles of shop 1 that only count.
type crowd struct {
	t     *testing.T
	s     *server
	token string
	seen  []atomic.Int64 // the last seq of each
	gaps  atomic.Int64
	stop  chan struct{}
	wait  sync.WaitGroup

	latencies latencies
}

// gather connects n consoles, half over WebSocket and half over SSE, which
// reconnect by themselves.
func gather(t *testing.T, s *server, n int) *crowd {
	t.Helper()
	c := &crowd{t: t, s: s, token: s.token("console", "--shops", "1"), seen: make([]atomic.Int64, n), stop: make(chan struct{})}
	for i := range n {
		c.wait.Go(func() { c.follow(i) })
	}
	t.Cleanup(func() {
		close(c.stop)
		c.wait.Wait()
	})
	return c
}

func (c *crowd) follow(i int) {
	epoch := ""
	for {
		query := "after=0"
		if epoch != "" {
			query = fmt.Sprintf("after=%s.1:%d", epoch, c.seen[i].Load())
		}
		stream, err := transporttest.Transports()[i%2].Dial(c.s.base, transporttest.Dial{Token: c.token, Query: query + "&heartbeat=3"})
		if err == nil {
			ended := make(chan struct{})
			go func() {
				select {
				case <-c.stop:
				case <-ended:
				}
				stream.Close()
			}()
			for {
				m, err := stream.Next()
				if err != nil {
					break
				}
				if m.Event == "hello" {
					epoch = m.Epoch
				}
				if m.Event != "" {
					continue
				}
				if m.Seq != c.seen[i].Add(1) {
					c.gaps.Add(1)
				}
				c.latencies.note(m.Time)
			}
			close(ended)
		}
		select {
		case <-c.stop:
			return
		case <-time.After(time.Duration(100+i%900) * time.Millisecond): // spread, as bye asks
		}
	}
}

// have reports whether every console has seen seq.
func (c *crowd) have(seq int64) bool {
	for i := range c.seen {
		if c.seen[i].Load() < seq {
			return false
		}
	}
	return true
}

// TestStorm: all consoles reconnect at once after a restart and catch up.
func TestStorm(t *testing.T) {
	consoles := transporttest.Size(t, "DOORBELL_TEST_STORM", 3000)
	bin, err := plainBinary()
	if err != nil {
		t.Fatal(err)
	}
	s := startBinary(t, bin)
	c := gather(t, s, consoles)
	s.run("simulate", "--orders", "5", "--pause", "0s")
	eventually(t, "all consoles are connected", func() bool { return c.have(5) })
	s.stop(syscall.SIGTERM)
	s.start()
	began := time.Now()
	s.run("simulate", "--orders", "5", "--pause", "0s")
	eventually(t, "all consoles are back and have caught up", func() bool { return c.have(10) })
	took := time.Since(began)
	if limit := time.Duration(transporttest.Size(t, "DOORBELL_TEST_STORM_S", 30)) * time.Second; took > limit {
		t.Errorf("%d consoles took %v, want at most %v", consoles, took, limit)
	}
	if n := c.gaps.Load(); n > 0 {
		t.Errorf("%d alerts came out of turn", n)
	}
	t.Logf("%d consoles back and caught up %v after the server listened", consoles, took.Round(time.Millisecond))
}

// countSlow counts the consoles that were cut for not reading.
func countSlow(log string) (n int) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "sid=stalled") && strings.Contains(line, "reason=slow") {
			n++
		}
	}
	return n
}
