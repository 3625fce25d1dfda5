package transport

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	randv2 "math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"doorbell/internal/doorbell"
)

const (
	auditEvery = time.Second
	// auditChunk bounds the shops of one query for heads.
	auditChunk = 500
	// feedIdle is how long a feed without followers keeps its ring for a tab that
	// reloads.
	feedIdle = time.Minute
	// pollLinger is how long a polling console stays listed after an answer.
	pollLinger = 45 * time.Second
	// maxRepairs bounds the concurrent repairs, which read the log.
	maxRepairs = 4
)

// Options are the arguments of New.
type Options struct {
	Log       Log
	Logger    *slog.Logger
	Version   string
	Heartbeat time.Duration
	// Live returns, for those of these logins (a few hundred at most) that are
	// valid, until when; streams of the others end. Nil: a stream ends only at its
	// own expiry.
	Live func(ctx context.Context, logins []string) (map[string]time.Time, error)
	// LogText: log what clients send, not only its length.
	LogText bool
	Limits  Limits
	Pages   PageOptions
	// Bus delivers other nodes' alerts to Receive; nil: there is only this node.
	Bus Bus
}

// Bus is told which shops this node follows. Its methods don't block, except Ask.
type Bus interface {
	Follow(shop doorbell.ShopID)
	Unfollow(shop doorbell.ShopID)
	// Err returns why the bus is not connected now.
	Err() error
	// Ask sends a question to the other nodes and waits a second at most. whole says
	// that all known nodes have answered.
	Ask(ctx context.Context, question []byte) (answers [][]byte, whole bool)
}

// Hub connects the shops' feeds with the sessions of this node.
type Hub struct {
	log       Log
	logger    *slog.Logger
	version   string
	heartbeat time.Duration
	live      func(context.Context, []string) (map[string]time.Time, error)
	logText   bool
	room      *room
	tabs      *tabRegistry
	bus       Bus // nil: none

	mu       sync.Mutex // guards all below
	feeds    map[doorbell.ShopID]*feed
	sessions map[*Session]struct{}
	consoles map[string]*Console
	lingers  int                           // number of consoles between two polls
	gone     departed                      // consoles that have left
	attended map[doorbell.ShopID]time.Time // when a shop lost its last attentive console
	epoch    string
	epochs   int // how often the epoch changed; shows that a read of the log is outdated
	draining bool
	empty    chan struct{} // closed when draining and no session is left

	pages     *pages
	turns     chan struct{} // taken by the consoles that read on
	repairs   repairQueue
	witnesses witnesses
	delivered deliveries
	resets    map[ResetReason]*atomic.Int64 // how many were told
	auditNow  chan struct{}                 // buffered 1
	resetting sync.Mutex                    // one epoch change at a time; above mu
}

// New returns a hub; Run starts its work.
func New(o Options) *Hub {
	resets := map[ResetReason]*atomic.Int64{}
	for _, reason := range resetReasons {
		resets[reason] = new(atomic.Int64)
	}
	return &Hub{
		resets: resets,
		log:    o.Log, logger: o.Logger, version: o.Version, heartbeat: o.Heartbeat, live: o.Live, logText: o.LogText, room: newRoom(o.Limits), tabs: newTabRegistry(o.Pages), bus: o.Bus,
		feeds: map[doorbell.ShopID]*feed{}, sessions: map[*Session]struct{}{}, consoles: map[string]*Console{}, attended: map[doorbell.ShopID]time.Time{},
		delivered: deliveries{shops: map[doorbell.ShopID][]doorbell.Delivery{}},
		empty:     make(chan struct{}), pages: newPages(), turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), repairs: repairQueue{wake: make(chan struct{}, 1)}, auditNow: make(chan struct{}, 1),
	}
}

// Deliver takes alerts that this node has committed. It never blocks.
func (h *Hub) Deliver(alerts []doorbell.Alert) {
	feeds := make([]*feed, len(alerts))
	h.mu.Lock()
	for i, a := range alerts {
		feeds[i] = h.feeds[a.Shop]
	}
	h.mu.Unlock()
	for i, a := range alerts {
		switch f := feeds[i]; {
		case f == nil:
			h.witnesses.note(a)
		case !f.deliver(newSharedFrame(a)):
			h.AuditNow()
		}
	}
}

// Receive takes an alert that another node has committed. It never blocks.
func (h *Hub) Receive(n doorbell.PeerAlert) {
	h.mu.Lock()
	f := h.feeds[n.Shop]
	h.mu.Unlock()
	if f == nil {
		return
	}
	var fits bool
	if len(n.Data) == 0 {
		fits = f.hint(n)
	} else {
		fits = f.deliver(sharedFrame(n))
	}
	if !fits {
		h.AuditNow()
	}
}

// hold returns the shops' feeds and marks them as used.
func (h *Hub) hold(shops []doorbell.ShopID) []*feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*feed, len(shops))
	for i, shop := range shops {
		f := h.feeds[shop]
		if f == nil {
			f = &feed{shop: shop, hub: h, early: map[doorbell.Seq]*frame{}}
			h.feeds[shop] = f
			if h.bus != nil { // before the feed's head is read
				h.bus.Follow(shop)
			}
		}
		f.refs++
		out[i] = f
	}
	return out
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

