package handlers_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"doorbell/handlers"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
	"doorbell/transport"
	"doorbell/transport/transporttest"
)

// dialMany opens that many streams and keeps them open.
func (s *testServer) dialMany(t *testing.T, dial func(string, transporttest.Dial) (transporttest.Stream, error), n int, d transporttest.Dial) (leave func()) {
	t.Helper()
	var open []transporttest.Stream
	for i := range n {
		stream, err := dial(s.url, d)
		if err != nil {
			t.Fatalf("stream %d of %d: %v", i+1, n, err)
		}
		t.Cleanup(stream.Close)
		open = append(open, stream)
	}
	return open[0].Close
}

// TestOneTooManyIsRefused: a stream above the limit of a token or shop gets a
// problem document on each transport; a browser's WebSocket gets a close code
// after which its client backs off. Others are not affected, and a released place
// is free again.
func TestOneTooManyIsRefused(t *testing.T) {
	s := newServer(t, func(c *config.Config) { c.Limits.StreamsPerToken, c.Limits.StreamsPerShop = 3, 5 })
	till, two := s.token(doorbell.RoleConsole, "till", 1), s.token(doorbell.RoleConsole, "two", 1, 2)
	leave := s.dialMany(t, transporttest.DialWebSocket, 2, transporttest.Dial{Token: till})
	s.dialMany(t, transporttest.DialSSE, 1, transporttest.Dial{Token: till})
	wantCrowded := func(what, token, query, says string) {
		t.Helper()
		for _, path := range []string{"events", "poll", "ws"} {
			headers := []string{}
			if path == "ws" {
				headers = []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}
			}
			got := s.as(token, "GET", path+"?"+query, "", headers...).want(t, what+" on "+path, 429, "too_many")
			if got.header.Get("Retry-After") == "" || !strings.Contains(got.body, says) {
				t.Errorf("%s on %s: Retry-After %q, %s; want it to say %s", what, path, got.header.Get("Retry-After"), got.body, says)
			}
		}
		stream, err := transporttest.DialWebSocket(s.url, transporttest.Dial{Token: token, Query: query, Origin: strings.TrimSuffix(s.url, "/")})
		if err != nil {
			t.Fatalf("%s: a browser can't see why it was refused: %v", what, err)
		}
		defer stream.Close()
		if m, err := stream.Next(); err != nil || m.Event != "bye" || m.Reason != "too_many" || !strings.Contains(m.Raw, `"retryMs":1`) { // 10 to 15 s
			t.Errorf("%s: a browser's WebSocket is told %s, %v; want bye and when to come again", what, m.Raw, err)
		}
		if _, err := stream.Next(); transporttest.CloseError(err) != 1013 {
			t.Errorf("%s: a browser's WebSocket ends with %v, want 1013", what, err)
		}
	}
	wantCrowded("the token's fourth", till, "", "limits.streams_per_token")
	s.dialMany(t, transporttest.DialWebSocket, 2, transporttest.Dial{Token: two})
	wantCrowded("the shop's sixth", two, "shops=1", "limits.streams_per_shop")
	wantCrowded("it and a shop that has room", two, "shops=1,2", "limits.streams_per_shop")
	s.as(two, "GET", "poll?shops=2&wait=1", "").want(t, "another shop", 200, "")
	leave()
	testrun.Eventually(t, "it has left", func() bool { return s.streams() == 4 })
	s.as(till, "GET", "poll?wait=1", "").want(t, "the place of the one that has left", 200, "")
	if logs := s.Log.String(); strings.Count(logs, "client limit reached") != 1 {
		t.Errorf("the log tells it %d times in a minute, want once", strings.Count(logs, "client limit reached"))
	}
}

// TestWhatIsMadeFromATokenCountsWithIt: otherwise a token could get any number of
// places by tickets under other names.
func TestWhatIsMadeFromATokenCountsWithIt(t *testing.T) {
	s := newServer(t, func(c *config.Config) { c.Limits.StreamsPerToken = 2 })
	till := s.token(doorbell.RoleConsole, "till", 1)
	for i := range 4 {
		ticket := s.as(till, "POST", "api/v1/tickets", fmt.Sprintf(`{"sub":"other-%d"}`, i)).want(t, "ticket", 200, "").field("ticket")
		stream, err := transporttest.DialWebSocket(s.url, transporttest.Dial{Query: "ticket=" + ticket})
		if (err == nil) != (i < 2) {
			t.Errorf("stream %d of 2 by a ticket: %v", i+1, err)
		}
		if err == nil {
			t.Cleanup(stream.Close)
		}
	}
	s.as(till, "GET", "poll?wait=1", "").want(t, "the token itself", 429, "too_many")
	s.as(s.token(doorbell.RoleConsole, "till", 1, 2), "GET", "poll?shops=1&wait=1", "").want(t, "another token of that name", 200, "")
}

