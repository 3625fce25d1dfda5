package handlers_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"doorbell/handlers"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
	"doorbell/transport"
	"doorbell/transport/transporttest"
)

// handshakeStatus makes a handshake with these headers, in pairs, and returns its status.
func (s *testServer) handshakeStatus(headers ...string) int {
	s.t.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	c, res, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.url, "http")+"ws", h)
	if err == nil {
		_ = c.Close() // only the status is needed
	}
	if res == nil {
		s.t.Fatalf("%v: %v", headers, err)
	}
	return res.StatusCode
}

// TestStrangersNames: with DNS rebinding, a stranger's name that resolves to this
// machine is in both Origin and Host. Such a page is refused without a credential;
// with one, any Host that a proxy passes on is accepted.
func TestStrangersNames(t *testing.T) {
	s := newServer(t, func(c *config.Config) {
		c.Sky.Open, c.Server.PublicURL, c.Auth.Origins = true, "https://bell.example", []string{"https://admin.example"}
	})
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	bearer := "Bearer " + s.token(doorbell.RoleConsole, "till", 1)
	for _, c := range []struct {
		name, host, origin, token string
		status                    int
	}{
		{"our own page", u.Host, "http://" + u.Host, "", 101},
		{"by localhost", "localhost:" + u.Port(), "http://localhost:" + u.Port(), "", 101},
		{"by ::1", "[::1]:" + u.Port(), "http://[::1]:" + u.Port(), "", 101},
		{"no page", "whatever", "", "", 101},
		{"the public address", "webservers", "https://bell.example", "", 101},
		{"an allowed page", "webservers", "https://admin.example", "", 101},
		{"a name that resolves here", "evil.example:" + u.Port(), "http://evil.example:" + u.Port(), "", 403},
		{"one that ends like ours", "localhost.evil.example", "http://localhost.evil.example", "", 403},
		{"another machine's address", "203.0.113.9", "http://203.0.113.9", "", 403},
		{"by a proxy's own name", "webservers", "http://webservers", "", 403},
		{"the same with a credential", "webservers", "http://webservers", bearer, 101},
		{"a credential without a page", "webservers", "", bearer, 101},
		{"a credential from another page", "webservers", "http://evil.example", bearer, 403},
	} {
		headers := []string{"Host", c.host}
		for name, value := range map[string]string{"Origin": c.origin, "Authorization": c.token} {
			if value != "" {
				headers = append(headers, name, value)
			}
		}
		if got := s.handshakeStatus(headers...); got != c.status {
			t.Errorf("%s: %d, want %d", c.name, got, c.status)
		}
	}
	if logs := s.Log.String(); !strings.Contains(logs, "origin not allowed") {
		t.Errorf("nothing in the log says why:\n%s", logs)
	}
	for _, own := range []string{"localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"} {
		if !handlers.OurName(own) {
			t.Errorf("%s is not taken for this machine", own)
		}
	}
	for _, foreign := range []string{"", "localhost.", "203.0.113.9", "2001:db8::1", "127.0.0.1.nip.io"} {
		if handlers.OurName(foreign) {
			t.Errorf("%q is taken for this machine", foreign)
		}
	}
}

// TestStreamsWhileStopping: a console that does not read makes the stop wait.
// Clients that connect meanwhile get bye on every transport, with a status after
// which an EventSource reconnects.
func TestStreamsWhileStopping(t *testing.T) {
	s := newServer(t)
	token := s.token(doorbell.RoleConsole, "till", 1)
	stalled, err := transporttest.DialWebSocket(s.url, transporttest.Dial{Token: token, SmallBuffer: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stalled.Close)
	testrun.Eventually(t, "connected", func() bool { return s.streams() == 1 })
	for range 200 {
		s.raise(1, doorbell.NewOrder, 1, strings.Repeat("菜", 500))
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.Hub.Shutdown(context.Background()) }()
	stopping := `"event":"bye","reason":"shutdown"`
	testrun.Eventually(t, "the stop has begun", func() bool { return strings.Contains(s.as(token, "GET", "poll?wait=0", "").body, stopping) })
	events := s.as(token, "GET", "events", "").want(t, "events", 200, "")
	poll := s.as(token, "GET", "poll?wait=25", "").want(t, "poll", 200, "")
	if !strings.Contains(events.body, `"event":"hello"`) || !strings.Contains(events.body, stopping) || !strings.Contains(events.body, "\nevent: bye\nretry: ") ||
		!strings.HasPrefix(events.header.Get("Content-Type"), "text/event-stream") {
		t.Errorf("events answered %v %q", events.header, events.body)
	}
	if !strings.Contains(poll.body, stopping) || !strings.Contains(poll.body, `"retryMs":`) || poll.field("cursor") == "" {
		t.Errorf("poll answered %s", poll.body)
	}
	if code := endOf(s.dialSocket(nil)); code != websocket.CloseServiceRestart {
		t.Errorf("a WebSocket ended with %d, want 1012", code)
	}
	select {
	case err := <-stopped:
		t.Errorf("the stop was over already (%v): nothing was tried while it waited", err)
	default:
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestHandshakesAfterTheSessionsHaveEnded: a browser can't see the status, so it
// gets a close code; others get the status.
func TestHandshakesAfterTheSessionsHaveEnded(t *testing.T) {
	s := newServer(t)
	s.endSessions()
	own := strings.TrimSuffix(s.url, "/")
	if code := endOf(s.dialSocket(http.Header{"Origin": {own}})); code != websocket.CloseServiceRestart {
		t.Errorf("a browser saw %d, want 1012", code)
	}
	if got := s.handshakeStatus("Authorization", "Bearer "+s.token(doorbell.RoleConsole, "till", 1)); got != http.StatusServiceUnavailable {
		t.Errorf("a program saw %d, want 503", got)
	}
}

// TestBrowsersBadCursor: a browser gets a reset for a cursor that can't be
// decoded, as for every other bad one; other unreadable fields are refused.
func TestBrowsersBadCursor(t *testing.T) {
	s := newServer(t)
	token, own := s.token(doorbell.RoleConsole, "till", 1), strings.TrimSuffix(s.url, "/")
	stream, err := transporttest.DialWebSocket(s.url, transporttest.Dial{Token: token, Origin: own, Query: "after=%zz"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stream.Close)
	for _, want := range []string{"hello", "reset"} {
		if m, err := stream.Next(); err != nil || m.Event != want || want == "reset" && m.Reason != string(transport.BadCursor) {
			t.Errorf("%s, %v; want %s", m.Raw, err, want)
		}
	}
	for _, d := range []transporttest.Dial{
		{Token: token, Query: "after=%zz"}, {Token: token, Origin: own, Query: "after=%zz&shops=%zz"}, {Token: token, Origin: own, Query: "types=1;2"},
	} {
		if late, err := transporttest.DialWebSocket(s.url, d); err == nil {
			late.Close()
			t.Errorf("%+v was let in", d)
		}
	}
}
