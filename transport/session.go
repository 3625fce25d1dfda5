package transport

import (
	"context"
	"errors"
	"sync"
	"time"

	"doorbell/internal/doorbell"
)

// place is where a session stands in one shop. next and live are guarded by
// session.mu; they change to live only with feed.mu held as well, so that no
// alert passes between the last read and the first live one.
type place struct {
	session *Session
	feed    *feed
	index   int          // in feed.members, guarded by feed.mu
	next    doorbell.Seq // the only seq that may be sent
	live    bool         // the feed sends; else pump does
}

// Session is one console's stream: a cursor and a bounded window. It only ever
// sends the next seq of each shop. When its window is full, live alerts pass
// it by, and it reads on from the feed's ring, else from the log, as it drains.
type Session struct {
	Subscription
	hub     *Hub
	console *Console

	mu       sync.Mutex // guards all below
	sink     Sink
	places   []*place
	epoch    string
	inflight int
	pending  []Message // resets that wait for room: these are never dropped
	turn     int       // round robin over the places that are behind
	pumping  bool
	stalled  bool // it could not be read on: the hub's tick pumps again
	over     bool
	leaving  bool
	expires  time.Time
	pinged   time.Time
	inbound  int // client messages since the last tick
}

// ID is the console's id, given by the server.
func (s *Session) ID() string { return s.console.ID }

// Run sends hello and everything after it through sink, until Leave. It
// returns at once. A poll gets no hello: its answer is one.
func (s *Session) Run(ctx context.Context, sink Sink) {
	s.mu.Lock()
	s.sink = sink
	s.pinged = time.Now()
	if !s.Plain && s.Transport != Poll {
		s.send(Message{Event: "hello", Data: encode(helloEvent{
			Event: "hello", Console: s.console.ID, SID: s.SID, Cursor: s.cursor().String(), Epoch: s.epoch,
			Version: s.hub.version, Heartbeat: s.Heartbeat.Seconds(),
		})})
	}
	s.mu.Unlock()
	if s.hub.join(s) {
		s.Close(Shutdown)
		return
	}
	s.pump(ctx)
}

// cursor is where the stream stands. Needs s.mu.
func (s *Session) cursor() doorbell.Cursor {
	c := doorbell.Cursor{Epoch: s.epoch, Seqs: make(map[doorbell.ShopID]doorbell.Seq, len(s.places))}
	for _, p := range s.places {
		c.Seqs[p.feed.shop] = p.next - 1
	}
	return c
}

// Cursor is where the stream stands.
func (s *Session) Cursor() doorbell.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor()
}

// send hands one message to the sink. Needs s.mu.
func (s *Session) send(m Message) {
	if s.over || s.sink == nil {
		return
	}
	if s.Cursors && m.Cursor == "" {
		m.Cursor = s.cursor().String()
	}
	s.inflight++
	if !s.sink.TrySend(m) {
		s.over = true
		s.sink.Close(Broken)
	}
}

// offer is the live path. Called with feed.mu held.
func (s *Session) offer(p *place, fr *frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !p.live:
	case fr.seq > p.next: // the feed was rewound to a later head
		p.live, s.stalled = false, true
	case !s.take(p, fr):
		p.live = false // Sent will pump: the window is not empty
	}
}

// take sends an alert if it is next in turn; false when there is no room.
// Needs s.mu.
func (s *Session) take(p *place, fr *frame) bool {
	if s.over || fr.seq != p.next {
		return true
	}
	if s.Plain && !fr.typ.Rings() || !s.Types.has(fr.typ) {
		p.next++
		return true
	}
	if s.inflight >= s.Window {
		return false
	}
	p.next++
	if s.Cursors && len(s.places) == 1 && fr.alone != nil && fr.epoch == s.epoch {
		s.send(*fr.alone)
	} else {
		s.send(Message{Data: fr.data})
	}
	return true
}

// Sent says that n messages have left. It may go on to read the log, so it is
// called from the connection's own writer.
func (s *Session) Sent(ctx context.Context, n int) {
	s.mu.Lock()
	s.inflight -= n
	due := s.inflight <= s.Window/2 && !s.pumping && s.behind() > 0
	s.mu.Unlock()
	if due {
		s.pump(ctx)
	}
}

// behind counts what the feeds don't send: places that read on, and resets.
// Needs s.mu.
func (s *Session) behind() (n int) {
	for _, p := range s.places {
		if !p.live {
			n++
		}
	}
	return n + len(s.pending)
}

