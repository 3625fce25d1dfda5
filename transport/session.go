package transport

import (
	"bytes"
	"context"
	"sync"
	"time"

	"doorbell/internal/doorbell"
)

// place is a session's position in one shop. next and live are guarded by
// session.mu; live becomes true only with feed.mu held as well, so that no alert
// passes between the last read and the first live one.
type place struct {
	session *Session
	feed    *feed
	index   int          // in feed.members, guarded by feed.mu
	next    doorbell.Seq // the only seq that may be sent next
	live    bool         // the feed sends; otherwise pump does
	// The first alert of those that the sink has and that nobody has noted as
	// delivered, 0 for none, and the last.
	unnoted, sent doorbell.Seq
}

// Session is one console's stream: a cursor and a bounded window. It only ever
// sends the next seq of each shop. When its window is full, live alerts are not
// queued; as the window drains, the session reads them from the feed's ring or
// from the log.
type Session struct {
	Subscription
	hub     *Hub
	console *Console
	seat    seat // released by Leave
	tab     *tab // nil except for FromPages

	mu       sync.Mutex // guards all below
	sink     Sink
	places   []*place
	epoch    string
	inflight int
	pending  []Message // resets that wait for room: these are never dropped
	turn     int       // round robin over the places that are behind
	pumping  bool
	stalled  bool // a read failed: the hub's tick pumps again
	over     bool
	leaving  bool
	expires  time.Time
	asked    bool // its login was checked since it joined
	pinged   time.Time
	inbound  int // client messages since the last tick
}

// ID returns the console's id, which the server assigned.
func (s *Session) ID() string { return s.console.ID }

// Version returns the server's version for hello and a poll's answer.
func (s *Session) Version() string { return s.hub.version }

// Run sends hello and everything after it through sink, until Leave. It returns at
// once. A poll gets no hello, because its answer has the same fields.
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
		s.end(Shutdown, s.hub.lateSpread())
		return
	}
	s.hub.heal(ctx, s) // the epoch may have changed since Open
	s.pump(ctx)
}

// cursor returns the stream's position. Needs s.mu.
func (s *Session) cursor() doorbell.Cursor {
	c := doorbell.Cursor{Epoch: s.epoch, Seqs: make(map[doorbell.ShopID]doorbell.Seq, len(s.places))}
	for _, p := range s.places {
		c.Seqs[p.feed.shop] = p.next - 1
	}
	return c
}

// Cursor returns the stream's position.
func (s *Session) Cursor() doorbell.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor()
}

// send passes one message to the sink. Needs s.mu.
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

// offer is the live path. It is called with feed.mu held.
func (s *Session) offer(p *place, fr *frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !p.live:
	case fr.seq > p.next: // the feed was rewound to a later head
		p.live, s.stalled = false, true
	case !s.take(p, fr):
		p.live = false // the window is not empty, so Sent will pump
	}
}

// take sends an alert if it is the next one; false if there is no room. Needs
// s.mu.
func (s *Session) take(p *place, fr *frame) bool {
	if s.over || fr.seq != p.next {
		return true
	}
	if !s.wants(fr.typ) {
		p.next++
		return true
	}
	if s.tab != nil {
		if next := s.tab.from(fr.seq); next != fr.seq {
			p.next = next
			return true
		}
	}
	if s.inflight >= s.Window {
		return false
	}
	p.next++
	if s.tab != nil {
		s.tab.sent(fr.seq)
	}
	p.handOut(fr.seq)
	s.sendAlert(fr)
	return true
}

// wants reports whether the stream includes alerts of this type.
func (s *Session) wants(t doorbell.Type) bool {
	return (!s.Plain || t.Rings()) && s.Types.has(t)
}

// sendAlert sends an alert after p.next was moved past it. Needs s.mu.
func (s *Session) sendAlert(fr *frame) {
	if s.Cursors && len(s.places) == 1 && fr.alone != nil && fr.link.Epoch == s.epoch {
		s.send(*fr.alone)
	} else {
		s.send(Message{Data: s.harmless(fr.data)})
	}
}

// harmless returns an alert's bytes without markup where this client needs it.
// sky-take-out's page inserts the content as HTML and runs scripts in it; without
// < there is no markup. Only the content can contain one.
func (s *Session) harmless(data []byte) []byte {
	if !s.Plain || bytes.IndexByte(data, '<') < 0 {
		return data
	}
	return bytes.ReplaceAll(data, []byte("<"), []byte("\uff1c"))
}

// reset queues the event for shops whose places were moved. Needs s.mu.
func (s *Session) reset(reason ResetReason, shops []doorbell.ShopID) {
	if s.Plain {
		return
	}
	s.hub.resets[reason].Add(1)
	s.pending = append(s.pending, Message{Event: "reset", Data: encode(resetEvent{
		Event: "reset", Cursor: s.cursor().String(), Shops: shops, Reason: reason,
	})})
}

// try sends an event that may be dropped: only if there is room.
func (s *Session) try(m Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.sink == nil || s.inflight >= s.Window {
		return false
	}
	if s.tab != nil {
		s.tab.sent(0)
	}
	s.send(m)
	return true
}

// floodLimit is how many messages a client may send between two ticks (1 s): the
// demonstration page sends one per click.
const floodLimit = 50

// Received answers and logs what a client sent. text is logged only if the
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

// Close sends bye and ends the connection, whose writer then calls Leave. It never
// blocks and is idempotent.
func (s *Session) Close(r Reason) { s.end(r, s.hub.retrySpread()) }

// end does the same with a given time to come back, in ms.
func (s *Session) end(r Reason, retryMs int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.sink == nil {
		return
	}
	if !s.Plain {
		s.send(Message{Event: "bye", Data: encode(byeEvent{Event: "bye", Reason: r.String(), RetryMs: retryMs}), RetryMs: retryMs})
	}
	s.over = true
	s.sink.Close(r)
}

// Finish stops the stream and returns its position; nothing is sent afterwards.
func (s *Session) Finish() doorbell.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	return s.cursor()
}

// Stalled reports whether reading the log failed.
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
