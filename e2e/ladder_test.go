package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"doorbell/transport/transporttest"
)

// faults are what a proxy does to WebSocket and event streams.
type faults struct {
	hangs  bool // an upgrade is never answered
	silent bool // an upgrade is answered, and nothing comes after
	holds  bool // an event stream is held back
}

// startFaulty starts a proxy with these faults.
func startFaulty(t *testing.T, upstream string, f faults) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		conns.Wait()
	})
	conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			conns.Go(func() { f.pass(c, upstream) })
		}
	})
	return "http://" + ln.Addr().String() + "/"
}

// pass handles one connection, with one request.
func (f faults) pass(c net.Conn, upstream string) {
	defer c.Close() //nolint:errcheck // over
	in := bufio.NewReader(c)
	req, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	switch {
	case strings.EqualFold(req.Header.Get("Upgrade"), "websocket"):
		if f.silent {
			sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
			_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: doorbell.v1\r\n\r\n",
				base64.StdEncoding.EncodeToString(sum[:]))
		}
		if f.hangs || f.silent {
			_, _ = io.Copy(io.Discard, in) // until the browser gives up
			return
		}
	case f.holds && strings.HasPrefix(req.URL.Path, "/events"):
		_, _ = io.Copy(io.Discard, in)
		return
	}
	req.Header.Set("Connection", "close")
	req.Close = true
	up, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	defer up.Close() //nolint:errcheck // over
	if req.Write(up) != nil {
		return
	}
	go func() {
		_, _ = in.ReadByte() // the browser leaves
		_ = up.Close()
	}()
	_, _ = io.Copy(c, up)
}

// TestLadderTimes: the time from the first dial until the console is live, on
// every kind of path. The goals are for an idle machine; a second more is allowed
// here, which still shows that no transport was waited for in vain.
func TestLadderTimes(t *testing.T) {
	s := startServer(t, "DOORBELL_SERVER_TRUSTED_PROXIES=", "DOORBELL_PAY_TRIAL=true")
	pass := `proxy_pass http://doorbell; proxy_set_header Host $http_host;`
	inner := startNginx(t, s.addr, `location / { `+pass+` }`)
	for _, c := range []struct {
		name, base, transport string
		goal                  time.Duration
	}{
		{"direct", s.base, "websocket", 300 * time.Millisecond},
		{"no Upgrade", inner, "sse", 300 * time.Millisecond},
		{"HAProxy", startHAProxy(t, s.addr), "websocket", 300 * time.Millisecond},
		{"two nginx in a row", startNginx(t, strings.TrimSuffix(strings.TrimPrefix(inner, "http://"), "/"), `location / { `+pass+` }`), "poll", 1800 * time.Millisecond},
		{"a hung upgrade", startFaulty(t, s.addr, faults{hangs: true}), "sse", 1800 * time.Millisecond},
		{"a silent WebSocket", startFaulty(t, s.addr, faults{silent: true}), "sse", 1800 * time.Millisecond},
		{"a hung upgrade and held streams", startFaulty(t, s.addr, faults{hangs: true, holds: true}), "poll", 3300 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := openPage(t, strings.Replace(s.link(), s.base, c.base, 1))
			p.waitLink(c.transport)
			got := p.counts()
			live := time.Duration(got.LiveAt-got.DialAt) * time.Millisecond
			t.Logf("%s: live over %s %v after the first dial (goal %v)", c.name, c.transport, live, c.goal)
			if got.DialAt == 0 || live > c.goal+time.Second {
				t.Errorf("live after %v, want %v", live, c.goal)
			}
		})
	}
}

// TestForcedSwitches: the stream is switched between transports 200 times while
// 5,000 alerts come: each arrives once, in order.
func TestForcedSwitches(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	switches := transporttest.Size(t, "DOORBELL_TEST_SWITCHES", 200)
	p := openPage(t, s.link())
	p.waitLink("websocket")
	alerts := switches * 25
	if _, err := p.Eval(`async () => {
		const { connect } = await import('./client.js');
		window.seqs = [];
		window.resets = 0;
		window.ladder = connect({ url: './', after: '0', storageKey: null, onAlert: (a) => seqs.push(a.seq), onReset: () => resets++ });
		window.switches = 0;
		const orders = [['websocket', 'sse', 'poll'], ['sse', 'poll', 'websocket'], ['poll', 'websocket', 'sse']];
		window.force = setInterval(() => {
			if (ladder.state.state !== 'open') return; // torn, and not back yet
			ladder.rungs = orders[++switches % 3];
			localStorage.removeItem('doorbell.rung ' + ladder.base);
			ladder.dial('forced');
		}, 60);
	}`); err != nil {
		t.Fatal(err)
	}
	service := s.token("service", "--shops", "1")
	var senders sync.WaitGroup
	const at = 8
	for k := range at {
		senders.Go(func() {
			for i := k; i < alerts; i += at {
				body := fmt.Sprintf(`{"type":3,"shopId":1,"orderId":%d,"content":"x"}`, i+1)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.base+"api/v1/alerts", bytes.NewReader([]byte(body)))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Authorization", "Bearer "+service)
				res, err := http.DefaultClient.Do(req)
				if err != nil || statusOf(res) != http.StatusCreated {
					t.Errorf("alert %d: %v", i, err)
					return
				}
			}
		})
	}
	senders.Wait()
	eventually(t, fmt.Sprintf("%d switches", switches), func() bool { return p.js(`String(switches >= `+fmt.Sprint(switches)+`)`) == "true" })
	p.js(`clearInterval(force)`)
	eventually(t, "all alerts have arrived", func() bool { return p.js(`seqs.length`) == fmt.Sprint(alerts) })
	if wrong := p.js(`seqs.findIndex((s, i) => s !== i + 1)`); wrong != "-1" {
		t.Errorf("alert %s is out of turn", wrong)
	}
	if resets := p.js(`resets`); resets != "0" {
		t.Errorf("%s resets, want none", resets)
	}
	t.Logf("%s switches, %d alerts", p.js(`switches`), alerts)
}

