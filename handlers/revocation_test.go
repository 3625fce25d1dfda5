package handlers_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
	"doorbell/transport/transporttest"
)

// sessionHistory is one run: its sessions, and its nodes.
type sessionHistory struct {
	t       *testing.T
	rng     *rand.Rand
	nodes   []*testServer
	service string
	owner   string
	admin   string

	mu     sync.Mutex // guards things, in a burst
	things []*thing
	wg     sync.WaitGroup
}

// TestRevocationHistories: sessions, tickets, devices and streams are created from
// each other on two nodes, and ended in any order by those who may, also while
// more is being created from them. Whatever was ended, or descends from it, is
// refused and its streams end; everything else goes on; and who may not end a
// session can't.
func TestRevocationHistories(t *testing.T) {
	// Without a bus, neither is told what the other's clients do.
	often := func(c *config.Config) { c.Stream.Heartbeat = time.Second }
	s := newServer(t, often)
	nodes := []*testServer{s, newServer(t, often, func(c *config.Config) { c.Database = s.Config.Database })}
	rng := transporttest.Seeded(t)
	for i := range transporttest.Size(t, "DOORBELL_TEST_HISTORIES", 8) {
		h := &sessionHistory{
			t: t, rng: rng, nodes: nodes, service: s.token(doorbell.RoleService, "backend", 1),
			owner: s.token(doorbell.RoleConsole, "owner", 1), admin: s.token(doorbell.RoleAdmin, "admin", 1),
		}
		for step := range 24 {
			if step == 12 {
				h.rest()
			}
			h.step()
		}
		h.check(fmt.Sprint("history ", i))
		if t.Failed() {
			return
		}
		h.clear()
	}
}

func (h *sessionHistory) node() *testServer { return h.nodes[h.rng.IntN(len(h.nodes))] }