// enlist gives the session its console; a poll gets the console of its id again.
func (h *Hub) enlist(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.console(s.Subscription.Console) //nolint:staticcheck // another one than Session.console
	if c == nil || s.Transport != Poll || c.Transport != Poll || c.Subject != s.Grant.Subject || c.session != nil {
		c = &Console{
			ID: "c" + rand.Text()[:15], SID: s.SID, Transport: s.Transport, Remote: s.Remote,
			Subject: s.Grant.Subject, Login: s.Grant.Session, Since: time.Now().UTC(),
		}
	}
	if h.consoles[c.ID] != nil {
		h.lingers--
	}
	c.Shops, c.session, c.seen, c.plain = s.Shops, s, time.Now(), s.Plain
	s.console = c
}

// join puts a running session on the lists. If the node is stopping it does not,
// and returns true: a stop waits for no session that came after it began.
func (h *Hub) join(s *Session) (draining bool) {
	h.mu.Lock()
	if h.draining {
		h.mu.Unlock()
		return true
	}
	_, known := h.consoles[s.console.ID]
	known = known || s.Unlisted
	if !s.Unlisted {
		h.consoles[s.console.ID] = s.console
	}
	h.sessions[s] = struct{}{}
	h.mu.Unlock()
	for _, p := range s.places {
		p.feed.attach(p)
	}
	if s.tab != nil {
		h.tabs.enter(s)
	}
	if !known {
		h.logger.Info("console connected", "console", s.console.ID, "sid", s.SID, "transport", s.Transport,
			"shops", s.Shops, "sub", s.Grant.Subject, "remote", s.Remote)
	}
	return false
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
	h.room.give(s.seat, s.Shops)
	if s.tab != nil {
		h.tabs.leave(s, closedByItself(code))
	}
	if line := h.strike(s, s.Cursor(), joined, code, reason); line != nil {
		h.logger.InfoContext(ctx, "console disconnected", line...)
	}
}

// strike takes a session that has left off the lists, and returns its log line or
// nil: the lock must not be held while a log that blocks is written to.
func (h *Hub) strike(s *Session, cursor doorbell.Cursor, joined bool, code int, reason string) (line []any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s)
	c := s.console
	c.session, c.seen, c.cursor = nil, time.Now(), cursor
	_, listed := h.consoles[c.ID]
	switch {
	case listed && s.Transport == Poll && h.lingers < maxLingering:
		h.lingers++
	case listed:
		delete(h.consoles, c.ID)
		h.endAttention(c, time.Now())
		h.gone.add(c)
		line = c.leaving(code, reason)
	case joined: // a poll that only looked
		h.gone.add(c)
	}
	if h.draining && len(h.sessions) == 0 {
		h.closeEmpty()
	}
	return line
}

// leaving returns the log fields of a console that leaves. Needs Hub.mu.
func (c *Console) leaving(code int, reason string) []any {
	return []any{
		"console", c.ID, "sid", c.SID, "transport", c.Transport, "shops", c.Shops, "sub", c.Subject,
		"duration", time.Since(c.Since).Round(time.Millisecond), "code", code, "reason", reason,
	}
}

// all returns a copy of the list of running sessions.
func (h *Hub) all() []*Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*Session, 0, len(h.sessions))
	for s := range h.sessions {
		out = append(out, s)
	}
	return out
}

// Count returns the number of running sessions.
func (h *Hub) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sessions)
}

// Streams returns the number of running sessions by transport.
func (h *Hub) Streams() map[string]int {
	out := map[string]int{WebSocket: 0, SSE: 0, Poll: 0}
	for _, s := range h.all() {
		out[s.Transport]++
	}
	return out
}

// Resets returns how many resets this node has sent, by reason; every reason is there.
func (h *Hub) Resets() map[ResetReason]int64 {
	out := make(map[ResetReason]int64, len(h.resets))
	for reason, n := range h.resets {
		out[reason] = n.Load()
	}
	return out
}

// Behind returns how many running sessions have alerts of their shops yet to get, and
// how many alerts the furthest of them lacks.
func (h *Hub) Behind() (consoles int, most int64) {
	reached := map[*feed]doorbell.Seq{}
	for _, f := range h.followed() {
		reached[f] = f.position()
	}
	for _, s := range h.all() {
		if lacks := s.lacks(reached); lacks > 0 {
			consoles++
			most = max(most, lacks)
		}
	}
	return consoles, most
}

// lacks returns how many alerts the session has yet to get of what its feeds had sent
// by then.
func (s *Session) lacks(reached map[*feed]doorbell.Seq) (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.places {
		n += max(0, int64(reached[p.feed]-p.next+1))
	}
	return n
}

// Shutdown refuses new streams, sends bye to all and waits until they have left or
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
		h.tabs.save(ctx, h)
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d consoles did not leave: %w", len(h.all()), ctx.Err())
	}
}

// closeEmpty closes empty when the last session has left. Needs h.mu.
func (h *Hub) closeEmpty() {
	select {
	case <-h.empty:
	default:
		close(h.empty)
	}
}

// retrySpread returns when a console that gets bye should come back, spread so
// that the next process does not get all of them at once.
func (h *Hub) retrySpread() int64 { return 200 + randv2.Int64N(1800) }

// lateSpread returns the same for a console that came while the node was stopping:
// if stopping takes so long, some client does not read and gets Grace.
func (h *Hub) lateSpread() int64 { return Grace.Milliseconds()/2 + randv2.Int64N(Grace.Milliseconds()) }

func (h *Hub) logError(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		h.logger.ErrorContext(ctx, "database operation failed", "doing", what, "error", err)
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
