package transport

import (
	"sync"
	"sync/atomic"
	"time"

	"doorbell/internal/doorbell"
)

const (
	// ringSize is how many of the latest alerts joining and slow consoles can read
	// without the log: most resumes are a few alerts long.
	ringSize = 64
	// maxEarly bounds the alerts that wait for a missing one; the repair reads
	// further ones from the log anyway.
	maxEarly = 256
	// reorderWait is how long a missing alert may arrive late by itself.
	reorderWait = 30 * time.Millisecond
	// repairChunk is how many alerts a repair reads at once.
	repairChunk = 500
)

// frame is an alert, encoded once for all consoles.
type frame struct {
	seq  doorbell.Seq
	typ  doorbell.Type
	data []byte
	link doorbell.Link
	// alone is the message for consoles that follow only this shop, with its cursor;
	// nil if the alert was read for one console.
	alone *Message
}

// newSharedFrame returns a frame for all readers of a feed, of the alert's epoch.
func newSharedFrame(a doorbell.Alert) *frame {
	return sharedFrame(doorbell.PeerAlert{Link: a.Link, Shop: a.Shop, Seq: a.Seq, Type: a.Type, Data: a.Encode()})
}

// sharedFrame returns a newSharedFrame of an alert that was encoded elsewhere.
func sharedFrame(n doorbell.PeerAlert) *frame {
	fr := &frame{seq: n.Seq, typ: n.Type, data: n.Data, link: n.Link}
	if n.Epoch != "" {
		c := doorbell.Cursor{Epoch: n.Epoch, Seqs: map[doorbell.ShopID]doorbell.Seq{n.Shop: n.Seq}}
		fr.alone = &Message{Data: fr.data, Cursor: c.String(), Shared: &Shared{}}
	}
	return fr
}

// feed is one followed shop on this node.
//
// Locks are taken in the order hub.mu, feed.mu, session.mu. Nothing that can block
// runs under them.
type feed struct {
	shop doorbell.ShopID
	hub  *Hub
	refs int       // guarded by hub.mu: number of sessions that use the feed
	idle time.Time // guarded by hub.mu: when refs became 0

	delivered atomic.Int64 // up to which seq alerts have left for a console of this node

	mu        sync.Mutex
	epoch     string         // the epoch of its seqs
	next      doorbell.Seq   // 0 until the head was read from the log
	nonce     doorbell.Nonce // of the alert before next
	ring      []*frame       // the last ones before next, rising, at most ringSize
	early     map[doorbell.Seq]*frame
	members   []*place
	repairing bool
	rewinds   int // number of rewinds: pages of an earlier one are void

	shelf *shelf // guarded by hub.pages.mu: nil without pages
}

// learn compares the feed with the log's position. If the feed is below the log's
// head, alerts are missing and are read. learn returns false if the log went back:
// the alert at the feed's position is missing there, or is another one.
func (f *feed) learn(epoch string, at doorbell.Position) (fits bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.next == 0:
		f.epoch, f.next, f.nonce = epoch, at.Head+1, at.Nonce
		f.drainEarly()
	case f.epoch != epoch: // resetAll is about to rewind the feed
	case at.Head >= f.next:
		f.startRepair(0) // reads the log from the feed's position
	case at.Head == f.next-1:
		fits = f.nonce.Fits(at.Nonce)
		if fits && f.nonce == 0 {
			f.nonce = at.Nonce
		}
		return fits
	}
	return true
}

// deliver takes one alert from any source. It returns false if the alert does not
// belong to the feed's timeline, as far as the feed knows: the log must then tell
// which of the two is outdated.
func (f *feed) deliver(fr *frame) (fits bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next == 0 {
		f.keep(fr)
		return true
	}
	switch {
	case fr.link.Epoch != f.epoch:
		return false
	case fr.seq < f.next: // already received
		return f.had(fr)
	case fr.seq > f.next:
		f.keep(fr)
		f.startRepair(reorderWait)
	case !f.nonce.Fits(fr.link.Prev):
		f.startRepair(0) // either one may belong to a lost tail
		return false
	default:
		f.put(fr)
		f.drainEarly()
	}
	return true
}

// hint stands for an alert that was too long for the bus. It returns false as
// deliver does.
func (f *feed) hint(n doorbell.PeerAlert) (fits bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next == 0 {
		return true // the head is about to be read
	}
	if n.Epoch == f.epoch && n.Seq >= f.next {
		f.startRepair(0)
	}
	return n.Epoch == f.epoch
}