// pick returns one of the things that fit, or nil.
func (h *sessionHistory) pick(fits func(*thing) bool) *thing {
	var found []*thing
	for _, x := range h.things {
		if fits(x) {
			found = append(found, x)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found[h.rng.IntN(len(found))]
}

func session(x *thing) bool { return x.cookie != "" }

func unspent(x *thing) bool { return x.ticket != "" && !x.spent && time.Since(x.made) < 20*time.Second }

func (h *sessionHistory) add(x *thing) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.things = append(h.things, x)
}

func (h *sessionHistory) step() {
	from := h.pick(session)
	if from == nil || h.rng.IntN(6) == 0 {
		h.root()
		return
	}
	switch h.rng.IntN(9) {
	case 0, 1:
		h.mint(h.node(), from)
	case 2, 3:
		if k := h.pick(unspent); k != nil {
			k.spent = true
			h.enter(h.node(), k)
		}
	case 4, 5:
		k := h.pick(unspent)
		if h.rng.IntN(2) == 0 {
			k = nil
		}
		if k != nil {
			k.spent = true
		}
		h.dial(h.node(), from, k, transporttest.Transports()[h.rng.IntN(3)])
	case 6:
		h.trespass(from)
	case 7:
		h.end(h.node(), from, h.rng.IntN(4))
	default:
		h.burst(from)
	}
}

// rest lets three heartbeats pass: by then every stream's session was checked, and
// is due again.
func (h *sessionHistory) rest() {
	for _, x := range h.things {
		if x.stream == nil || x.stream.name == "poll" {
			continue
		}
		count := func() int {
			x.stream.mu.Lock()
			defer x.stream.mu.Unlock()
			return x.stream.pings
		}
		was := count()
		testrun.Eventually(h.t, "three heartbeats", func() bool { _, ended := x.stream.state(); return ended != nil || count() >= was+3 })
		if _, ended := x.stream.state(); ended == nil {
			return // the others waited as long
		}
	}
}

// root starts with a token, a service's ticket, or a pairing.
func (h *sessionHistory) root() {
	n := h.node()
	x := &thing{}
	var in reply
	switch h.rng.IntN(3) {
	case 0:
		in = n.do("POST", "login", `{"token":"`+h.owner+`"}`)
	case 1:
		in = n.do("POST", "login", `{"ticket":"`+n.as(h.service, "POST", "api/v1/tickets", `{"ttl":"700h"}`).field("ticket")+`"}`)
	default:
		x.device = true
		in = n.do("POST", "login", `{"ticket":"`+n.as(h.service, "POST", "api/v1/tickets", `{"pair":true}`).field("ticket")+`"}`)
	}
	x.cookie, x.id = cookieOf(h.t, in.want(h.t, "a session", 200, "")), in.field("session")
	h.add(x)
}

// may checks an answer about a thing: 401 is allowed only if it is dead, or is
// being ended.
func (h *sessionHistory) may(what string, from *thing, r reply) bool {
	if r.status == 401 && !from.dead() || r.status != 200 && r.status != 401 {
		h.t.Errorf("%s: %d %s", what, r.status, r.body)
	}
	return r.status == 200
}

func (h *sessionHistory) mint(n *testServer, from *thing) *thing {
	r := n.do("POST", "api/v1/tickets", `{"ttl":"719h"}`, "Cookie", from.cookie)
	if !h.may("a ticket", from, r) {
		return nil
	}
	k := &thing{parent: from, ticket: r.field("ticket"), made: time.Now(), device: from.device}
	h.add(k)
	return k
}

func (h *sessionHistory) enter(n *testServer, k *thing) {
	r := n.do("POST", "login", `{"ticket":"`+k.ticket+`"}`)
	if h.may("a session by ticket", k, r) {
		h.add(&thing{parent: k, cookie: cookieOf(h.t, r), id: r.field("session"), device: k.device})
	}
}

// dial opens a stream by a session's cookie, or by a ticket.
func (h *sessionHistory) dial(n *testServer, from, k *thing, tr transporttest.Transport) {
	d := transporttest.Dial{Cookie: from.cookie, Query: "heartbeat=1&shops=1", Patience: 60 * time.Second}
	if k != nil {
		if tr.Name == "poll" { // one ticket per poll
			tr = transporttest.Transports()[0]
		}
		from, d.Cookie, d.Query = k, "", d.Query+"&ticket="+k.ticket
	}
	stream, err := tr.Dial(n.url, d)
	if err != nil {
		refused, ok := errors.AsType[*transporttest.Refused](err)
		if !ok || refused.Status != 401 || !from.dead() {
			h.t.Errorf("%s: %v", tr.Name, err)
		}
		return
	}
	x := &thing{parent: from, stream: &heard{name: tr.Name, stream: stream}}
	h.add(x)
	h.wg.Go(x.stream.listen)
}

// end ends a session as one of those who may.
func (h *sessionHistory) end(n *testServer, x *thing, how int) {
	already := x.dead()
	x.revoked = true // from now on it may answer 401
	var r reply
	switch {
	case how == 0:
		n.do("POST", "logout", `{}`, "Cookie", x.cookie).want(h.t, "sign out", 204, "")
		return
	case how == 1 && !already:
		r = n.do("DELETE", "api/v1/sessions/"+x.id, `{}`, "Cookie", x.cookie)
	case how == 2 && x.device && x.parent == nil:
		r = n.as(h.owner, "DELETE", "api/v1/devices/"+x.id, "")
	case how == 3:
		r = n.as(h.service, "DELETE", "api/v1/sessions/"+x.id, "")
	default:
		r = n.as(h.admin, "DELETE", "api/v1/sessions/"+x.id, "")
	}
	if want := 204; r.status != want && (!already || r.status != 404) {
		h.t.Errorf("end a session (dead already: %v): %d %s", already, r.status, r.body)
	}
}

// trespass: a session tries to end a foreign one.
func (h *sessionHistory) trespass(from *thing) {
	if from.dead() {
		return
	}
	other := h.pick(func(x *thing) bool {
		own := x.under(from) || !from.device && x.device && x.parent == nil // a link's session may remove its shop's devices
		return session(x) && !own
	})
	if other == nil {
		return
	}
	path := []string{"api/v1/sessions/", "api/v1/devices/"}[h.rng.IntN(2)]
	h.node().do("DELETE", path+other.id, `{}`, "Cookie", from.cookie).want(h.t, "a session ends another's", 404, "not_found")
}

// burst: a session is ended while tickets, sessions and streams are created from
// it on both nodes.
func (h *sessionHistory) burst(from *thing) {
	k := h.mint(h.node(), from)
	how, at := h.rng.IntN(4), h.rng.IntN(4)
	transports := transporttest.Transports()
	already := from.dead()
	if !already {
		from.revoked = true // read by all below; what succeeds was before the end, or must end with it
	}
	var wg sync.WaitGroup
	for i := range 4 {
		n := h.nodes[i%2]
		wg.Go(func() { h.dial(n, from, nil, transports[i%3]) })
		wg.Go(func() {
			if made := h.mint(n, from); made != nil {
				made.spent = true
				h.enter(n, made)
			}
		})
		if i == at && !already {
			wg.Go(func() {
				from := &thing{cookie: from.cookie, id: from.id, device: from.device, parent: from.parent}
				h.end(n, from, how)
			})
		}
	}
	if k != nil {
		k.spent = true
		wg.Go(func() { h.dial(h.nodes[0], from, k, transports[1]) })
	}
	wg.Wait()
}
