package transport

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// logins holds sessions in memory.
type logins struct {
	mu        sync.Mutex
	until     map[string]time.Time
	down      bool
	questions []int // the number of logins in each query
}

func (l *logins) live(_ context.Context, ids []string) (map[string]time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.questions = append(l.questions, len(ids))
	if l.down {
		return nil, errors.New("the database is away")
	}
	out := map[string]time.Time{}
	for _, id := range ids {
		if at, ok := l.until[id]; ok && at.After(time.Now()) {
			out[id] = at
		}
	}
	return out, nil
}

func (l *logins) set(id string, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d == 0 {
		delete(l.until, id)
		return
	}
	l.until[id] = time.Now().Add(d)
}

// withLogins runs a hub whose logins are l's, in virtual time.
func withLogins(t *testing.T, test func(t *testing.T, h *Hub, l *logins)) {
	t.Helper()
	testrun.Bubble(t, func(t *testing.T) {
		l := &logins{until: map[string]time.Time{}}
		runHub(t, Options{Log: newLog(), Heartbeat: 15 * time.Second, Live: l.live}, func(h *Hub) { test(t, h, l) })
	})
}

func TestHeartbeatAndExpiry(t *testing.T) {
	withLogins(t, func(t *testing.T, h *Hub, l *logins) {
		l.set("x", time.Hour)
		minute := time.Now().Add(time.Minute)
		byToken, token := open(t, h, Subscription{Grant: doorbell.Grant{Expires: minute}})
		byTicket, ticket := open(t, h, Subscription{Grant: doorbell.Grant{Parent: "x", Expires: minute}})
		byCookie, cookie := open(t, h, Subscription{Grant: doorbell.Grant{Session: "x", Expires: minute}})
		for i := range 600 {
			if i == 180 {
				l.set("x", 0) // signed out on another node
			}
			time.Sleep(time.Second)
			token.drain(byToken)
			ticket.drain(byTicket)
			cookie.drain(byCookie)
		}
		for name, f := range map[string]*fakeSink{"token": token, "ticket": ticket, "cookie": cookie} {
			if !slices.Equal(f.closed, []Reason{AuthOver}) {
				t.Errorf("the %s's stream closed %v, want it for auth", name, f.closed)
			}
		}
		// The last heartbeat and the check for expiry come at the same instant, in
		// either order.
		for name, f := range map[string]*fakeSink{"token": token, "ticket": ticket} {
			got := f.events(t)
			if n := len(got); n < 5 || n > 6 || got[0] != "hello" || got[n-1] != "bye" || slices.ContainsFunc(got[1:n-1], func(e string) bool { return e != "ping" }) {
				t.Errorf("a minute by %s: %v, want hello, three or four pings and bye: a session's longer life prolongs neither", name, got)
			}
		}
		if got := len(cookie.events(t)); got < 1+11+1 || got > 1+13+1 {
			t.Errorf("three minutes by cookie: %d events, want hello, 11 to 13 pings and bye: within a heartbeat of the third minute", got)
		}
	})
}

// TestEndedDuringTheHandshake: a session that ends between the check of its cookie
// and the stream's joining finds no stream to close; the stream still ends, within
// the shortest heartbeat.
func TestEndedDuringTheHandshake(t *testing.T) {
	withLogins(t, func(t *testing.T, h *Hub, l *logins) {
		var sinks []*fakeSink
		for i, g := range []doorbell.Grant{{Session: "a"}, {Parent: "a"}} {
			g.Expires = time.Now().Add(30 * 24 * time.Hour)
			l.set("a", time.Hour)
			s, err := h.Open(t.Context(), Subscription{Shops: []doorbell.ShopID{1}, Transport: WebSocket, Grant: g})
			if err != nil {
				t.Fatal(err)
			}
			l.set("a", 0)
			h.EndLogins("a") // the stream has not joined yet
			sinks = append(sinks, &fakeSink{})
			s.Run(t.Context(), sinks[i])
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for i, f := range sinks {
			if !slices.Equal(f.closed, []Reason{AuthOver}) {
				t.Errorf("stream %d closed %v, want it for auth", i, f.closed)
			}
		}
	})
}

// TestManyRightsFewQuestions: the logins of 3,000 streams are checked in batches,
// once when they joined and once a heartbeat; one that was ended elsewhere ends
// here within a heartbeat.
func TestManyRightsFewQuestions(t *testing.T) {
	withLogins(t, func(t *testing.T, h *Hub, l *logins) {
		const n = 1500
		sinks := map[string][]*fakeSink{}
		for i := range 2 * n {
			id := fmt.Sprint("login-", i%n)
			l.set(id, 24*time.Hour)
			g := doorbell.Grant{Session: id, Expires: time.Now().Add(24 * time.Hour)}
			if i >= n {
				g.Session, g.Parent = "", id
			}
			_, f := open(t, h, Subscription{Grant: g})
			sinks[id] = append(sinks[id], f)
		}
		time.Sleep(1500 * time.Millisecond)
		l.mu.Lock()
		l.questions = nil
		l.mu.Unlock()
		time.Sleep(10 * time.Minute)
		l.mu.Lock()
		asked := len(l.questions)
		if most := slices.Max(l.questions); most > rightsChunk {
			t.Errorf("%d logins in one query, want at most %d", most, rightsChunk)
		}
		l.mu.Unlock()
		if want := 40 * 3; asked > want+3 || asked < want-3 {
			t.Errorf("%d questions in ten minutes, want %d: one for 512, each heartbeat", asked, want)
		}
		for i := range n / 2 {
			l.set(fmt.Sprint("login-", 2*i), 0)
		}
		time.Sleep(16 * time.Second)
		synctest.Wait()
		for i := range n {
			for _, f := range sinks[fmt.Sprint("login-", i)] {
				if ended := len(f.closed) == 1 && f.closed[0] == AuthOver; ended != (i%2 == 0) {
					t.Fatalf("stream of login %d closed %v", i, f.closed)
				}
			}
		}
	})
}

// TestNobodyCanTell: while the database is away streams go on until their time is
// over, and those whose login ended meanwhile end when it is back.
func TestNobodyCanTell(t *testing.T) {
	withLogins(t, func(t *testing.T, h *Hub, l *logins) {
		l.set("good", time.Hour)
		l.set("ended", time.Hour)
		l.down = true
		in := func(d time.Duration) time.Time { return time.Now().Add(d) }
		_, good := open(t, h, Subscription{Grant: doorbell.Grant{Session: "good", Expires: in(time.Hour)}})
		_, ended := open(t, h, Subscription{Grant: doorbell.Grant{Session: "ended", Expires: in(time.Hour)}})
		_, late := open(t, h, Subscription{Grant: doorbell.Grant{Session: "good", Expires: in(time.Minute)}})
		l.set("ended", 0)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if len(good.closed)+len(ended.closed) != 0 || len(late.closed) != 1 {
			t.Errorf("closed %v, %v and %v; want the last alone", good.closed, ended.closed, late.closed)
		}
		l.mu.Lock()
		l.down = false
		l.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(good.closed) != 0 || len(ended.closed) != 1 {
			t.Errorf("closed %v and %v, want the ended one's alone", good.closed, ended.closed)
		}
	})
}