// had reports whether an alert is the one that this feed sent with that seq, as
// far as it remembers. Needs f.mu.
func (f *feed) had(fr *frame) bool {
	kept, ok := f.peek(fr.seq)
	return !ok || kept.link.Nonce.Fits(fr.link.Nonce)
}

// keep stores an alert until those before it have arrived. Needs f.mu.
func (f *feed) keep(fr *frame) {
	if len(f.early) < maxEarly {
		f.early[fr.seq] = fr
	}
}

// put sends the next alert to every member. Needs f.mu.
func (f *feed) put(fr *frame) {
	if len(f.ring) == ringSize {
		copy(f.ring, f.ring[1:])
		f.ring[ringSize-1] = fr
	} else {
		f.ring = append(f.ring, fr)
	}
	f.next, f.nonce = fr.seq+1, fr.link.Nonce
	for _, m := range f.members {
		m.session.offer(m, fr)
	}
}

// drainEarly sends the stored alerts whose turn has come; one that does not
// continue what was sent is read from the log instead. Needs f.mu.
func (f *feed) drainEarly() {
	for len(f.early) > 0 {
		fr, ok := f.early[f.next]
		if !ok {
			break
		}
		delete(f.early, fr.seq)
		if fr.link.Epoch != f.epoch || !f.nonce.Fits(fr.link.Prev) {
			f.startRepair(0)
			break
		}
		f.put(fr)
	}
	for seq, fr := range f.early {
		if seq < f.next || fr.link.Epoch != f.epoch {
			delete(f.early, seq)
		}
	}
}

// startRepair has the missing alerts read from the log after wait, unless a repair
// is under way. Needs f.mu.
func (f *feed) startRepair(wait time.Duration) {
	if f.repairing {
		return
	}
	f.repairing = true
	if wait == 0 {
		f.hub.repairs.add(f)
		return
	}
	time.AfterFunc(wait, func() {
		f.mu.Lock()
		healed := len(f.early) == 0
		if healed {
			f.repairing = false
		}
		f.mu.Unlock()
		if !healed {
			f.hub.repairs.add(f)
		}
	})
}

// repaired takes a chunk that a repair read, beginning with the alert that the
// feed sent last, and returns whether the repair is done. It drops a chunk read in
// another epoch, where the same numbers mean other alerts. fits is false if the
// log has another alert at the feed's position: the log went back.
func (f *feed) repaired(epoch string, frames []*frame) (done, fits bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch != epoch {
		f.repairing = false
		return true, true
	}
	for _, fr := range frames {
		switch {
		case fr.seq == f.next-1 && !f.nonce.Fits(fr.link.Nonce):
			f.repairing = false
			return true, false
		case fr.seq == f.next:
			f.put(fr)
		}
	}
	f.drainEarly()
	if len(frames) >= repairChunk {
		return false, true
	}
	f.repairing = false
	return true, true
}

// position returns the last seq that was sent.
func (f *feed) position() doorbell.Seq {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next - 1
}

// known reports whether the head was read.
func (f *feed) known() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next != 0
}

// giveUpRepair ends a failed repair, so that the next audit can start another.
func (f *feed) giveUpRepair() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.repairing = false
}

// reaches reports whether a session of that epoch can continue from seq without
// the log.
func (f *feed) reaches(epoch string, seq doorbell.Seq) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next == 0 || f.epoch != epoch || seq > f.next {
		return false
	}
	_, ok := f.peek(seq)
	return ok || seq == f.next
}

// peek implements tail: it returns the ring's alert with that seq. Needs f.mu.
func (f *feed) peek(seq doorbell.Seq) (frame, bool) {
	if len(f.ring) == 0 || seq < f.ring[0].seq || seq >= f.next {
		return frame{}, false
	}
	return *f.ring[seq-f.ring[0].seq], true
}

// rewind empties the feed and continues from the head, because the log has a new
// epoch.
func (f *feed) rewind(epoch string, at doorbell.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ring, f.early, f.epoch, f.next, f.nonce = nil, map[doorbell.Seq]*frame{}, epoch, at.Head+1, at.Nonce
	f.rewinds++
	f.delivered.Store(0)
	f.hub.pages.drop(f)
	for _, m := range f.members { // sessions of the old epoch, whose numbers mean other alerts
		m.session.fallBehind(m)
	}
}

func (f *feed) attach(m *place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m.index = len(f.members)
	f.members = append(f.members, m)
}

func (f *feed) detach(m *place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := len(f.members) - 1
	f.members[m.index] = f.members[last]
	f.members[m.index].index = m.index
	f.members[last] = nil
	f.members = f.members[:last]
}
