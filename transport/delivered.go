package transport

import (
	"sync"
	"time"

	"doorbell/internal/doorbell"
)

const (
	// maxDelivered bounds the shops of which it is kept what was delivered, and
	// maxRanges the ranges of each, until somebody takes them.
	maxDelivered = 20_000
	maxRanges    = 8
)

// deliveries are the alerts that have left for a first console since they were
// last taken.
type deliveries struct {
	mu    sync.Mutex
	shops map[doorbell.ShopID][]doorbell.Delivery // rising
}

// delivered notes alerts that have left for a console. Only the first console of
// this node that gets an alert is noted: for the others it is one comparison.
func (f *feed) noteDelivered(from, upto doorbell.Seq, c *Console) {
	for {
		had := f.delivered.Load()
		if int64(upto) <= had {
			return
		}
		if f.delivered.CompareAndSwap(had, int64(upto)) {
			f.hub.delivered.add(doorbell.Delivery{
				Shop: f.shop, From: max(from, doorbell.Seq(had+1)), Upto: upto, Console: c.ID, By: c.Subject, At: doorbell.Instant(time.Now()),
			})
			return
		}
	}
}

func (d *deliveries) add(one doorbell.Delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ranges := d.shops[one.Shop]
	switch last := len(ranges) - 1; {
	case last >= 0 && one.From == ranges[last].Upto+1 && (ranges[last].Console == one.Console && one.At.Equal(ranges[last].At) || len(ranges) >= maxRanges):
		ranges[last].Upto = one.Upto
		return
	case len(ranges) >= maxRanges || last < 0 && len(d.shops) >= maxDelivered:
		return // a rush, of which nobody took any: shown is noted all the same
	}
	d.shops[one.Shop] = append(ranges, one)
}

// TakeDeliveries returns which alerts have left for a console of this node since it
// was last called; of each, the first console that it went to.
func (h *Hub) TakeDeliveries() (out []doorbell.Delivery) {
	h.delivered.mu.Lock()
	defer h.delivered.mu.Unlock()
	for _, ranges := range h.delivered.shops {
		out = append(out, ranges...)
	}
	clear(h.delivered.shops)
	return out
}

// Left says that all alerts of an answer have left: of a transport that has no
// writer that tells Sent.
func (s *Session) Left() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteLeft()
}

// noteLeft notes what was sent, when nothing waits to be written any more. A stream
// without new orders or reminders tells nothing of those. Needs s.mu.
func (s *Session) noteLeft() {
	if s.tab != nil || !s.wants(doorbell.NewOrder) || !s.wants(doorbell.Reminder) {
		return
	}
	for _, p := range s.places {
		if p.unnoted != 0 {
			p.feed.noteDelivered(p.unnoted, p.sent, s.console)
			p.unnoted = 0
		}
	}
}

// handOut notes that the sink has an alert. Needs s.mu.
func (p *place) handOut(seq doorbell.Seq) {
	if p.unnoted == 0 {
		p.unnoted = seq
	}
	p.sent = seq
}
