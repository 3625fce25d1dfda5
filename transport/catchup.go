package transport

import (
	"context"
	"errors"

	"doorbell/internal/doorbell"
)

// Sent records that n messages have left. It may then read the log, so it is
// called from the connection's own writer.
func (s *Session) Sent(ctx context.Context, n int) {
	s.mu.Lock()
	if s.inflight -= n; s.inflight == 0 {
		s.noteLeft()
	}
	due := s.inflight <= s.Window/2 && !s.pumping && s.behind() > 0
	s.mu.Unlock()
	if due {
		s.pump(ctx)
	}
}

// behind counts what the feeds don't send: places that read on, and resets. Needs
// s.mu.
func (s *Session) behind() (n int) {
	for _, p := range s.places {
		if !p.live {
			n++
		}
	}
	return n + len(s.pending)
}

// pump fills the window with what the feeds do not send: resets first, then the
// next alert of each shop that is behind, in turn. One pump runs at a time.
func (s *Session) pump(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pumping {
		return
	}
	s.pumping, s.stalled = true, false
	defer func() { s.pumping = false }()
	for !s.over && s.sink != nil {
		for len(s.pending) > 0 && s.inflight < s.Window {
			s.send(s.pending[0])
			s.pending = s.pending[1:]
		}
		room := s.Window - s.inflight
		p, behind := s.nextBehind()
		if room <= 0 || p == nil {
			return
		}
		next, quota := p.next, max(1, room/behind)
		s.mu.Unlock()
		err := s.advance(ctx, p, next, quota)
		s.mu.Lock()
		if err != nil {
			s.stalled = true
			return
		}
	}
}

// nextBehind returns the place whose turn it is to read on. Needs s.mu.
func (s *Session) nextBehind() (p *place, behind int) {
	for i := range s.places {
		q := s.places[(s.turn+i)%len(s.places)]
		if q.live {
			continue
		}
		if behind++; p == nil {
			p = q
		}
	}
	if p != nil {
		s.turn++
	}
	return p, behind
}

// advance sends the next alerts of one shop, as far as there is room: from the
// feed's ring if it reaches back far enough, else from a page of the log that was
// read or is being read, or that advance reads itself.
func (s *Session) advance(ctx context.Context, p *place, next doorbell.Seq, quota int) error {
	g, isNew, err := s.inTurn(p, next, quota, nil)
	if g == nil {
		return s.unlessPruned(ctx, p, next, err)
	}
	patience, cancel := context.WithTimeout(ctx, pageWait)
	defer cancel()
	for g != nil {
		var own *page
		if isNew {
			own = g
			// In a goroutine of its own: reading the log needs a deep stack, which a
			// connection's goroutine would keep as long as the console stays.
			go s.hub.fetch(ctx, g)
		}
		if err := g.wait(patience); err != nil {
			return err
		}
		if _, kept := g.peek(next); isNew && !kept {
			return s.skipPruned(ctx, p, next)
		}
		g, isNew, err = s.inTurn(p, next, quota, own)
	}
	return s.unlessPruned(ctx, p, next, err)
}

// fetch reads a page for all who wait for it.
func (h *Hub) fetch(ctx context.Context, g *page) {
	if err := h.pages.fetch(ctx, h.log, g); err != nil {
		h.logError(ctx, "read on for a console", err)
	}
}

func (s *Session) unlessPruned(ctx context.Context, p *place, next doorbell.Seq, err error) error {
	if errors.Is(err, errPruned) {
		return s.skipPruned(ctx, p, next)
	}
	return err
}

var (
	// errRewinding: the hub is about to move the feed or the session to the log's
	// new epoch. The session stalls until then.
	errRewinding = errors.New("the alert log has a new epoch")
	// errPruned: the alert is older than what the log keeps.
	errPruned = errors.New("the alert is no longer kept")
)

// farBehind is how many alerts a console may miss and still read on without waiting
// for its turn: one that keeps up with many publishers is some hundred behind, and
// would fall ever further back.
const farBehind = 512

// inTurn runs fromFeed when it is this console's turn among all that are far behind.
// Without turns hundreds of them are ready to run at once, and each step of a new
// alert to any shop waits behind all of them.
func (s *Session) inTurn(p *place, next doorbell.Seq, quota int, own *page) (wanted *page, isNew bool, err error) {
	if p.feed.position() >= next+farBehind {
		s.hub.turns <- struct{}{} // nobody waits for anything in its turn
		defer func() { <-s.hub.turns }()
	}
	return s.fromFeed(p, next, quota, own)
}

// fromFeed serves a place from its feed's ring or from a page, own or one that
// is kept. Where neither has what it needs, it returns the page that will: the
// caller waits for it, or fetches it where it is new.
func (s *Session) fromFeed(p *place, next doorbell.Seq, quota int, own *page) (wanted *page, isNew bool, err error) {
	f := p.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || p.next != next { // a reset moved it meanwhile
		return nil, false, nil
	}
	if f.epoch != s.epoch {
		return nil, false, errRewinding
	}
	if next < f.next {
		if len(f.ring) > 0 && next >= f.ring[0].seq {
			s.takeFrom(p, f, quota)
		} else {
			// A page that was asked for before the feed was rewound holds other
			// alerts by the same numbers.
			if own == nil || own.rewinds != f.rewinds {
				if own, isNew = s.hub.pages.find(f, next); isNew || !own.isRead() {
					return own, isNew, nil
				}
			}
			if next < own.first {
				return nil, false, errPruned
			}
			s.takeFrom(p, own, quota)
		}
	}
	if p.next >= f.next {
		p.live = true
		if p.next > f.next { // the cursor knows more than this feed
			f.startRepair(0)
		}
	}
	return nil, false, nil
}

// takeFrom sends what follows in t: as one message where the sink can do that
// and most of the window has left, else up to quota alerts by themselves. Needs
// s.mu.
func (s *Session) takeFrom(p *place, t tail, quota int) {
	if sink, ok := s.sink.(BurstSink); ok && s.tab == nil && s.inflight <= s.Window/2 {
		s.sendBurst(p, t, sink)
		return
	}
	for range quota {
		fr, ok := t.peek(p.next)
		if !ok || !s.take(p, &fr) {
			return
		}
	}
}

// skipPruned resets one shop whose next alert is no longer kept.
func (s *Session) skipPruned(ctx context.Context, p *place, next doorbell.Seq) error {
	epoch, at, err := s.hub.log.Positions(ctx, []doorbell.ShopID{p.feed.shop})
	if err != nil {
		s.hub.logError(ctx, "read a shop's head", err)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch != s.epoch {
		return errRewinding // the hub's audit resets the whole session
	}
	if p.next != next {
		return nil
	}
	p.next = at[p.feed.shop].Head + 1
	s.reset(Pruned, []doorbell.ShopID{p.feed.shop})
	return nil
}
