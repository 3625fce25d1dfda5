package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"doorbell/handlers"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
	"doorbell/transport"
	"doorbell/transport/sse"
	"doorbell/transport/transporttest"
)

// TestAnEventSourceIsToldToComeAgain: where others get 429 or 503, an EventSource
// gets a stream, because it never reconnects after a status other than 200. An
// error that a retry can't repair stays a status.
func TestAnEventSourceIsToldToComeAgain(t *testing.T) {
	s := newServer(t, func(c *config.Config) { c.Limits.StreamsPerToken = 1 })
	till := s.token(doorbell.RoleConsole, "till", 1)
	leave := s.dialMany(t, transporttest.DialWebSocket, 1, transporttest.Dial{Token: till})
	native := []string{"Accept", "text/event-stream"}
	document := s.as(till, "GET", "events", "").want(t, "of curl", 429, "too_many")
	waits := map[string]bool{}
	for range 20 {
		got := s.as(till, "GET", "events", "", native...).want(t, "of an EventSource", 200, "")
		waits[wantOnlyBye(t, got.body, "too_many", 10_000, 15_000)] = true
		if got.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%v, want an event stream", got.header)
		}
		if len(got.body) > len(document.body) {
			t.Errorf("%d bytes, the problem document has %d: a flood would gain by it", len(got.body), len(document.body))
		}
	}
	if len(waits) < 5 {
		t.Errorf("%d different waits of 20: they come back together", len(waits))
	}
	if n := s.streams(); n != 1 {
		t.Errorf("%d streams, want the one that was there", n)
	}
	s.as(till, "POST", "api/v1/announcements", "{}", native...).want(t, "of what is no stream", 403, "")
	s.as(till, "GET", "events?shops=9", "", native...).want(t, "a foreign shop", 403, "forbidden")
	s.as("nobody", "GET", "events", "", native...).want(t, "a bad token", 401, "")
	s.as(till, "GET", "events?after=%zz", "", native...).want(t, "a bad query", 400, "invalid")
	leave()
	testrun.Eventually(t, "its place is free", func() bool { return s.streams() == 0 })
	s.dialMany(t, transporttest.DialSSE, 1, transporttest.Dial{Token: till})
}

// TestAnEventSourceOfACrowdedConnection: it gets such a stream as well.
func TestAnEventSourceOfACrowdedConnection(t *testing.T) {
	s := newServer(t)
	r := httptest.NewRequest(http.MethodGet, "/events", nil)
	r.Header.Set("Accept", "text/event-stream")
	r = r.WithContext(handlers.Crowded(r.Context(), &transport.CrowdedError{Bound: transport.PerAddress, Limit: 9, Who: "203.0.113.7/32"}))
	w := httptest.NewRecorder()
	s.Edge.ServeHTTP(w, r)
	if w.Code != 200 || w.Header().Get("Connection") != "close" {
		t.Errorf("%d %v, want 200 and the connection's end", w.Code, w.Header())
	}
	wantOnlyBye(t, w.Body.String(), "too_many", 10_000, 15_000)
}

// brokenHub is a hub whose log can't be read.
type brokenHub struct{}

func (brokenHub) Open(context.Context, transport.Subscription) (*transport.Session, error) {
	return nil, errors.New("the disk")
}

func (brokenHub) Streams() map[string]int { return nil }

// TestAnEventSourceWithoutADatabase: it is told to reconnect; others get 503.
func TestAnEventSourceWithoutADatabase(t *testing.T) {
	s := newEdge(t, handlers.Options{Streams: handlers.Streams{Hub: brokenHub{}, Transports: handlers.Transports{SSE: sse.New(time.Minute)}, Heartbeat: time.Minute}})
	token := s.token(doorbell.RoleConsole, "till", 1)
	s.as(token, "GET", "events", "", "Accept", "*/*").want(t, "of curl", 503, "unavailable")
	got := s.as(token, "GET", "events", "", "Accept", "text/event-stream").want(t, "of an EventSource", 200, "")
	wantOnlyBye(t, got.body, "unavailable", 2000, 3000)
}

// wantOnlyBye reads the only event, and returns its wait.
func wantOnlyBye(t *testing.T, body, reason string, least, most int64) string {
	t.Helper()
	var retry, inside int64
	head, data, _ := strings.Cut(body, "\nevent: bye\ndata: ")
	if _, err := fmt.Sscanf(head, "retry: %d", &retry); err != nil {
		t.Errorf("%q: %v", body, err)
	}
	if _, err := fmt.Sscanf(data, `{"event":"bye","reason":"`+reason+`","retryMs":%d}`, &inside); err != nil || !strings.HasSuffix(data, "}\n\n") {
		t.Errorf("%q: %v", body, err)
	}
	if retry != inside || retry < least || retry > most {
		t.Errorf("retry %d and %d, want %d to %d ms", retry, inside, least, most)
	}
	return head
}