// pump fills the window with what the feeds do not send: resets first, then
// each shop that is behind in turn. One runs at a time.
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

// nextBehind is the place whose turn it is to read on. Needs s.mu.
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

// advance sends up to quota alerts of one shop from next on: from the feed's
// ring if it reaches back that far, else from the log. With the feed's last
// alert the place goes live.
func (s *Session) advance(ctx context.Context, p *place, next doorbell.Seq, quota int) error {
	if served, err := s.fromRing(p, next, quota); served || err != nil {
		return err
	}
	alerts, err := s.hub.log.AlertsAfter(ctx, p.feed.shop, next-1, quota)
	if err != nil {
		s.hub.logError(ctx, "read on for a console", err)
		return err
	}
	if len(alerts) == 0 || alerts[0].Seq != next {
		return s.skipPruned(ctx, p, next)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range alerts {
		if !s.take(p, newFrame(a)) {
			break
		}
	}
	return nil
}

// errRewinding: the hub is about to take the feed or the session to the log's
// new epoch. The session stalls until it has.
var errRewinding = errors.New("the log has a new epoch")

// fromRing reports whether the feed could serve this place.
func (s *Session) fromRing(p *place, next doorbell.Seq, quota int) (served bool, err error) {
	f := p.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.next != next { // a reset moved it meanwhile
		return true, nil
	}
	if f.epoch != s.epoch {
		return false, errRewinding
	}
	if next < f.next {
		frames, ok := f.tail(next, quota)
		if !ok {
			return false, nil
		}
		for _, fr := range frames {
			if !s.take(p, fr) {
				return true, nil
			}
		}
	}
	if p.next >= f.next {
		p.live = true
		if p.next > f.next { // the cursor knows more than this feed
			f.startRepair(0)
		}
	}
	return true, nil
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
	if epoch != s.epoch || p.next != next {
		return nil // the hub's audit resets the whole session
	}
	p.next = at[p.feed.shop].Head + 1
	s.reset(Pruned, []doorbell.ShopID{p.feed.shop})
	return nil
}

// reset queues the event for shops whose places were moved. Needs s.mu.
func (s *Session) reset(reason ResetReason, shops []doorbell.ShopID) {
	if s.Plain {
		return
	}
	s.pending = append(s.pending, Message{Event: "reset", Data: encode(resetEvent{
		Event: "reset", Cursor: s.cursor().String(), Shops: shops, Reason: reason,
	})})
}

// try sends an event that may be missed: only where there is room.
func (s *Session) try(m Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.sink == nil || s.inflight >= s.Window {
		return false
	}
	s.send(m)
	return true
}

// floodLimit is how many messages a client may send between two ticks (1 s):
// the demonstration page sends one a click.
const floodLimit = 50

// Received answers and logs what a client sent. text is logged only where the
// configuration asks for it.
func (s *Session) Received(ctx context.Context, text string) {
	s.mu.Lock()
	s.inbound++
	flood := s.inbound > floodLimit
	s.mu.Unlock()
	if flood {
		s.Close(Flood)
		return
	}
	s.hub.logClientText(ctx, s, text)
	if !s.Plain {
		s.try(Message{Event: "received", Data: encode(receivedEvent{Event: "received", Bytes: len(text)})})
	}
}

// Close says bye and ends the connection; Leave follows from its writer. It
// never blocks and is idempotent.
func (s *Session) Close(r Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.sink == nil {
		return
	}
	if !s.Plain {
		s.send(Message{Event: "bye", Data: encode(byeEvent{Event: "bye", Reason: r.String(), RetryMs: s.hub.retrySpread()})})
	}
	s.over = true
	s.sink.Close(r)
}

// Finish stops the stream and returns where it stands: nothing is sent after.
func (s *Session) Finish() doorbell.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	return s.cursor()
}

// Stalled reports whether the log could not be read on.
func (s *Session) Stalled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stalled
}

// Leave ends the session after its connection did. code is the WebSocket close
// code, 0 elsewhere.
func (s *Session) Leave(ctx context.Context, code int, reason string) {
	s.mu.Lock()
	again := s.leaving
	s.leaving, s.over = true, true
	s.mu.Unlock()
	if !again {
		s.hub.leave(ctx, s, code, reason)
	}
}
