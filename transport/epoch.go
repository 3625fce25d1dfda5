package transport

import (
	"context"

	"doorbell/internal/doorbell"
)

// maxRereads bounds how often a read of the log is repeated because the epoch
// changed meanwhile.
const maxRereads = 3

// positions reads the shops' positions and the log's epoch; changed says that the
// epoch is a new one and that every session was reset. If another change became
// known during the read, positions reads again: the old result would take the hub,
// and every console, back to the old epoch.
func (h *Hub) positions(ctx context.Context, shops []doorbell.ShopID) (epoch string, at map[doorbell.ShopID]doorbell.Position, changed bool, err error) {
	for range maxRereads {
		_, since := h.epochKnown()
		if epoch, at, err = h.log.Positions(ctx, shops); err != nil {
			return "", nil, false, err
		}
		var stale bool
		if changed, stale = h.noteEpoch(ctx, epoch, since); !stale {
			return epoch, at, changed, nil
		}
	}
	return "", nil, false, errRewinding
}

// epochKnown returns the log's epoch as this node knows it, and how often it has
// changed.
func (h *Hub) epochKnown() (epoch string, changes int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.epoch, h.epochs
}

// noteEpoch compares the epoch of a read of the log, which began after that many
// changes, with the present one. On a change every feed empties its ring and every
// session is reset.
func (h *Hub) noteEpoch(ctx context.Context, epoch string, since int) (changed, stale bool) {
	h.mu.Lock()
	old := h.epoch
	switch {
	case old == epoch:
	case since != h.epochs:
		stale = true
	default:
		h.epoch = epoch
		h.epochs++
		changed = old != ""
	}
	h.mu.Unlock()
	if changed {
		h.logger.WarnContext(ctx, "the alert log has a new epoch", "old", old, "new", epoch)
		h.resetAll(ctx, epoch)
	}
	return changed, stale
}

// unknownEpoch stands for the epoch until a change is complete: the next audit
// repeats an incomplete change.
const unknownEpoch = "?"

// resetAll moves every feed and session to a new epoch. Only one runs at a time:
// two would leave some of them in either epoch.
func (h *Hub) resetAll(ctx context.Context, epoch string) {
	h.resetting.Lock()
	defer h.resetting.Unlock()
	if now, _ := h.epochKnown(); now != epoch { // a later epoch is already known
		return
	}
	sessions, feeds := h.all(), h.followed()
	for _, s := range sessions { // first, sending stops everywhere
		s.halt()
	}
	heads := map[doorbell.ShopID]doorbell.Seq{}
	for _, f := range feeds {
		_, at, err := h.log.Positions(ctx, []doorbell.ShopID{f.shop})
		if err != nil {
			h.logError(ctx, "read a head after a new epoch", err)
			h.mu.Lock()
			if h.epoch == epoch {
				h.epoch = unknownEpoch
				h.epochs++
			}
			h.mu.Unlock()
			return
		}
		heads[f.shop] = at[f.shop].Head
		f.rewind(epoch, at[f.shop])
	}
	for _, s := range sessions {
		s.resume(epoch, heads)
		s.pump(ctx)
	}
}

// heal moves a session to the log's epoch if it missed the change, because it was
// opened before the change and joined after it. Without heal it would never
// receive anything from its feeds.
func (h *Hub) heal(ctx context.Context, s *Session) {
	if epoch, _ := h.epochKnown(); s.inEpoch(epoch) {
		return
	}
	epoch, at, _, err := h.positions(ctx, s.Shops)
	if err != nil {
		h.logError(ctx, "take a console to the new epoch", err)
		s.stall() // the next tick tries again
		return
	}
	heads := map[doorbell.ShopID]doorbell.Seq{}
	for shop, p := range at {
		heads[shop] = p.Head
	}
	s.resume(epoch, heads)
}

func (s *Session) inEpoch(epoch string) bool { return s.epochNow() == epoch }

func (s *Session) epochNow() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

func (s *Session) stall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stalled = true
}

// halt takes a session off its feeds' live path.
func (s *Session) halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.places {
		p.live = false
	}
}

// resume continues from the heads of a new epoch.
func (s *Session) resume(epoch string, heads map[doorbell.ShopID]doorbell.Seq) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch == epoch {
		return // opened after the change
	}
	s.epoch = epoch
	s.pending = nil
	for _, p := range s.places {
		p.next = heads[p.feed.shop] + 1
		p.live = false
		if s.tab != nil {
			s.tab.outset(p.next - 1)
		}
	}
	s.reset(EpochChanged, s.Shops)
}

// fallBehind takes one place off the live path, because its feed was moved to
// another epoch or past it.
func (s *Session) fallBehind(p *place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.live, s.stalled = false, true
}
