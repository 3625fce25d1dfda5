package transport

import (
	"cmp"
	"slices"
	"time"

	"doorbell/internal/doorbell"
)

// HearingFresh is how long a console's report on itself counts. The contract has
// clients repeat the report every 60 s, and doorbell's page sends it every 20 s; a
// tab that the browser froze keeps its socket open and reports nothing.
const HearingFresh = 70 * time.Second

// Why a console can't ring now, where the console gives no reason itself.
const (
	notReported  = "not_reported" // never reported that it can be heard, for example curl
	reportsEnded = "stale"        // its last report is too old
	plainClient  = "plain"        // a plain client never reports
	notAudible   = "not_audible"  // reports that it can't be heard, without a reason
)

// ConsoleAttention says whether one console can ring now.
type ConsoleAttention struct {
	Console     string    `json:"console"`
	SID         string    `json:"sid"`
	Label       string    `json:"label"`
	Attentive   bool      `json:"attentive"`
	Reason      string    `json:"reason,omitempty"` // why it can't ring; quiet_hours for a console that can
	Reported    time.Time `json:"reported,omitzero"`
	LastSounded time.Time `json:"lastSounded,omitzero"`
}

// Attention says which of a shop's consoles can ring now.
type Attention struct {
	Attentive int `json:"attentive"`
	// Since is when the shop last gained its first such console, or lost its last
	// one. Zero: it did not change since the node that was asked began.
	Since    time.Time          `json:"since,omitzero"`
	Consoles []ConsoleAttention `json:"consoles"`
}

// deaf returns why the console can't ring at a time; empty if it can. An open
// connection is not enough: the console must have reported lately that it can be
// heard. Needs Hub.mu.
func (c *Console) deaf(now time.Time) string {
	switch {
	case c.plain:
		return plainClient
	case c.Audible == nil:
		return notReported
	case now.Sub(c.heardAt) > HearingFresh:
		return reportsEnded
	case !*c.Audible:
		return cmp.Or(c.AudibleReason, notAudible)
	default:
		return ""
	}
}

// hears stores a console's report on itself, and begins or ends its attention.
// Needs h.mu.
func (h *Hub) hears(c *Console, v Hearing, now time.Time) {
	was := c.deaf(now) == ""
	if !was {
		h.endAttention(c, now) // the last attention, if its report became too old
	}
	c.Audible, c.AudibleReason, c.heardAt = &v.Audible, v.Reason, now
	switch is := c.deaf(now) == ""; {
	case is && !was:
		c.attentiveSince = now
	case was && !is:
		h.endAttention(c, now)
	}
}

// endAttention stores until when a shop had this console's attention. Needs h.mu.
func (h *Hub) endAttention(c *Console, now time.Time) {
	if c.attentiveSince.IsZero() {
		return
	}
	c.attentiveSince = time.Time{}
	end := now
	if stale := c.heardAt.Add(HearingFresh); stale.Before(now) {
		end = stale
	}
	for _, shop := range c.Shops {
		if end.After(h.attended[shop]) {
			h.attended[shop] = end
		}
	}
}

// Attention returns the shop's consoles on this node, the oldest first, and for
// each that can't ring now the reason.
func (h *Hub) Attention(shop doorbell.ShopID) Attention {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	out := Attention{Consoles: []ConsoleAttention{}, Since: h.attended[shop]}
	var began time.Time
	consoles := h.followersOf(shop)
	for _, c := range consoles {
		why := c.deaf(now)
		state := ConsoleAttention{
			Console: c.ID, SID: c.SID, Label: c.Label, Attentive: why == "", Reason: cmp.Or(why, c.AudibleReason),
			Reported: utc(c.heardAt), LastSounded: c.lastSounded,
		}
		switch {
		case state.Attentive:
			out.Attentive++
			if began.IsZero() || c.attentiveSince.Before(began) {
				began = c.attentiveSince
			}
		case !c.attentiveSince.IsZero(): // its report is too old, and nobody has noticed yet
			if stale := c.heardAt.Add(HearingFresh); stale.After(out.Since) {
				out.Since = stale
			}
		}
		out.Consoles = append(out.Consoles, state)
	}
	if out.Attentive > 0 {
		out.Since = began
	}
	out.Since = utc(out.Since)
	return out
}

// AttentiveUntil returns the shops with a console on this node that can ring now,
// and until when the latest report counts.
func (h *Hub) AttentiveUntil() map[doorbell.ShopID]time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	out := map[doorbell.ShopID]time.Time{}
	for _, c := range h.consoles {
		if c.deaf(now) != "" {
			continue
		}
		until := c.heardAt.Add(HearingFresh)
		for _, shop := range c.Shops {
			if until.After(out[shop]) {
				out[shop] = until
			}
		}
	}
	return out
}

// followersOf returns a shop's consoles, the oldest first. Needs h.mu.
func (h *Hub) followersOf(shop doorbell.ShopID) (out []*Console) {
	for _, c := range h.consoles {
		if slices.Contains(c.Shops, shop) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *Console) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	return out
}

// utc converts to UTC and keeps the zero time zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return doorbell.Instant(t)
}
