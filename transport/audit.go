package transport

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"doorbell/internal/doorbell"
)

// Run audits the feeds, repairs them, beats for the sessions and ends those
// whose right is over, until ctx ends.
func (h *Hub) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { h.runRepairs(ctx); return nil })
	g.Go(func() error { h.runAudits(ctx); return nil })
	g.Go(func() error { h.runTicks(ctx); return nil })
	return g.Wait()
}

// repairQueue holds the feeds that wait for a repair, each once.
type repairQueue struct {
	mu    sync.Mutex // below feed.mu
	feeds []*feed
	wake  chan struct{} // buffered 1
}

func (q *repairQueue) add(f *feed) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.feeds = append(q.feeds, f) // feed.repairing keeps it single
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next waits for a feed; false when ctx ended.
func (q *repairQueue) next(ctx context.Context) (*feed, bool) {
	for {
		q.mu.Lock()
		if len(q.feeds) > 0 {
			f := q.feeds[0]
			q.feeds = q.feeds[1:]
			q.mu.Unlock()
			return f, true
		}
		q.mu.Unlock()
		select {
		case <-q.wake:
		case <-ctx.Done():
			return nil, false
		}
	}
}

func (h *Hub) runRepairs(ctx context.Context) {
	g := errgroup.Group{}
	g.SetLimit(maxRepairs)
	for {
		f, ok := h.repairs.next(ctx)
		if !ok {
			break
		}
		g.Go(func() error { h.repair(ctx, f); return nil })
	}
	_ = g.Wait() // nothing returns an error
}

// repair reads what a feed misses from the log, a chunk at a time.
func (h *Hub) repair(ctx context.Context, f *feed) {
	for {
		h.mu.Lock()
		epoch := h.epoch
		h.mu.Unlock()
		alerts, err := h.log.AlertsAfter(ctx, f.shop, f.position(), repairChunk)
		if err != nil {
			h.logError(ctx, "repair a feed", err)
			f.giveUpRepair()
			return
		}
		frames := make([]*frame, len(alerts))
		for i, a := range alerts {
			frames[i] = newSharedFrame(a, epoch)
		}
		if f.repaired(frames) {
			return
		}
	}
}

// runAudits compares the feeds with the log's heads: whatever a broker or a
// bug lost is found here.
func (h *Hub) runAudits(ctx context.Context) {
	for {
		n := h.audit(ctx)
		// Stretched when there are many, so that auditing stays a small load.
		wait := auditEvery * time.Duration(1+n/5000)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

func (h *Hub) audit(ctx context.Context) (shops int) {
	feeds := h.followed()
	for from := 0; from < len(feeds); from += auditChunk {
		chunk := feeds[from:min(from+auditChunk, len(feeds))]
		ids := make([]doorbell.ShopID, len(chunk))
		for i, f := range chunk {
			ids[i] = f.shop
		}
		epoch, at, err := h.log.Positions(ctx, ids)
		if err != nil {
			h.logError(ctx, "audit the heads", err)
			return len(feeds)
		}
		if h.noteEpoch(ctx, epoch) {
			return len(feeds)
		}
		for _, f := range chunk {
			if h.wentBack(ctx, f, at[f.shop].Head) {
				h.logger.ErrorContext(ctx, "the log went back", "shop", f.shop, "head", at[f.shop].Head)
				if err := h.log.DrawEpoch(ctx, epoch); err != nil {
					h.logError(ctx, "draw a new epoch", err)
				}
				return len(feeds) // the next audit sees the new epoch
			}
			f.learn(epoch, at[f.shop].Head)
		}
	}
	return len(feeds)
}

// wentBack reports whether the log's head is below what this feed has sent. The
// feed may have been handed alerts after the head was read, so it is read
// again.
func (h *Hub) wentBack(ctx context.Context, f *feed, head doorbell.Seq) bool {
	if sent := f.position(); f.known() && head < sent {
		_, at, err := h.log.Positions(ctx, []doorbell.ShopID{f.shop})
		return err == nil && at[f.shop].Head < sent
	}
	return false
}

// followed are the feeds in use; others are dropped when they have been idle
// for long.
func (h *Hub) followed() []*feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*feed, 0, len(h.feeds))
	for shop, f := range h.feeds {
		if f.refs == 0 && time.Since(f.idle) > feedIdle {
			delete(h.feeds, shop)
			continue
		}
		out = append(out, f)
	}
	return out
}

