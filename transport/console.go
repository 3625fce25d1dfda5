package transport

import (
	"cmp"
	"slices"
	"time"

	"doorbell/internal/doorbell"
)

// Names of the transports, as they stand in logs and in the list of consoles.
const (
	WebSocket = "websocket"
	SSE       = "sse"
	Poll      = "poll"
)

// Console is what is known of one connected client. A poll's outlives its
// requests by pollLinger. Guarded by Hub.mu.
type Console struct {
	ID, SID, Label, Transport, Remote string
	Subject                           string
	Login                             string // session of a cookie, if any
	Shops                             []doorbell.ShopID
	Since                             time.Time
	Audible                           *bool // nil: never said
	AudibleReason                     string
	LastReceipt                       time.Time

	session *Session // nil between two polls
	seen    time.Time
	cursor  string
}

// ConsoleState is a copy of a Console for the list of a shop's consoles.
type ConsoleState struct {
	Console     string    `json:"console"`
	SID         string    `json:"sid"`
	Label       string    `json:"label"`
	Transport   string    `json:"transport"`
	Since       time.Time `json:"since"`
	Cursor      string    `json:"cursor"`
	LastReceipt time.Time `json:"lastReceipt,omitzero"`
	Audible     *bool     `json:"audible"`
	Reason      string    `json:"reason,omitempty"`
	Subject     string    `json:"sub"`
}

// Consoles lists who follows the shop on this node, the oldest first.
func (h *Hub) Consoles(shop doorbell.ShopID) []ConsoleState {
	h.mu.Lock()
	out := []ConsoleState{}
	var sessions []*Session
	for _, c := range h.consoles {
		if !slices.Contains(c.Shops, shop) {
			continue
		}
		out = append(out, ConsoleState{
			Console: c.ID, SID: c.SID, Label: c.Label, Transport: c.Transport, Since: c.Since,
			Cursor: c.cursor, LastReceipt: c.LastReceipt, Audible: c.Audible, Reason: c.AudibleReason, Subject: c.Subject,
		})
		sessions = append(sessions, c.session)
	}
	h.mu.Unlock()
	for i, s := range sessions {
		if s != nil {
			out[i].Cursor = s.Cursor().String()
		}
	}
	slices.SortFunc(out, func(a, b ConsoleState) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Console, b.Console))
	})
	return out
}

// Hearing is what a console says of itself.
type Hearing struct {
	Audible bool
	Reason  string
	Label   string
}

// SetHearing notes what console says of itself; false when subject has no such
// console here.
func (h *Hub) SetHearing(console, subject string, v Hearing) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.consoles[console]
	if c == nil || c.Subject != subject {
		return false
	}
	c.Audible, c.AudibleReason = &v.Audible, v.Reason
	if v.Label != "" {
		c.Label = v.Label
	}
	return true
}

// NoteReceipt marks when console last reported on an alert.
func (h *Hub) NoteReceipt(console string, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.consoles[console]; c != nil {
		c.LastReceipt = at
	}
}

// Announce sends a text to the consoles of the shops, all of them where shops
// is nil, and returns to how many. It is not in the log and may be missed.
// plain also sends it as bare text to plain clients.
func (h *Hub) Announce(text string, shops []doorbell.ShopID, plain bool) (n int) {
	m := Message{Event: "announce", Data: encode(announceEvent{Event: "announce", Text: text, Time: stamp(time.Now())})}
	for _, s := range h.all() {
		if shops != nil && !slices.ContainsFunc(shops, func(id doorbell.ShopID) bool { return slices.Contains(s.Shops, id) }) {
			continue
		}
		switch {
		case !s.Plain:
			if s.try(m) {
				n++
			}
		case plain:
			if s.try(Message{Event: "announce", Data: []byte(text)}) {
				n++
			}
		}
	}
	return n
}

// EndLogin closes the streams that came by a session cookie.
func (h *Hub) EndLogin(login string) {
	for _, s := range h.all() {
		if login != "" && s.Grant.Session == login {
			s.Close(AuthOver)
		}
	}
}
