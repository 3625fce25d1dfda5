package transport

import (
	"cmp"
	"slices"
	"strconv"

	"doorbell/internal/doorbell"
)

// burstSize bounds the bytes of a Burst of more than one alert, which a console
// that stops reading holds beyond its window.
const burstSize = 4 << 10

// BurstSink is a Sink that writes several alerts as one message, which costs
// little more than one alert. TrySendBurst works as TrySend; the sink calls Sent
// for each alert of the message, as for others.
type BurstSink interface {
	Sink
	TrySendBurst(b Burst) bool
}

// Burst holds consecutive alerts of one shop in a stream.
type Burst struct {
	Alerts        []Numbered
	before, after string // the cursor's text before and after each alert's seq
}

// Numbered is an encoded alert and its seq.
type Numbered struct {
	Seq  doorbell.Seq
	Data []byte
}

// AppendCursor appends the stream's cursor after alert i, or nothing if the
// subscription did not ask for cursors.
func (b Burst) AppendCursor(to []byte, i int) []byte {
	if b.before == "" {
		return to
	}
	to = append(to, b.before...)
	to = strconv.AppendInt(to, int64(b.Alerts[i].Seq), 10)
	return append(to, b.after...)
}

// Carried tells a BurstSink which of its messages are bursts; several may be under
// way.
type Carried[T any] struct {
	written uint64
	bursts  []carried[T]
}

type carried[T any] struct {
	at   uint64 // the message's number
	what T
}

// Add records what the next message carries, after the queued ones.
func (c *Carried[T]) Add(queued int, what T) {
	c.bursts = append(c.bursts, carried[T]{c.written + uint64(queued), what})
}

// Written counts a written message, and returns what the message carried if it was
// a burst.
func (c *Carried[T]) Written() (what T, ok bool) {
	if ok = len(c.bursts) > 0 && c.bursts[0].at == c.written; ok {
		what = c.bursts[0].what
		if c.bursts = c.bursts[1:]; len(c.bursts) == 0 {
			c.bursts = nil
		}
	}
	c.written++
	return what, ok
}

// tail is where a place that is behind reads from: its feed's ring, or a page.
type tail interface {
	// peek returns the alert with this seq, if it is there.
	peek(seq doorbell.Seq) (frame, bool)
}

// sendBurst sends the next alerts in t as one message, up to burstSize. Needs
// s.mu.
func (s *Session) sendBurst(p *place, t tail, sink BurstSink) {
	var b Burst
	var last frame
	size := 0
	for {
		fr, ok := t.peek(p.next)
		if !ok || size > 0 && size+len(fr.data) > burstSize {
			break
		}
		p.next++
		if !s.wants(fr.typ) {
			continue
		}
		if b.Alerts == nil {
			b.Alerts = make([]Numbered, 0, 1+burstSize/(2*len(fr.data)))
		}
		b.Alerts = append(b.Alerts, Numbered{fr.seq, s.harmless(fr.data)})
		p.handOut(fr.seq)
		size += len(fr.data)
		last = fr
	}
	switch len(b.Alerts) {
	case 0:
		return
	case 1:
		s.sendAlert(&last)
		return
	}
	if s.Cursors {
		b.before, b.after = s.cursorAround(p)
	}
	s.inflight += len(b.Alerts)
	if !sink.TrySendBurst(b) {
		s.over = true
		sink.Close(Broken)
	}
}

// cursorAround returns the stream's cursor without the seq of p's shop. Needs
// s.mu.
func (s *Session) cursorAround(p *place) (before, after string) {
	at := func(b []byte, q *place) []byte {
		return append(strconv.AppendInt(b, int64(q.feed.shop), 10), ':')
	}
	b := append(append(make([]byte, 0, 48), s.epoch...), '.')
	if len(s.places) == 1 {
		return string(at(b, p)), ""
	}
	sorted := slices.SortedFunc(slices.Values(s.places), func(a, b *place) int { return cmp.Compare(a.feed.shop, b.feed.shop) })
	cut := 0
	for i, q := range sorted {
		if i > 0 {
			b = append(b, ',')
		}
		if b = at(b, q); q == p {
			cut = len(b)
			continue
		}
		b = strconv.AppendInt(b, int64(q.next-1), 10)
	}
	return string(b[:cut]), string(b[cut:])
}
