package transport

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"doorbell/internal/doorbell"
)

// Run audits and repairs the feeds, sends heartbeats and ends sessions whose login
// has ended, until ctx ends.
func (h *Hub) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { h.runRepairs(ctx); return nil })
	g.Go(func() error { h.runAudits(ctx); return nil })
	g.Go(func() error { h.runTicks(ctx); return nil })
	g.Go(func() error { h.runStalled(ctx); return nil })
	g.Go(func() error { h.runRights(ctx); return nil })
	g.Go(func() error { h.tabs.run(ctx, h); return nil })
	return g.Wait()
}

// repairQueue holds each feed that waits for a repair once.
type repairQueue struct {
	mu    sync.Mutex // below feed.mu
	feeds []*feed
	wake  chan struct{} // buffered 1
}

func (q *repairQueue) add(f *feed) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.feeds = append(q.feeds, f) // feed.repairing prevents a second entry
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

// repair reads a feed's missing alerts from the log in chunks, together with the
// alert that the feed sent last: if the log now has another one there, the log
// went back.
func (h *Hub) repair(ctx context.Context, f *feed) {
	for {
		epoch, _ := h.epochKnown()
		at := f.position()
		alerts, err := h.log.AlertsAfter(ctx, f.shop, max(0, at-1), repairChunk)
		if err != nil {
			h.logError(ctx, "repair a feed", err)
			f.giveUpRepair()
			return
		}
		frames := make([]*frame, len(alerts))
		for i, a := range alerts {
			a.Epoch = epoch
			frames[i] = newSharedFrame(a)
		}
		done, fits := f.repaired(epoch, frames)
		if !fits {
			h.wentBack(ctx, epoch, f.shop, at)
		}
		if done {
			return
		}
	}
}

// auditGap is the least time between two audits: a sender of messages from a lost
// timeline must not keep a node busy with audits.
const auditGap = 100 * time.Millisecond

// AuditNow starts an audit of the feeds at once, because alerts may have been
// missed. It does not wait for the result.
func (h *Hub) AuditNow() {
	select {
	case h.auditNow <- struct{}{}:
	default:
	}
}

// runAudits compares the feeds with the log's heads, which finds whatever a broker
// or a bug lost.
func (h *Hub) runAudits(ctx context.Context) {
	gap := time.NewTimer(0)
	defer gap.Stop()
	for {
		select {
		case <-gap.C:
		case <-ctx.Done():
			return
		}
		n := h.audit(ctx)
		h.auditWitnesses(ctx)
		gap.Reset(auditGap)
		select {
		case <-time.After(h.auditWait(n)):
		case <-h.auditNow:
		case <-ctx.Done():
			return
		}
	}
}

// auditMost is the longest time between two audits while the bus is not connected:
// alerts of other nodes are then at most 2 s late.
const auditMost = 1500 * time.Millisecond

// auditWait returns the time until the next audit; it grows with the number of
// feeds, so that audits stay a small load.
func (h *Hub) auditWait(feeds int) time.Duration {
	wait := auditEvery * time.Duration(1+feeds/5000)
	if h.bus == nil || h.bus.Err() != nil {
		return min(wait, auditMost)
	}
	return wait
}

func (h *Hub) audit(ctx context.Context) (shops int) {
	feeds := h.followed()
	for from := 0; from < len(feeds); from += auditChunk {
		chunk := feeds[from:min(from+auditChunk, len(feeds))]
		ids := make([]doorbell.ShopID, len(chunk))
		for i, f := range chunk {
			ids[i] = f.shop
		}
		epoch, at, changed, err := h.positions(ctx, ids)
		if err != nil {
			h.logError(ctx, "audit the heads", err)
			return len(feeds)
		}
		if changed {
			return len(feeds)
		}
		for _, f := range chunk {
			if !f.learn(epoch, at[f.shop]) || h.below(ctx, f, at[f.shop].Head) {
				h.wentBack(ctx, epoch, f.shop, at[f.shop].Head)
				return len(feeds) // the next audit sees the new epoch
			}
		}
	}
	return len(feeds)
}

// wentBack replaces the epoch of a log that went back, and tells every console.
func (h *Hub) wentBack(ctx context.Context, epoch string, shop doorbell.ShopID, seq doorbell.Seq) {
	h.logger.ErrorContext(ctx, "the alert log went back", "shop", shop, "seq", seq)
	if err := h.log.DrawEpoch(ctx, epoch); err != nil {
		h.logError(ctx, "draw a new epoch", err)
		return // the audit finds the same in a second
	}
	h.AuditNow()
}

// below reports whether the log's head is below what this feed has sent. The head
// is read again, because the feed may have received alerts after the first read.
func (h *Hub) below(ctx context.Context, f *feed, head doorbell.Seq) bool {
	if sent := f.position(); f.known() && head < sent {
		_, at, err := h.log.Positions(ctx, []doorbell.ShopID{f.shop})
		return err == nil && at[f.shop].Head < sent
	}
	return false
}

// followed returns the feeds in use and drops those that were idle for long.
func (h *Hub) followed() []*feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*feed, 0, len(h.feeds))
	for shop, f := range h.feeds {
		if f.refs == 0 && time.Since(f.idle) > feedIdle {
			delete(h.feeds, shop)
			if h.bus != nil {
				h.bus.Unfollow(shop)
			}
			continue
		}
		out = append(out, f)
	}
	return out
}

// runTicks runs all sessions' periodic work once a second, without a timer per
// console.
func (h *Hub) runTicks(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			ping := Message{Event: "ping", Data: encode(pingEvent{Event: "ping", Time: stamp(now)})}
			for _, s := range h.all() {
				s.tick(now, ping)
			}
			h.pages.sweep(now)
			h.forgetPolls(ctx, now)
		case <-ctx.Done():
			return
		}
	}
}

func (s *Session) tick(now time.Time, ping Message) {
	s.mu.Lock()
	s.inbound = 0
	// Rather half a tick early than late.
	due := !s.Plain && s.Transport != Poll && now.Sub(s.pinged) >= s.Heartbeat-500*time.Millisecond
	if due {
		s.pinged = now
	}
	s.mu.Unlock()
	if due {
		s.try(ping)
	}
}

// runStalled reads on for sessions whose read of the log failed. It is separate
// from the tick, so that heartbeats go on while the log does not answer.
func (h *Hub) runStalled(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, s := range h.all() {
				if s.Stalled() {
					h.heal(ctx, s)
					s.pump(ctx)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// forgetPolls removes the consoles that stopped polling.
func (h *Hub) forgetPolls(ctx context.Context, now time.Time) {
	for _, line := range h.stoppedPolling(now) {
		h.logger.InfoContext(ctx, "console disconnected", line...)
	}
}

// stoppedPolling takes those consoles off the list and returns their log lines:
// the lock must not be held while a log that blocks is written to.
func (h *Hub) stoppedPolling(now time.Time) (lines [][]any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, c := range h.consoles {
		if c.session == nil && now.Sub(c.seen) > pollLinger {
			delete(h.consoles, id)
			h.lingers--
			h.endAttention(c, now)
			h.gone.add(c)
			lines = append(lines, c.leaving(0, "stopped polling"))
		}
	}
	return lines
}
