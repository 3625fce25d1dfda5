package transporttest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func testResets(t *testing.T, s *Server, tr Transport) {
	s.Raise(1, 3, 20)
	s.Raise(2, 3, 20)
	token := s.Token(1, 2)
	check := func(after, reason string, shop1 int64) {
		t.Helper()
		stream := dial(t, s, tr, Dial{Token: token, Query: "after=" + after})
		wantEvent(t, stream, "hello")
		m := wantEvent(t, stream, "reset")
		if m.Reason != reason || m.Cursor == "" {
			t.Errorf("after=%s: %s, want reason %s", after, m.Raw, reason)
		}
		// The others are unaffected: shop 2 goes on from its own place.
		if reason != "epoch" && (len(m.Shops) != 1 || m.Shops[0] != 1) {
			t.Errorf("after=%s resets %v, want shop 1 only", after, m.Shops)
		}
		if reason != "epoch" {
			wantSeqs(t, stream, 2, 3, 3)
		}
		s.Raise(1, 1, 20)
		wantSeqs(t, stream, 1, shop1, shop1)
	}
	check(s.cursor(1, 99, 2, 2), "above_head", 4)
	check("other0epoch.1:1,2:2", "epoch", 5)
	for order := range int64(5) {
		s.Close(1, order+1)
	}
	s.Prune() // shop 1 has nothing that rings; shop 2 keeps its alerts
	check(s.cursor(1, 4, 2, 2), "pruned", s.Head(1)+1)
	// Equal to the head is valid with no rows kept.
	same := dial(t, s, tr, Dial{Query: "after=" + s.cursor(1, s.Head(1))})
	wantEvent(t, same, "hello")
	s.Raise(1, 1, 20)
	wantSeqs(t, same, 1, s.Head(1), s.Head(1))
	for _, bad := range []string{"nonsense", "", "e.1:x", "e.1:1,1:2", "E.1:1", "e.1:-1"} {
		_, err := tr.Dial(s.URL, Dial{Token: token, Query: "after=" + bad})
		wantRefused(t, "after="+bad, err, http.StatusBadRequest)
	}
}

func testMidStreamReset(t *testing.T, s *Server, tr Transport) {
	s.Raise(1, 2, 20)
	stream := dial(t, s, tr, Dial{Query: "after=0"})
	wantEvent(t, stream, "hello")
	wantSeqs(t, stream, 1, 1, 2)
	old := s.Epoch()
	s.NewEpoch()
	m := wantEvent(t, stream, "reset")
	if m.Reason != "epoch" || !strings.HasPrefix(m.Cursor, s.Epoch()+".") || s.Epoch() == old {
		t.Errorf("got %s, want reason epoch and a cursor of epoch %s", m.Raw, s.Epoch())
	}
	s.Raise(1, 1, 20)
	wantSeqs(t, stream, 1, 3, 3)
}

func wantRefused(t *testing.T, what string, err error, status int) {
	t.Helper()
	r, ok := err.(*Refused) //nolint:errorlint // not wrapped here
	if joined, is := err.(interface{ Unwrap() []error }); is {
		r, ok = joined.Unwrap()[0].(*Refused) //nolint:errorlint // as above
	}
	if !ok || r.Status != status {
		t.Errorf("%s: got %v, want %d", what, err, status)
		return
	}
	if !strings.Contains(r.Body, `"code"`) || !strings.Contains(r.Body, `"request_id"`) {
		t.Errorf("%s: %s is no problem document", what, r.Body)
	}
}

func testRefusals(t *testing.T, s *Server, tr Transport) {
	for _, c := range []struct {
		query, sid string
		status     int
	}{
		{"shops=2", "", http.StatusForbidden},
		{"shops=1,999999", "", http.StatusForbidden},
		{"shops=", "", http.StatusBadRequest},
		{"shops=0", "", http.StatusBadRequest},
		{"shops=x", "", http.StatusBadRequest},
		{"shops=" + strings.Trim(strings.Repeat("1,", 1)+manyShops(65), ","), "", http.StatusBadRequest},
		{"types=5", "", http.StatusBadRequest},
		{"types=", "", http.StatusBadRequest},
		{"heartbeat=0", "", http.StatusBadRequest},
		{"heartbeat=61", "", http.StatusBadRequest},
		{"", "white%20space", http.StatusBadRequest},
		{"", strings.Repeat("x", 65), http.StatusBadRequest},
		{"ticket=nonsense", "", http.StatusUnauthorized},
	} {
		sid := c.sid
		if tr.Name == "poll" {
			sid = strings.ReplaceAll(sid, "%20", " ")
		}
		_, err := tr.Dial(s.URL, Dial{Token: s.Token(1), Query: c.query, SID: sid})
		wantRefused(t, c.query+c.sid, err, c.status)
	}
	_, err := tr.Dial(s.URL, Dial{})
	wantRefused(t, "no token", err, http.StatusUnauthorized)
	_, err = tr.Dial(s.URL, Dial{Query: "token=" + s.Token(1)})
	wantRefused(t, "a token in the query", err, http.StatusUnauthorized)
	_, err = tr.Dial(s.URL, Dial{Token: s.Token(1), Origin: "https://evil.example"})
	wantRefused(t, "a foreign origin", err, http.StatusForbidden)
	_, err = tr.Dial(s.URL, Dial{Token: s.Token(1), Origin: "null"})
	wantRefused(t, "origin null", err, http.StatusForbidden)
}

func manyShops(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d,", i+1)
	}
	return b.String()
}
