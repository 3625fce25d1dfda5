package transport

import (
	"context"
	"fmt"

	"doorbell/internal/doorbell"
)

// Open places a subscription in the log. The session starts with Run and must end
// with Leave. A CrowdedError names the limit that is reached; other errors are the
// log's. A stopping node opens streams as before, and Run ends them: a refusal
// would stop a native EventSource for good, which reconnects only after status
// 200.
func (h *Hub) Open(ctx context.Context, sub Subscription) (*Session, error) {
	seat, err := h.room.take(sub)
	if err != nil {
		return nil, err
	}
	s, err := h.open(ctx, sub)
	if err != nil {
		h.room.give(seat, sub.Shops)
		return nil, err
	}
	s.seat = seat
	return s, nil
}

func (h *Hub) open(ctx context.Context, sub Subscription) (*Session, error) {
	if sub.Window == 0 {
		sub.Window = Window
	}
	if sub.Heartbeat == 0 {
		sub.Heartbeat = h.heartbeat
	}
	feeds := h.hold(sub.Shops)
	s := &Session{Subscription: sub, hub: h, expires: sub.Grant.Expires, places: make([]*place, len(feeds))}
	for i, f := range feeds {
		s.places[i] = &place{session: s, feed: f}
	}
	if !s.placeFromFeeds() {
		if err := s.placeFromLog(ctx); err != nil {
			h.release(feeds)
			return nil, err
		}
	}
	if sub.Start == FromPages {
		s.tab = &tab{}
		if err := s.placeTab(ctx); err != nil {
			h.release(feeds)
			return nil, err
		}
	}
	h.fetchPoll(ctx, sub)
	h.enlist(s)
	return s, nil
}

// placeFromFeeds continues from the cursor without reading the log, if every feed
// reaches back to it: so does a console after its connection was cut, and
// thousands at once after a proxy's restart.
func (s *Session) placeFromFeeds() bool {
	if s.Start != FromCursor {
		return false
	}
	for _, p := range s.places {
		seq, ok := s.Subscription.Cursor.Seqs[p.feed.shop]
		if !ok || !p.feed.reaches(s.Subscription.Cursor.Epoch, seq+1) {
			return false
		}
		p.next = seq + 1
	}
	s.epoch = s.Subscription.Cursor.Epoch
	return true
}

// placeFromLog reads the shops' positions from the log. The feeds must be held:
// they then receive an alert that commits meanwhile early, and learn sorts it in.
func (s *Session) placeFromLog(ctx context.Context) error {
	epoch, at, _, err := s.hub.positions(ctx, s.Shops)
	if err != nil {
		return fmt.Errorf("read the shops' positions: %w", err)
	}
	s.epoch = epoch
	resets := map[ResetReason][]doorbell.ShopID{}
	for _, p := range s.places {
		shop := p.feed.shop
		if !p.feed.learn(epoch, at[shop]) {
			s.hub.AuditNow() // the audit finds the same and draws an epoch
		}
		next, reason := start(s.Subscription, epoch, shop, at[shop])
		if reason != "" {
			resets[reason] = append(resets[reason], shop)
		}
		p.next = next
	}
	for _, reason := range resetReasons {
		if shops := resets[reason]; shops != nil {
			s.reset(reason, shops)
		}
	}
	return nil
}

// start returns the first seq that a stream sends of a shop, and a reason if it
// can't continue from its cursor.
func start(sub Subscription, epoch string, shop doorbell.ShopID, at doorbell.Position) (doorbell.Seq, ResetReason) {
	now := at.Head + 1
	switch sub.Start {
	case FromOldest:
		return at.Oldest, ""
	case FromBadCursor:
		return now, BadCursor
	case FromCursor:
	default:
		return now, ""
	}
	seq, ok := sub.Cursor.Seqs[shop]
	switch {
	case !ok:
		return now, ""
	case sub.Cursor.Epoch != epoch:
		return now, EpochChanged
	case seq > at.Head:
		return now, AboveHead
	case seq+1 < at.Oldest:
		return now, Pruned
	default:
		return seq + 1, ""
	}
}
