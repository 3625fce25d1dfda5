package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"doorbell/internal/payment/wechat"
	"doorbell/transport/transporttest"
)

// evil is a client that deliberately keeps a connection busy.
type evil struct {
	name string
	head string // sent at once
	drip string // sent repeatedly, a piece each tenth of a second
	read bool   // reads what comes
}

// TestEvilHTTP: clients that send and read as slowly as they can, and floods of
// forgeries and bad tokens, delay no callback; the slow clients are cut.
func TestEvilHTTP(t *testing.T) {
	t.Parallel()
	rng := transporttest.Seeded(t)
	each := transporttest.Size(t, "DOORBELL_TEST_EVIL", 25) // connections of each kind
	w := newWorld(t, 4, 4, rng)
	fat := strings.Repeat("x", 500)
	for i := range 500 { // an answer that no socket buffer holds
		status, answer := w.s.call("POST", "api/v1/alerts", w.service, map[string]any{"type": 2, "shopId": 1, "orderId": i + 1, "content": fat})
		if status != http.StatusCreated {
			t.Fatalf("raise: %d %v", status, answer)
		}
	}
	host := "Host: " + w.s.addr + "\r\n"
	auth := host + "Authorization: Bearer " + w.service + "\r\n"
	history := "GET /api/v1/alerts?shop=1&limit=500 HTTP/1.1\r\n" + auth + "\r\n"
	kinds := []evil{
		{name: "says nothing", read: true},
		{name: "drips headers", head: "GET / HTTP/1.1\r\nHost: x\r\nX-A: ", drip: "a", read: true},
		{name: "drips a callback", head: "POST /pay/wechat HTTP/1.1\r\n" + host + "Content-Length: 9000\r\n\r\n", drip: "{", read: true},
		{name: "drips chunks without a token", head: "POST /api/v1/orders HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", drip: "1\r\n{\r\n", read: true},
		{name: "drips a body that nobody reads", head: "POST /api/v1/orders/1/accept HTTP/1.1\r\n" + auth + "Content-Length: 9000\r\n\r\n", drip: "{", read: true},
		{name: "reads no history", head: history, drip: history},
		{name: "reads no poll", head: "", drip: "GET /poll?after=0&wait=0&limit=500 HTTP/1.1\r\n" + auth + "\r\n"},
		{name: "reads no refusal", head: "", drip: strings.Repeat("GET /ws HTTP/1.1\r\n"+host+"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", 50)},
	}
	took := make([][]time.Duration, len(kinds))
	var all sync.WaitGroup
	var mu sync.Mutex
	for i, k := range kinds {
		for range each {
			all.Go(func() {
				d, err := k.hold(w.s.addr)
				if err != nil {
					t.Errorf("%s: %v", k.name, err)
				}
				mu.Lock()
				defer mu.Unlock()
				took[i] = append(took[i], d)
			})
		}
	}
	flooding := make(chan struct{})
	var floods sync.WaitGroup
	for range 4 {
		floods.Go(func() { flood(w, flooding) })
	}
	all.Wait()
	close(flooding)
	floods.Wait()
	w.mu.Lock()
	refused, refusal := w.refused, w.refusal
	w.mu.Unlock()
	if refused > 0 {
		t.Errorf("%d genuine callbacks were not taken at once: %v", refused, refusal)
	}
	for i, k := range kinds {
		var worst time.Duration
		for _, d := range took[i] {
			worst = max(worst, d)
		}
		t.Logf("%s: cut after at most %v", k.name, worst.Round(time.Millisecond))
		if worst > patience {
			t.Errorf("%s: held a connection for %v, want at most %v", k.name, worst, patience)
		}
	}
	w.finish()
}

// patience is how long a slow client may stay: the server's 10 s, and an allowance
// for two busy cores.
const patience = 15 * time.Second

// hold stalls until the server ends the connection, and returns how long that
// took.
func (e evil) hold(addr string) (time.Duration, error) {
	small := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var fault error // set before connecting: a window that shrinks later confuses both sides
		err := raw.Control(func(fd uintptr) { fault = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
		return errors.Join(err, fault)
	}}
	c, err := small.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close() //nolint:errcheck // over
	ended := make(chan struct{})
	if e.read {
		go func() {
			_, _ = io.Copy(io.Discard, c) // until the server ends it
			close(ended)
		}()
	}
	if _, err := io.WriteString(c, e.head); err != nil {
		return 0, err
	}
	began, rest := time.Now(), ""
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return time.Since(began), nil
		case <-tick.C:
		}
		if time.Since(began) > 2*patience {
			return time.Since(began), errors.New("was never cut")
		}
		if rest == "" {
			rest = e.drip
		}
		if err := c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			return 0, err
		}
		n, err := io.WriteString(c, rest)
		rest = rest[n:]
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return time.Since(began), nil
		}
	}
}

// flood sends forgeries and bad tokens one after the other.
func flood(w *world, until <-chan struct{}) {
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	forged, err := w.platform.Sign(wechat.Notice{Content: w.platform.Payment("FORGED", "TF", 1)})
	if err != nil {
		w.t.Error(err)
		return
	}
	forged.Header.Set("Wechatpay-Signature", "AAAA")
	for i := 0; ; i++ {
		select {
		case <-until:
			return
		default:
		}
		req, err := forged.Request(w.s.base + "pay/wechat")
		if err == nil && i%2 == 0 {
			req, err = http.NewRequest(http.MethodGet, w.s.base+fmt.Sprintf("api/v1/alerts?shop=%d", i), nil)
			req.Header.Set("Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.AAAA")
		}
		if err != nil {
			w.t.Error(err)
			return
		}
		pause(w.closing, time.Millisecond)
		res, err := client.Do(req)
		if err != nil {
			continue // only genuine requests must succeed
		}
		_, _ = io.Copy(io.Discard, res.Body) // keeps the connection
		_ = res.Body.Close()
		if res.StatusCode < 400 {
			w.t.Errorf("a flood was answered %d", res.StatusCode)
			return
		}
	}
}
