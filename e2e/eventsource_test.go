package e2e

import (
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"doorbell/transport/transporttest"
)

// hold keeps the listening socket as systemd does, and restarts the server with
// it: no connection is refused in between.
func (s *server) hold(t *testing.T) {
	t.Helper()
	s.stop(syscall.SIGTERM)
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	if s.hand, err = ln.(*net.TCPListener).File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close(); _ = s.hand.Close() })
	s.start()
}

// stallOne connects a console that never reads, and fills its socket, so that a
// stop waits for it.
func (s *server) stallOne(t *testing.T) (alerts int) {
	t.Helper()
	stalled, err := transporttest.DialWebSocket(s.base, transporttest.Dial{Token: s.token("console", "--shops", "1"), SmallBuffer: true, SID: "stalled"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stalled.Close)
	service := s.token("service", "--shops", "1")
	const n = 300
	for i := range n {
		body := map[string]any{"type": 3, "shopId": 1, "orderId": i + 1, "content": strings.Repeat("菜", 500)}
		if status, answer := s.call("POST", "api/v1/alerts", service, body); status != 201 {
			t.Fatalf("%d %v", status, answer)
		}
	}
	return n
}

// TestNativeEventSourceOutlivesAStop: while a console that does not read makes the
// stop wait, a browser's own EventSource reconnects. It must survive until the
// next server, although it never reconnects after a status other than 200. Behind
// nginx this needs a held socket, because otherwise nginx itself answers.
func TestNativeEventSourceOutlivesAStop(t *testing.T) {
	pass := `location / { proxy_pass http://doorbell; proxy_set_header Host $http_host; proxy_buffering off; }`
	for _, c := range []struct {
		name        string
		nginx, held bool
	}{
		{name: "direct"},
		{name: "direct, the socket held", held: true},
		{name: "behind nginx, the socket held", nginx: true, held: true},
		{name: "behind nginx", nginx: true}, // README says so
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startServer(t, "DOORBELL_PAY_TRIAL=true")
			if c.held {
				s.hold(t)
			}
			base := s.base
			if c.nginx {
				base = startNginx(t, s.addr, pass)
			}
			p := openPage(t, strings.Replace(s.link(), s.base, base, 1))
			eventually(t, "signed in", func() bool { return p.js(`document.getElementById('link')?.dataset.state`) == "open" })
			p.openNatives(t)
			want := strconv.Itoa(s.stallOne(t))
			s.stop(syscall.SIGTERM)
			if got := p.js(`native.map((n) => n.byes).join()`); !strings.ContainsAny(got, "23456789") {
				t.Errorf("told bye %s times: none came back while the stop waited", got)
			}
			if c.nginx && !c.held {
				eventually(t, "nginx's 502 ends all three for good", func() bool {
					return p.js(`native.every((n) => n.es.readyState === EventSource.CLOSED)`) == "true"
				})
				return
			}
			s.start()
			eventually(t, "all are back by themselves", func() bool {
				if p.js(`native.some((n) => n.es.readyState === EventSource.CLOSED)`) == "true" {
					t.Fatalf("an EventSource has given up: hellos and byes %s", p.js(`native.map((n) => n.hellos + '/' + n.byes).join()`))
				}
				return p.js(`native.every((n) => n.es.readyState === EventSource.OPEN && n.hellos > n.byes)`) == "true"
			})
			eventually(t, "each alert has come once", func() bool {
				return p.js(`native.map((n) => n.alerts.join()).join()`) == p.js(`[1, 2, 3].map(() => Array.from({length: `+want+`}, (_, i) => i + 1).join()).join()`)
			})
		})
	}
}

// openNatives opens three native EventSources, and counts their events.
func (p *page) openNatives(t *testing.T) {
	t.Helper()
	if _, err := p.Eval(`() => {
		window.native = [1, 2, 3].map(() => {
			const told = {es: new EventSource('events?after=0'), hellos: 0, byes: 0, alerts: []};
			told.es.addEventListener('hello', () => told.hellos++);
			told.es.addEventListener('bye', () => told.byes++);
			told.es.onmessage = (e) => told.alerts.push(JSON.parse(e.data).seq);
			return told;
		});
	}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all have begun", func() bool { return p.js(`native.every((n) => n.hellos === 1)`) == "true" })
}

// TestNativeEventSourceOutlivesARefusal: an EventSource above the limit tries
// again by itself until there is room.
func TestNativeEventSourceOutlivesARefusal(t *testing.T) {
	s := startServer(t, "DOORBELL_PAY_TRIAL=true", "DOORBELL_LIMITS_STREAMS_PER_SHOP=2")
	p := openPage(t, s.link())
	p.waitLink("websocket")
	if _, err := p.Eval(`() => {
		window.native = [1, 2].map(() => {
			const told = {es: new EventSource('events'), hellos: 0, byes: 0};
			told.es.addEventListener('hello', () => told.hellos++);
			told.es.addEventListener('bye', () => told.byes++);
			return told;
		});
	}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one is in, and the other is told", func() bool {
		return p.js(`native.filter((n) => n.hellos === 1).length === 1 && native.filter((n) => n.byes === 1).length === 1`) == "true"
	})
	p.js(`native.find((n) => n.hellos === 1).es.close()`)
	eventually(t, "the other is in by itself", func() bool {
		return p.js(`native.some((n) => n.byes >= 1 && n.hellos === 1 && n.es.readyState === EventSource.OPEN)`) == "true"
	})
}