// TestAddressesBehindAProxy: each client's address is counted; those of the proxy
// and of this machine are not.
func TestAddressesBehindAProxy(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		t.Run(fmt.Sprintf("trusted %v", trusted), func(t *testing.T) {
			s := newServer(t, func(c *config.Config) {
				c.Limits.ConnectionsPerAddress = 2
				if trusted {
					c.Server.TrustedProxies = []string{"127.0.0.1", "10.0.0.0/8"}
				}
			})
			token := s.token(doorbell.RoleConsole, "till", 1)
			var all []chan reply
			poll := func(from string) chan reply {
				headers := []string{}
				if from != "" {
					headers = []string{"X-Forwarded-For", from}
				}
				done := make(chan reply, 1)
				before := s.streams()
				go func() { done <- s.as(token, "GET", "poll?wait=30", "", headers...) }()
				testrun.Eventually(t, "it waits, or was answered", func() bool { return s.streams() > before || len(done) > 0 })
				all = append(all, done)
				return done
			}
			for _, from := range []string{"203.0.113.7", "203.0.113.7", "203.0.113.8", "2001:db8::1", "2001:db8::2", "", "", "", "10.1.2.3", "10.1.2.3", "10.1.2.3"} {
				if done := poll(from); len(done) > 0 {
					t.Errorf("a poll from %q is answered, want it to wait", from)
				}
			}
			for _, from := range []string{"203.0.113.7", "2001:db8::3"} {
				done := poll(from)
				if !trusted {
					if len(done) > 0 {
						t.Errorf("a third one that says to be from %s was answered; its word does not count", from)
					}
					continue
				}
				if len(done) == 0 {
					t.Errorf("a third one from %s waits, want it refused", from)
					continue
				}
				got := <-done
				got.want(t, "a third one from "+from, 429, "too_many")
				done <- got
			}
			s.raise(1, doorbell.NewOrder, 1, "ends the polls")
			for _, done := range all {
				<-done
			}
			testrun.Eventually(t, "all polls have ended", func() bool { return s.streams() == 0 })
		})
	}
}

// TestACrowdedConnection: it is refused with a problem document, but payments and
// monitoring never are.
func TestACrowdedConnection(t *testing.T) {
	s := newServer(t)
	token := s.token(doorbell.RoleConsole, "till", 1)
	ask := func(method, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/"+path, strings.NewReader("{}"))
		r.Header.Set("Authorization", "Bearer "+token)
		r = r.WithContext(handlers.Crowded(r.Context(), &transport.CrowdedError{Bound: transport.PerAddress, Limit: 9, Who: "203.0.113.7/32"}))
		w := httptest.NewRecorder()
		s.Edge.ServeHTTP(w, r)
		return w
	}
	for _, path := range []string{"", "poll", "events", "api/v1/me", "client.js"} {
		w := ask(http.MethodGet, path)
		if w.Code != 429 || w.Header().Get("Connection") != "close" || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "server.trusted_proxies") {
			t.Errorf("GET /%s: %d %v %s, want 429, the connection's end and what to change", path, w.Code, w.Header(), w.Body)
		}
	}
	if w := ask(http.MethodGet, "readyz"); w.Code != 200 {
		t.Errorf("readyz: %d", w.Code)
	}
	if w := ask(http.MethodPost, "pay/wechat"); w.Code != 401 {
		t.Errorf("a callback: %d, want 401 of the one that verifies it", w.Code)
	}
}

// TestPollsThatOnlyLookAreLimited: per token, with ten seconds' worth at once;
// waiting polls are not limited.
func TestPollsThatOnlyLookAreLimited(t *testing.T) {
	s := newServer(t, func(c *config.Config) { c.Limits.PollsPerSecond = 1 })
	till, other := s.token(doorbell.RoleConsole, "till", 1), s.token(doorbell.RoleConsole, "other", 1)
	var refused reply
	for range 11 {
		if refused = s.as(till, "GET", "poll?wait=0", ""); refused.status != 200 {
			break
		}
	}
	refused.want(t, "one of eleven within a moment", 429, "too_many")
	if refused.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q, want 1", refused.header.Get("Retry-After"))
	}
	s.as(other, "GET", "poll?wait=0", "").want(t, "another token", 200, "")
	s.as(till, "GET", "poll?wait=1", "").want(t, "a poll that waits", 200, "")
}
