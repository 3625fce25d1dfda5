package transport

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	randv2 "math/rand/v2"
	"sync"
	"time"
	"unicode/utf8"

	"doorbell/internal/doorbell"
)

const (
	auditEvery = time.Second
	// auditChunk bounds one query for heads.
	auditChunk = 500
	// feedIdle is how long a feed that nobody follows keeps its ring: a tab
	// that reloads finds it warm.
	feedIdle = time.Minute
	// pollLinger is how long a console that polls is listed after an answer.
	pollLinger = 45 * time.Second
	// maxRepairs bounds the repairs that read the log at once.
	maxRepairs = 4
)

// Options of New.
type Options struct {
	Log       Log
	Logger    *slog.Logger
	Version   string
	Heartbeat time.Duration
	// Renew tells until when a session cookie's login is good now; an error
	// ends its streams. Asked when the time that was known is over.
	Renew func(ctx context.Context, login string) (time.Time, error)
	// LogText: log what clients send, not only how much.
	LogText bool
}

// Hub joins the shops' feeds with the sessions of this node.
type Hub struct {
	log       Log
	logger    *slog.Logger
	version   string
	heartbeat time.Duration
	renew     func(context.Context, string) (time.Time, error)
	logText   bool

	mu       sync.Mutex // guards all below
	feeds    map[doorbell.ShopID]*feed
	sessions map[*Session]struct{}
	consoles map[string]*Console
	epoch    string
	draining bool
	empty    chan struct{} // closed when draining and no session is left

	repairs repairQueue
}

// New makes a hub that Run brings to life.
func New(o Options) *Hub {
	return &Hub{
		log: o.Log, logger: o.Logger, version: o.Version, heartbeat: o.Heartbeat, renew: o.Renew, logText: o.LogText,
		feeds: map[doorbell.ShopID]*feed{}, sessions: map[*Session]struct{}{}, consoles: map[string]*Console{},
		empty: make(chan struct{}), repairs: repairQueue{wake: make(chan struct{}, 1)},
	}
}

// Deliver takes alerts that were committed, from this node's writer or from
// another's. It never blocks.
func (h *Hub) Deliver(alerts []doorbell.Alert) {
	feeds := make([]*feed, len(alerts))
	h.mu.Lock()
	epoch := h.epoch
	for i, a := range alerts {
		feeds[i] = h.feeds[a.Shop]
	}
	h.mu.Unlock()
	for i, a := range alerts {
		if f := feeds[i]; f != nil {
			f.deliver(newSharedFrame(a, epoch))
		}
	}
}

// Open resolves a subscription against the log. The session starts with Run
// and must end with Leave. ErrDraining while the node stops; other errors are
// the log's.
func (h *Hub) Open(ctx context.Context, sub Subscription) (*Session, error) {
	if sub.Window == 0 {
		sub.Window = Window
	}
	if sub.Heartbeat == 0 {
		sub.Heartbeat = h.heartbeat
	}
	feeds, err := h.hold(sub.Shops)
	if err != nil {
		return nil, err
	}
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
	h.enlist(s)
	return s, nil
}

// placeFromFeeds goes on from a cursor that every feed reaches back to, without
// asking the log: what a console does after its line was cut, and thousands at
// once when it was a proxy's.
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

// placeFromLog asks the log where the shops stand. Needs the feeds to be held:
// an alert that commits meanwhile reaches them early, and learn sorts it in.
func (s *Session) placeFromLog(ctx context.Context) error {
	epoch, at, err := s.hub.log.Positions(ctx, s.Shops)
	if err != nil {
		return fmt.Errorf("read where the shops stand: %w", err)
	}
	s.hub.noteEpoch(ctx, epoch)
	s.epoch = epoch
	resets := map[ResetReason][]doorbell.ShopID{}
	for _, p := range s.places {
		shop := p.feed.shop
		p.feed.learn(epoch, at[shop].Head)
		next, reason := start(s.Subscription, epoch, shop, at[shop])
		if reason != "" {
			resets[reason] = append(resets[reason], shop)
		}
		p.next = next
	}
	for _, reason := range []ResetReason{BadCursor, EpochChanged, AboveHead, Pruned} {
		if shops := resets[reason]; shops != nil {
			s.reset(reason, shops)
		}
	}
	return nil
}

// start is the first seq that a stream sends of a shop, and why its cursor
// can't be honoured, if so.
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

// hold takes the shops' feeds into use.
func (h *Hub) hold(shops []doorbell.ShopID) ([]*feed, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		return nil, ErrDraining
	}
	out := make([]*feed, len(shops))
	for i, shop := range shops {
		f := h.feeds[shop]
		if f == nil {
			f = &feed{shop: shop, hub: h, early: map[doorbell.Seq]*frame{}}
			h.feeds[shop] = f
		}
		f.refs++
		out[i] = f
	}
	return out, nil
}

