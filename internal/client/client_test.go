package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// follow runs Follow against a server until it ends by itself, or tells
// that it is offline.
func follow(t *testing.T, transport string, answer http.HandlerFunc) (offline string, err error) {
	t.Helper()
	s := httptest.NewServer(answer)
	defer s.Close()
	defer http.DefaultClient.CloseIdleConnections()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	err = Follow(ctx, Options{
		URL: s.URL + "/", Token: "t", Transport: transport, Shops: "1", Alert: func([]byte) {},
		Event: func(name string, data []byte) {
			if name == "offline" {
				offline = string(data)
				stop()
			}
		},
	})
	return offline, err
}

// TestGivesUpWhereComingAgainCannotHelp, and says the address, the status and
// the reason.
func TestGivesUpWhereComingAgainCannotHelp(t *testing.T) {
	problem := func(status int, detail string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]string{"detail": detail})
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"a bad token":       {problem(401, "The token expired."), `401 Unauthorized: "The token expired."`},
		"a foreign shop":    {problem(403, "Not your shop."), `403 Forbidden: "Not your shop."`},
		"another path":      {problem(404, "There is nothing here."), `404 Not Found: "There is nothing here." Its path is server.base_path; --url names`},
		"nothing there":     {http.NotFound, `404 Not Found: "text/plain; charset=utf-8", which is no answer of doorbell's`},
		"an upgrade wanted": {problem(426, "Upgrade."), "426 Upgrade Required"},
		"not implemented":   {problem(501, "Never."), "501 Not Implemented"},
		"escape codes":      {problem(400, "\x1b[2J"), `\x1b[2J`},
		"another page": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
		}, `200 OK: "text/html", which is no answer of doorbell's`},
	} {
		for _, transport := range []string{"ws", "sse", "poll"} {
			offline, err := follow(t, transport, c.answer)
			if r, ok := errors.AsType[*Refused](err); !ok || !strings.Contains(r.Error(), c.says) || !strings.Contains(r.Error(), "http://127.0.0.1:") {
				t.Errorf("%s over %s: %v (offline %q), want an end that says the address and %q", name, transport, err, offline, c.says)
			}
		}
	}
}

// TestComesAgainWhereItHelps, and says the status it met.
func TestComesAgainWhereItHelps(t *testing.T) {
	for _, status := range []int{429, 500, 502, 503} {
		for _, transport := range []string{"ws", "sse", "poll"} {
			offline, err := follow(t, transport, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "3")
				w.WriteHeader(status)
			})
			if err != nil || !strings.Contains(offline, fmt.Sprintf("the server answers %d", status)) || !strings.Contains(offline, "again in 3s") {
				t.Errorf("%d over %s: %v, offline %q; want the status, and another try as late as asked", status, transport, err, offline)
			}
		}
	}
}

// TestEndsWithItsToken: what the server ends for good is not dialled again.
func TestEndsWithItsToken(t *testing.T) {
	_, err := follow(t, "sse", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(w, "event: bye\ndata: {\"event\":\"bye\",\"reason\":\"auth\",\"retryMs\":100}\n\n")
	})
	if _, ok := errors.AsType[*Refused](err); !ok {
		t.Errorf("a bye for the token's sake: %v, want an end", err)
	}
	up := websocket.Upgrader{}
	_, err = follow(t, "ws", func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		_ = c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4401, "token_expired")) // the client closes
		_, _, _ = c.ReadMessage()
		_ = c.Close()
	})
	if _, ok := errors.AsType[*Refused](err); !ok || !strings.Contains(err.Error(), "4401") {
		t.Errorf("close code 4401: %v, want an end that names it", err)
	}
}

// TestBacksOff: each pause is longer, up to a bound; a server that says hello
// and cuts is not dialled anew at once.
func TestBacksOff(t *testing.T) {
	f := &follower{wait: firstWait}
	broken := errors.New("broken")
	for want := firstWait; want < 4*maxWait; want *= 2 {
		bound := min(want, maxWait)
		if got := f.pause(broken, time.Second); got < bound/2 || got > bound {
			t.Errorf("a pause of %v, want %v to %v", got, bound/2, bound)
		}
	}
	if got := f.pause(&later{status: 503, after: time.Minute}, 0); got != time.Minute {
		t.Errorf("asked for a minute: %v", got)
	}
	f.bye([]byte(`{"reason":"shutdown","retryMs":40000}`))
	if got := f.pause(broken, 0); got != 40*time.Second {
		t.Errorf("a bye that asks for 40 s: %v", got)
	}
	f.asked = 0
	if got := f.pause(broken, steady); got > firstWait {
		t.Errorf("after a connection that stood: %v, want at most %v", got, firstWait)
	}
	if got := f.pause(nil, 0); got != 0 {
		t.Errorf("after a poll: %v, want none", got)
	}
}

// TestAResetThatDidNotComeIsToldAgain: a connection that ends between its hello, in
// a new epoch, and the reset that follows has told nothing. The next one comes with
// the old cursor, and gets the reset.
func TestAResetThatDidNotComeIsToldAgain(t *testing.T) {
	for _, transport := range []string{"ws", "sse"} {
		t.Run(transport, func(t *testing.T) {
			var asked []string
			up := websocket.Upgrader{}
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.URL.Query().Get("after"))
				events := []string{`{"event":"hello","cursor":"new.1:7"}`}
				if len(asked) > 1 {
					events = append(events, `{"event":"reset","cursor":"new.1:7","shops":[1],"reason":"epoch"}`)
				}
				if transport == "sse" {
					w.Header().Set("Content-Type", "text/event-stream")
					for _, e := range events {
						_, _ = fmt.Fprintf(w, "data: %s\n\n", e)
					}
					return
				}
				c, err := up.Upgrade(w, r, nil)
				if err != nil {
					return
				}
				for _, e := range events {
					_ = c.WriteMessage(websocket.TextMessage, []byte(e))
				}
				_ = c.Close()
			}))
			defer s.Close()
			defer http.DefaultClient.CloseIdleConnections()
			ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
			defer stop()
			offline := 0
			err := Follow(ctx, Options{
				URL: s.URL + "/", Transport: transport, Shops: "1", After: "old.1:9", Alert: func([]byte) {},
				Event: func(name string, _ []byte) {
					if name != "offline" {
						return
					}
					if offline++; offline == 3 {
						stop()
					}
				},
			})
			s.Close() // no answer runs any more
			if want := []string{"old.1:9", "old.1:9", "new.1:7"}; err != nil || !slices.Equal(asked, want) {
				t.Errorf("asked for %v, %v; want %v", asked, err, want)
			}
		})
	}
}
