package handlers_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"doorbell/handlers"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
	"doorbell/transport/transporttest"
)

func (s *testServer) streams() (n int) {
	for _, c := range s.Hub.Streams() {
		n += c
	}
	return n
}

// TestAStalledConsoleIsCut: its socket accepts nothing more for the write timeout,
// so it is cut; it reconnects and gets everything.
func TestAStalledConsoleIsCut(t *testing.T) {
	for _, tr := range transporttest.Transports()[:2] {
		t.Run(tr.Name, func(t *testing.T) {
			s := newServer(t, func(c *config.Config) { c.Stream.WriteTimeout = 2 * time.Second })
			token := s.token(doorbell.RoleConsole, "till", 1)
			stalled, err := tr.Dial(s.url, transporttest.Dial{Token: token, SmallBuffer: true, SID: "stalled"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(stalled.Close)
			testrun.Eventually(t, "connected", func() bool { return s.streams() == 1 })
			const n = 400
			for range n {
				s.raise(1, doorbell.NewOrder, 1, strings.Repeat("x", 500))
			}
			testrun.Eventually(t, "the stalled console is ended", func() bool { return s.streams() == 0 })
			testrun.Eventually(t, "the log says why", func() bool { // written after the console was removed
				logs := s.Log.String()
				return strings.Contains(logs, "sid=stalled") && strings.Contains(logs, "reason=slow")
			})
			back, err := tr.Dial(s.url, transporttest.Dial{Token: token, Query: "after=0"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(back.Close)
			for want := int64(0); want <= n; want++ { // hello, then 1 to n
				m, err := back.Next()
				if err != nil || m.Seq != want {
					t.Fatalf("got %s, %v; want seq %d", m.Raw, err, want)
				}
			}
		})
	}
}

// TestAConsoleThatAnswersNoPingIsCut: two heartbeats and 5 s.
func TestAConsoleThatAnswersNoPingIsCut(t *testing.T) {
	s := newServer(t)
	stream, err := transporttest.DialWebSocket(s.url, transporttest.Dial{Token: s.token(doorbell.RoleConsole, "till", 1), Query: "heartbeat=1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stream.Close)
	// Nobody reads, so nobody answers the pings; little is sent, so no write blocks.
	testrun.Eventually(t, "connected", func() bool { return s.streams() == 1 })
	testrun.Eventually(t, "ended", func() bool { return s.streams() == 0 })
	// Written after the console was removed.
	testrun.Eventually(t, "the log says why", func() bool { return strings.Contains(s.Log.String(), "code=1013") })
}

// TestStreamsEndWithTheirRight: when the token ends, and at sign-out.
func TestStreamsEndWithTheirRight(t *testing.T) {
	for _, tr := range transporttest.Transports()[:2] {
		t.Run(tr.Name, func(t *testing.T) {
			s := newServer(t)
			short, err := s.Tokens.Issue(doorbell.Grant{
				Subject: "till", Role: doorbell.RoleConsole, Shops: doorbell.ShopSet{List: []doorbell.ShopID{1}}, Expires: time.Now().Add(2 * time.Second),
			})
			if err != nil {
				t.Fatal(err)
			}
			stream, err := tr.Dial(s.url, transporttest.Dial{Token: short})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(stream.Close)
			wantBye(t, stream, tr.Name)
		})
	}
	t.Run("sign out", func(t *testing.T) {
		s := newServer(t)
		cookie := cookieOf(t, s.do("POST", "login", `{"token":"`+s.token(doorbell.RoleConsole, "till", 1)+`"}`))
		ended := make(chan reply, 1)
		go func() { ended <- s.do("GET", "events", "", "Cookie", cookie) }()
		testrun.Eventually(t, "the stream runs", func() bool { return s.streams() == 1 })
		s.do("POST", "logout", `{}`, "Cookie", cookie).want(t, "logout", 204, "")
		if got := <-ended; !strings.Contains(got.body, `"event":"bye","reason":"auth"`) {
			t.Errorf("the stream ended with %s, want bye with reason auth", got.body)
		}
	})
}

func wantBye(t *testing.T, stream transporttest.Stream, name string) {
	t.Helper()
	for {
		m, err := stream.Next()
		if m.Event == "bye" && m.Reason == "auth" {
			_, err := stream.Next()
			if code := transporttest.CloseError(err); name == "websocket" && code != 4401 || err == nil {
				t.Errorf("after bye: %v, want the end (4401 on WebSocket)", err)
			}
			return
		}
		if err != nil {
			t.Fatalf("ended with %v before bye", err)
		}
	}
}

func TestAnnouncements(t *testing.T) {
	s := newServer(t)
	token := s.token(doorbell.RoleConsole, "till", 1)
	var streams []transporttest.Stream
	for _, d := range []transporttest.Dial{{Token: token}, {Token: s.token(doorbell.RoleConsole, "two", 2)}} {
		stream, err := transporttest.DialWebSocket(s.url, d)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stream.Close)
		if m, err := stream.Next(); err != nil || m.Event != "hello" {
			t.Fatalf("%s, %v", m.Raw, err)
		}
		streams = append(streams, stream)
	}
	service := s.token(doorbell.RoleService, "backend", 1, 2)
	one := s.as(service, "POST", "api/v1/announcements", `{"text":"打烊了","shops":[1]}`).want(t, "to shop 1", 202, "")
	all := s.as(service, "POST", "api/v1/announcements", `{"text":"<b>all</b>"}`).want(t, "to all", 202, "")
	if one.field("consoles") != "1" || all.field("consoles") != "2" {
		t.Errorf("reached %s and %s consoles, want 1 and 2", one.body, all.body)
	}
	s.as(service, "POST", "api/v1/announcements", `{"text":"x","shops":[3]}`).want(t, "to a foreign shop", 403, "forbidden")
	s.as(token, "POST", "api/v1/announcements", `{"text":"x"}`).want(t, "by a console", 403, "forbidden")
	if m, err := streams[0].Next(); err != nil || m.Event != "announce" || !strings.Contains(m.Raw, "打烊了") {
		t.Errorf("shop 1 heard %s, %v", m.Raw, err)
	}
	if m, err := streams[1].Next(); err != nil || m.Event != "announce" || strings.Contains(m.Raw, "打烊了") {
		t.Errorf("shop 2 heard %s, %v; want only what is for all", m.Raw, err)
	}
}

// TestUpgradeNeeded: a plain GET of /ws is answered with the protocol to use.
func TestUpgradeNeeded(t *testing.T) {
	s := newServer(t)
	s.as(s.token(doorbell.RoleConsole, "x", 1), "GET", "ws", "").want(t, "GET /ws", 426, "upgrade_required")
}

// TestSkyOpen: admits a plain page to shop 1, and nobody to anything else.
func TestSkyOpen(t *testing.T) {
	s := newServer(t, func(c *config.Config) { c.Sky.Open = true })
	plain, err := transporttest.DialWebSocket(s.url, transporttest.Dial{Plain: true, SID: "0.8w1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plain.Close)
	testrun.Eventually(t, "connected", func() bool { return s.streams() == 1 })
	s.raise(2, doorbell.NewOrder, 1, "not for shop 1")
	s.raise(1, doorbell.NewOrder, 1, "for shop 1")
	if m, err := plain.Next(); err != nil || m.Shop != 1 {
		t.Errorf("got %s, %v; want the alert of shop 1", m.Raw, err)
	}
	login := s.do("POST", "login", `{"token":"`+s.token(doorbell.RoleConsole, "till", 1)+`"}`)
	ended := cookieOf(t, login)
	s.do("POST", "logout", "{}", "Cookie", ended).want(t, "logout", 204, "")
	for name, cookie := range map[string]string{"ended": ended, "unknown": handlers.Cookie + "=x"} {
		if got := s.handshakeStatus("Cookie", cookie); got != 101 {
			t.Errorf("with the cookie of a session that is %s: %d, want 101 as without", name, got)
		}
	}
	for name, d := range map[string]transporttest.Dial{
		"another shop": {Plain: true, Query: "shops=2"}, "with events": {},
		"another page": {Plain: true, Origin: "https://evil.example"},
	} {
		if _, err := transporttest.DialWebSocket(s.url, d); err == nil {
			t.Errorf("%s: admitted", name)
		}
	}
	stray, err := transporttest.DialWebSocket(s.url, transporttest.Dial{Plain: true, Token: "bad"})
	if err != nil {
		t.Fatalf("beside a stray token: %v", err) // their page can't help what a proxy adds
	}
	stray.Close()
	s.do("GET", "events", "").want(t, "SSE without a token", 401, "token_missing")
	s.do("GET", "api/v1/alerts?shop=1", "").want(t, "the API without a token", 401, "token_missing")
}

// TestHTTP2: a stream on a shared connection can't be taken over; net/http serves
// it.
func TestHTTP2(t *testing.T) {
	s := newServer(t)
	hs := httptest.NewUnstartedServer(s.Edge)
	hs.EnableHTTP2 = true
	hs.StartTLS()
	t.Cleanup(hs.Close)
	s.raise(1, doorbell.NewOrder, 1, "kept")
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, hs.URL+"/events?after=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token(doorbell.RoleConsole, "till", 1))
	res, err := hs.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // left
	if res.ProtoMajor != 2 || res.StatusCode != http.StatusOK {
		t.Fatalf("%s %d, want HTTP/2 200", res.Proto, res.StatusCode)
	}
	testrun.Eventually(t, "the stream runs", func() bool { return s.streams() == 1 })
	s.raise(1, doorbell.NewOrder, 2, "live")
	lines := bufio.NewScanner(res.Body)
	for _, want := range []string{`"event":"hello"`, `"content":"kept"`, `"content":"live"`} {
		for lines.Scan() && !strings.Contains(lines.Text(), want) {
		}
		if !strings.Contains(lines.Text(), want) {
			t.Errorf("the stream ended before %s: %v", want, lines.Err())
		}
	}
	leave()
	testrun.Eventually(t, "the stream has ended", func() bool { return s.streams() == 0 })
}