func (h *Hub) release(feeds []*feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range feeds {
		if f.refs--; f.refs == 0 {
			f.idle = time.Now()
		}
	}
}

// enlist gives the session its console; a poll finds its own again.
func (h *Hub) enlist(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.consoles[s.Subscription.Console] //nolint:staticcheck // beside Session.console it must be told apart
	if c == nil || s.Transport != Poll || c.Transport != Poll || c.Subject != s.Grant.Subject || c.session != nil {
		c = &Console{
			ID: "c" + rand.Text()[:15], SID: s.SID, Transport: s.Transport, Remote: s.Remote,
			Subject: s.Grant.Subject, Login: s.Grant.Session, Since: time.Now().UTC(),
		}
	}
	c.Shops, c.session, c.seen = s.Shops, s, time.Now()
	s.console = c
}

// join puts a session that runs on the lists, and reports whether the node is
// stopping.
func (h *Hub) join(s *Session) (draining bool) {
	h.mu.Lock()
	_, known := h.consoles[s.console.ID]
	h.consoles[s.console.ID] = s.console
	h.sessions[s] = struct{}{}
	draining = h.draining
	h.mu.Unlock()
	for _, p := range s.places {
		p.feed.attach(p)
	}
	if !known {
		h.logger.Info("console connected", "console", s.console.ID, "sid", s.SID, "transport", s.Transport,
			"shops", s.Shops, "sub", s.Grant.Subject, "remote", s.Remote)
	}
	return draining
}

func (h *Hub) leave(ctx context.Context, s *Session, code int, reason string) {
	h.mu.Lock()
	_, joined := h.sessions[s]
	h.mu.Unlock()
	if joined {
		for _, p := range s.places {
			p.feed.detach(p)
		}
	}
	feeds := make([]*feed, len(s.places))
	for i, p := range s.places {
		feeds[i] = p.feed
	}
	h.release(feeds)
	cursor := s.Cursor().String()

	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s)
	c := s.console
	c.session, c.seen, c.cursor = nil, time.Now(), cursor
	if s.Transport != Poll {
		delete(h.consoles, c.ID)
		if joined {
			h.logGone(ctx, c, code, reason)
		}
	}
	if h.draining && len(h.sessions) == 0 {
		h.closeEmpty()
	}
}

// logGone needs h.mu.
func (h *Hub) logGone(ctx context.Context, c *Console, code int, reason string) {
	h.logger.InfoContext(ctx, "console disconnected", "console", c.ID, "sid", c.SID, "transport", c.Transport,
		"shops", c.Shops, "sub", c.Subject, "duration", time.Since(c.Since).Round(time.Millisecond), "code", code, "reason", reason)
}

// all is a copy of the sessions that run.
func (h *Hub) all() []*Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*Session, 0, len(h.sessions))
	for s := range h.sessions {
		out = append(out, s)
	}
	return out
}

// Count is how many sessions run.
func (h *Hub) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sessions)
}

// Streams counts the sessions that run, by transport.
func (h *Hub) Streams() map[string]int {
	out := map[string]int{WebSocket: 0, SSE: 0, Poll: 0}
	for _, s := range h.all() {
		out[s.Transport]++
	}
	return out
}

// Shutdown refuses new streams, says bye to all and waits until they left or
// ctx ends.
func (h *Hub) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	h.draining = true
	if len(h.sessions) == 0 {
		h.closeEmpty()
	}
	h.mu.Unlock()
	for _, s := range h.all() {
		s.Close(Shutdown)
	}
	select {
	case <-h.empty:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d consoles did not leave: %w", len(h.all()), ctx.Err())
	}
}

// closeEmpty needs h.mu.
func (h *Hub) closeEmpty() {
	select {
	case <-h.empty:
	default:
		close(h.empty)
	}
}

// retrySpread is when a console that was told bye comes back: spread, so that
// a restart does not meet them all at once.
func (h *Hub) retrySpread() int64 { return 200 + randv2.Int64N(1800) }

func (h *Hub) logError(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		h.logger.ErrorContext(ctx, "log not read", "doing", what, "error", err)
	}
}

// maxLogged bounds a client's text in the log, in characters.
const maxLogged = 200

func (h *Hub) logClientText(ctx context.Context, s *Session, text string) {
	attrs := []any{"console", s.ID(), "sid", s.SID, "bytes", len(text)}
	if h.logText {
		if utf8.RuneCountInString(text) > maxLogged {
			text = string([]rune(text)[:maxLogged])
		}
		attrs = append(attrs, "text", fmt.Sprintf("%q", text))
	}
	h.logger.InfoContext(ctx, "client message", attrs...)
}
