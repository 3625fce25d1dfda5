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

	plain          bool
	heardAt        time.Time // when it last said whether it can be heard
	attentiveSince time.Time // zero: it was not when it was last looked at
	lastSounded    time.Time

	session *Session // nil between two polls, and when it has left
	seen    time.Time
	cursor  doorbell.Cursor
}

// shopCursor is the part of a cursor that tells of one shop: where a console
// stands in others is nobody's business who asks for this one.
func shopCursor(c doorbell.Cursor, shop doorbell.ShopID) string {
	seq, ok := c.Seqs[shop]
	if !ok {
		return ""
	}
	return doorbell.Cursor{Epoch: c.Epoch, Seqs: map[doorbell.ShopID]doorbell.Seq{shop: seq}}.String()
}

// heldBy reports whether the console was opened with the caller's right: by the
// same session where both came by one, else by the same subject.
func (c *Console) heldBy(g doorbell.Grant) bool {
	return c.Subject == g.Subject && (c.Login == g.Session || c.Login == "" || g.Session == "")
}

// ConsoleState is a copy of a Console for the list of a shop's consoles.
type ConsoleState struct {
	Console     string    `json:"console"`
	SID         string    `json:"sid"`
	Label       string    `json:"label"`
	Transport   string    `json:"transport"`
	Since       time.Time `json:"since"`
	Cursor      string    `json:"cursor"` // in the shop that was asked for
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
			Cursor: shopCursor(c.cursor, shop), LastReceipt: c.LastReceipt, Audible: c.Audible, Reason: c.AudibleReason, Subject: c.Subject,
		})
		sessions = append(sessions, c.session)
	}
	h.mu.Unlock()
	for i, s := range sessions {
		if s != nil {
			out[i].Cursor = shopCursor(s.Cursor(), shop)
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

// SetHearing notes what console says of itself; false when the caller has no
// such console here. Another tablet that was signed in by the same link is
// another session: a stolen one can't say that the kitchen's own is silent, or
// sounds.
func (h *Hub) SetHearing(console string, by doorbell.Grant, v Hearing) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.console(console)
	if c == nil || !c.heldBy(by) {
		return false
	}
	h.hears(c, v, time.Now())
	if v.Label != "" {
		c.Label = v.Label
	}
	return true
}

// Sends reports whether console is one of the caller's that follows the shop,
// or was until a moment ago: a receipt may come after its console has left.
func (h *Hub) Sends(console string, by doorbell.Grant, shop doorbell.ShopID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.console(console)
	return c != nil && c.heldBy(by) && slices.Contains(c.Shops, shop)
}

// NoteReceipt marks when console last reported on an alert, and when it last
// sounded.
func (h *Hub) NoteReceipt(console string, stage doorbell.Stage, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.console(console); c != nil {
		c.LastReceipt = at
		if stage == doorbell.Sounded {
			c.lastSounded = at
		}
	}
}

// console finds one that is listed, or has left a moment ago. Needs h.mu.
func (h *Hub) console(id string) *Console {
	if c := h.consoles[id]; c != nil {
		return c
	}
	return h.gone.find(id, time.Now())
}

const (
	// maxLingering bounds the polling consoles that are listed between two
	// polls; a client that never tells its id makes a new one with each.
	maxLingering = 4096
	// maxGone bounds the consoles that are remembered after they left.
	maxGone = 4096
	// goneLinger is how long they are: the receipts of what a console has shown
	// just before its line was cut come with its id.
	goneLinger = 2 * time.Minute
)

// departed remembers the consoles that have left, the latest maxGone of them.
type departed struct {
	byID  map[string]*Console
	order []*Console // a ring, the oldest at next once it is full
	next  int
}

func (d *departed) add(c *Console) {
	c.cursor = doorbell.Cursor{} // up to 64 shops of it
	if d.byID == nil {
		d.byID = map[string]*Console{}
	}
	switch {
	case d.byID[c.ID] == c: // a poll that found itself again and left anew
		return
	case len(d.order) < maxGone:
		d.order = append(d.order, c)
	default:
		delete(d.byID, d.order[d.next].ID)
		d.order[d.next] = c
		d.next = (d.next + 1) % maxGone
	}
	d.byID[c.ID] = c
}

// find is nil for a console that has left too long ago.
func (d *departed) find(id string, now time.Time) *Console {
	c := d.byID[id]
	if c == nil || now.Sub(c.seen) > goneLinger {
		return nil
	}
	return c
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