// TestRestartBehindNginx: 502 while the server restarts, and nothing is missed.
func TestRestartBehindNginx(t *testing.T) {
	t.Parallel()
	s := startServer(t, "DOORBELL_PAY_TRIAL=true")
	for _, upgrade := range []string{"", `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";`} {
		front := startNginx(t, s.addr, `location / { proxy_pass http://doorbell; proxy_set_header Host $http_host; `+upgrade+` }`)
		p := openPage(t, strings.Replace(s.link(), s.base, front, 1))
		transport := "sse"
		if upgrade != "" {
			transport = "websocket"
		}
		p.waitLink(transport)
		before := len(p.counts().Shown)
		s.stop(15)
		eventually(t, "offline", func() bool { return p.js(`document.getElementById('link').dataset.state`) != "open" })
		s.start()
		s.run("simulate", "--pause", "0s")
		eventually(t, "the order of after the restart", func() bool { return len(p.counts().Shown) == before+1 })
		p.waitLink(transport)
	}
}

// TestIdleCut: a proxy cuts connections that are silent for 5 s. After two cuts
// the console asks for a shorter heartbeat, and stays connected.
func TestIdleCut(t *testing.T) {
	t.Parallel()
	s := startServer(t, "DOORBELL_PAY_TRIAL=true")
	front := startNginx(t, s.addr, `location / { proxy_pass http://doorbell; proxy_set_header Host $http_host; proxy_read_timeout 5s; }`)
	p := openPage(t, strings.Replace(s.link(), s.base, front, 1))
	p.waitLink("sse")
	eventually(t, "it stays for longer than the proxy bears silence", func() bool {
		return p.js(`counted.state === 'open' && counted.changes >= 3 && Date.now() - counted.changedAt > 9000`) == "true"
	})
}

// TestOfflineAlarm: a disconnected console turns red within seconds, and sounds
// within 20 s.
func TestOfflineAlarm(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	p := openPage(t, s.link())
	p.waitLink("websocket")
	p.soundOn()
	tones := p.counts().Tones
	s.stop(syscall.SIGKILL)
	gone := time.Now().UnixMilli()
	eventually(t, "red", func() bool { return p.js(`document.getElementById('offline').hidden`) == "false" })
	p.shot("console-offline")
	eventually(t, "the alarm sounds", func() bool { return p.counts().Tones > tones })
	if took := p.counts().LastTone - gone; took > 23_000 { // 20 s, and what other tests take
		t.Errorf("the alarm sounded after %d ms", took)
	}
	s.start()
	p.waitLink("websocket")
}

// TestClimb: a console on a lower transport returns to WebSocket when the path
// allows it, without a gap; after three short-lived WebSockets it stops trying.
func TestClimb(t *testing.T) {
	t.Parallel()
	s := startServer(t, "DOORBELL_PAY_TRIAL=true")
	var refused, dies atomic.Bool
	refused.Store(true)
	front := startGate(t, s.addr, &refused, &dies)
	p := openPage(t, strings.Replace(s.link(), s.base, front, 1))
	if _, err := p.Eval(`async () => { Object.assign((await import('./static/client/ladder.js')).TIMES, {upgradeFirst: 700, upgradeLast: 700}); }`); err != nil {
		t.Fatal(err)
	}
	p.waitLink("sse")
	p.MustReload()
	if _, err := p.Eval(`async () => { Object.assign((await import('./static/client/ladder.js')).TIMES, {upgradeFirst: 700, upgradeLast: 700}); }`); err != nil {
		t.Fatal(err)
	}
	p.waitLink("sse")
	s.run("simulate", "--pause", "0s")
	eventually(t, "the first order", func() bool { return len(p.counts().Shown) == 1 })
	refused.Store(false)
	before := p.js(`counted.changes`)
	p.waitLink("websocket")
	if after := p.js(`counted.changes`); after != before {
		t.Errorf("the link changed its state from %s to %s times: it was broken before the other was made", before, after)
	}
	s.run("simulate", "--pause", "0s")
	eventually(t, "the second order", func() bool { return len(p.counts().Shown) == 2 })
	dies.Store(true) // each WebSocket ends a moment after its hello
	p.MustReload()
	p.waitLink("sse")
	s.run("simulate", "--pause", "0s")
	eventually(t, "all orders over what is left", func() bool { return len(p.counts().Shown) == 3 })
}

// startGate forwards everything except upgrades: it refuses them, or ends them
// early.
func startGate(t *testing.T, upstream string, refused, dies *atomic.Bool) string {
	t.Helper()
	target, err := url.Parse("http://" + upstream)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			if refused.Load() {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			if dies.Load() {
				ctx, cancel := context.WithTimeout(r.Context(), 300*time.Millisecond)
				defer cancel()
				r = r.WithContext(ctx)
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL + "/"
}
