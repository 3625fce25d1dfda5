package handlers_test

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
	"doorbell/transport/transporttest"
)

// heard is one stream of a history with what its client received.
type heard struct {
	name   string
	stream transporttest.Stream

	mu    sync.Mutex
	ended error
	last  string // the last alert's content
	pings int
}

func (h *heard) listen() {
	for {
		m, err := h.stream.Next()
		h.mu.Lock()
		if err != nil {
			h.ended = err
			h.mu.Unlock()
			return
		}
		if m.Content != "" {
			h.last = m.Content
		}
		if m.Event == "ping" {
			h.pings++
		}
		h.mu.Unlock()
	}
}

func (h *heard) state() (last string, ended error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last, h.ended
}

// thing is a session, a ticket or a stream, with its parent.
type thing struct {
	parent  *thing
	cookie  string // of a session
	id      string
	device  bool   // it is a paired device, or descends from one
	ticket  string // of a ticket
	made    time.Time
	spent   bool
	stream  *heard
	revoked bool
}

// dead reports whether it, or something that it descends from, was ended.
func (x *thing) dead() bool {
	for ; x != nil; x = x.parent {
		if x.revoked {
			return true
		}
	}
	return false
}

func (x *thing) under(root *thing) bool {
	for ; x != nil; x = x.parent {
		if x == root {
			return true
		}
	}
	return false
}

// check compares the answers with the expected ones.
func (h *sessionHistory) check(name string) {
	var alive []string
	for _, x := range h.things {
		n := h.node()
		switch {
		case x.cookie != "":
			r := n.do("GET", "api/v1/me", "", "Cookie", x.cookie)
			if want := !x.dead(); (r.status == 200) != want || r.status != 200 && r.status != 401 {
				h.t.Errorf("%s: a session answers %d, dead: %v", name, r.status, x.dead())
			}
			if !x.dead() {
				alive = append(alive, x.id)
			}
		case x.ticket != "" && !x.spent && (x.dead() || unspent(x)):
			r := n.do("POST", "api/v1/tickets/preview", `{"ticket":"`+x.ticket+`"}`)
			if want := !x.dead(); (r.status == 200) != want {
				h.t.Errorf("%s: a ticket answers %d, dead: %v", name, r.status, x.dead())
			}
		}
	}
	var listed []string
	for _, l := range h.node().sessionsOf(h.t, "api/v1/sessions", "Authorization", "Bearer "+h.admin) {
		listed = append(listed, l.ID)
	}
	slices.Sort(alive)
	slices.Sort(listed)
	if !slices.Equal(alive, listed) {
		h.t.Errorf("%s: the admin sees %d sessions, want %d: %v and %v", name, len(listed), len(alive), listed, alive)
	}
	// The dead streams end by themselves; then the others receive an order.
	for _, x := range h.things {
		if x.stream != nil && x.dead() {
			testrun.Eventually(h.t, name+": the "+x.stream.name+" of what was ended is over", func() bool { _, ended := x.stream.state(); return ended != nil })
		}
	}
	a := h.nodes[0]
	content := fmt.Sprint("after ", name)
	a.raise(1, doorbell.NewOrder, int64(1000+h.rng.IntN(1e6)), content)
	for _, x := range h.things {
		if x.stream == nil {
			continue
		}
		if x.dead() {
			if last, _ := x.stream.state(); last == content {
				h.t.Errorf("%s: a %s of what was ended was told an order", name, x.stream.name)
			}
			continue
		}
		testrun.Eventually(h.t, name+": the "+x.stream.name+" of what goes on hears an order", func() bool {
			last, ended := x.stream.state()
			return last == content || ended != nil
		})
		if last, ended := x.stream.state(); last != content {
			h.t.Errorf("%s: the %s of what goes on ended: %v", name, x.stream.name, ended)
		}
	}
}

// clear ends all that is left, so that the next history starts empty.
func (h *sessionHistory) clear() {
	for _, l := range h.node().sessionsOf(h.t, "api/v1/sessions", "Authorization", "Bearer "+h.admin) {
		r := h.node().as(h.admin, "DELETE", "api/v1/sessions/"+l.ID, "")
		if r.status != 204 && r.status != 404 { // it may have ended with its parent
			h.t.Errorf("clear: %d %s", r.status, r.body)
		}
	}
	for _, x := range h.things {
		if x.stream != nil {
			x.stream.stream.Close()
		}
	}
	h.wg.Wait()
}