// noteEpoch compares the log's epoch with the one known. On a change every feed
// forgets its ring and every session is reset.
func (h *Hub) noteEpoch(ctx context.Context, epoch string) (changed bool) {
	h.mu.Lock()
	old := h.epoch
	h.epoch = epoch
	h.mu.Unlock()
	if old == "" || old == epoch {
		return false
	}
	h.logger.WarnContext(ctx, "the log has a new epoch", "old", old, "new", epoch)
	h.resetAll(ctx, epoch)
	return true
}

func (h *Hub) resetAll(ctx context.Context, epoch string) {
	sessions, feeds := h.all(), h.followed()
	for _, s := range sessions { // first nothing is sent any more
		s.halt()
	}
	heads := map[doorbell.ShopID]doorbell.Seq{}
	for _, f := range feeds {
		_, at, err := h.log.Positions(ctx, []doorbell.ShopID{f.shop})
		if err != nil {
			h.logError(ctx, "read a head after a new epoch", err)
			h.mu.Lock()
			h.epoch = "?" // so that the next audit does this again
			h.mu.Unlock()
			return
		}
		heads[f.shop] = at[f.shop].Head
		f.rewind(epoch, at[f.shop].Head)
	}
	for _, s := range sessions {
		s.resume(epoch, heads)
		s.pump(ctx)
	}
}

// halt takes a session off its feeds' live path.
func (s *Session) halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.places {
		p.live = false
	}
}

// resume goes on from the heads of a new epoch.
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
	}
	s.reset(EpochChanged, s.Shops)
}

// runTicks beats once a second for all sessions: no timer per console.
func (h *Hub) runTicks(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			ping := Message{Event: "ping", Data: encode(pingEvent{Event: "ping", Time: stamp(now)})}
			for _, s := range h.all() {
				h.tick(ctx, s, now, ping)
			}
			h.forgetPolls(ctx, now)
		case <-ctx.Done():
			return
		}
	}
}

func (h *Hub) tick(ctx context.Context, s *Session, now time.Time, ping Message) {
	s.mu.Lock()
	s.inbound = 0
	// Half a tick early rather than half a tick late.
	due := !s.Plain && s.Transport != Poll && now.Sub(s.pinged) >= s.Heartbeat-500*time.Millisecond
	if due {
		s.pinged = now
	}
	stalled := s.stalled
	over := s.over
	expired := !s.expires.IsZero() && !now.Before(s.expires)
	s.mu.Unlock()
	if over {
		return
	}
	if expired && !h.renewed(ctx, s) {
		s.Close(AuthOver)
		return
	}
	if due {
		s.try(ping)
	}
	if stalled {
		s.pump(ctx)
	}
}

// renewed asks whether a cookie's login was prolonged meanwhile.
func (h *Hub) renewed(ctx context.Context, s *Session) bool {
	if s.Grant.Session == "" || h.renew == nil {
		return false
	}
	until, err := h.renew(ctx, s.Grant.Session)
	if err != nil || !until.After(time.Now()) {
		return false
	}
	s.mu.Lock()
	s.expires = until
	s.mu.Unlock()
	return true
}

// forgetPolls drops the consoles that stopped polling.
func (h *Hub) forgetPolls(ctx context.Context, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, c := range h.consoles {
		if c.session == nil && now.Sub(c.seen) > pollLinger {
			delete(h.consoles, id)
			h.logGone(ctx, c, 0, "stopped polling")
		}
	}
}
