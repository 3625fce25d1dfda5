package transport

import (
	"sync"
	"time"

	"doorbell/internal/doorbell"
)

const (
	// ringSize is the hot tail that joins and slow consoles read instead of
	// the log: most resumes are a few alerts long.
	ringSize = 64
	// maxEarly bounds what waits for a missing alert; beyond it the repair
	// reads it from the log anyway.
	maxEarly = 256
	// reorderWait is the time that a missing alert has to arrive by itself.
	reorderWait = 30 * time.Millisecond
	// repairChunk is how many alerts a repair reads at once.
	repairChunk = 500
)

// frame is an alert, encoded once for all consoles.
type frame struct {
	seq  doorbell.Seq
	typ  doorbell.Type
	data []byte
	// What a console gets that follows this shop alone, with its cursor; nil
	// where the log's epoch was not known.
	alone *Message
	epoch string
}

// newFrame is for one reader of the log.
func newFrame(a doorbell.Alert) *frame { return &frame{seq: a.Seq, typ: a.Type, data: a.Encode()} }

// newSharedFrame is for all readers of a feed.
func newSharedFrame(a doorbell.Alert, epoch string) *frame {
	fr := newFrame(a)
	if fr.epoch = epoch; epoch != "" {
		c := doorbell.Cursor{Epoch: epoch, Seqs: map[doorbell.ShopID]doorbell.Seq{a.Shop: a.Seq}}
		fr.alone = &Message{Data: fr.data, Cursor: c.String(), Shared: &Shared{}}
	}
	return fr
}

// feed is one followed shop on this node.
//
// Locks are taken in the order hub.mu, feed.mu, session.mu. Nothing that can
// block happens under them.
type feed struct {
	shop doorbell.ShopID
	hub  *Hub
	refs int       // guarded by hub.mu: sessions that hold it
	idle time.Time // guarded by hub.mu: since when refs is 0

	mu        sync.Mutex
	epoch     string       // what its seqs belong to
	next      doorbell.Seq // 0 until the head was read from the log
	ring      []*frame     // the last ones before next, rising, at most ringSize
	early     map[doorbell.Seq]*frame
	members   []*place
	repairing bool
}

// learn tells the feed the log's head. Below it, alerts are missing.
func (f *feed) learn(epoch string, head doorbell.Seq) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.next == 0:
		f.epoch, f.next = epoch, head+1
		f.drainEarly()
	case f.epoch != epoch: // resetAll is on its way to rewind it
	case head >= f.next:
		f.startRepair(0)
	}
}

// deliver takes one alert from wherever it came.
func (f *feed) deliver(fr *frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.next != 0 && fr.seq < f.next: // had it
	case fr.seq == f.next:
		f.put(fr)
		f.drainEarly()
	default:
		if len(f.early) < maxEarly {
			f.early[fr.seq] = fr
		}
		if f.next != 0 {
			f.startRepair(reorderWait)
		}
	}
}

// put hands the next alert to every member. Needs f.mu.
func (f *feed) put(fr *frame) {
	if len(f.ring) == ringSize {
		copy(f.ring, f.ring[1:])
		f.ring[ringSize-1] = fr
	} else {
		f.ring = append(f.ring, fr)
	}
	f.next = fr.seq + 1
	for _, m := range f.members {
		m.session.offer(m, fr)
	}
}

// drainEarly hands on what waited for its turn. Needs f.mu.
func (f *feed) drainEarly() {
	for len(f.early) > 0 {
		fr, ok := f.early[f.next]
		if !ok {
			break
		}
		delete(f.early, fr.seq)
		f.put(fr)
	}
	for seq := range f.early {
		if seq < f.next {
			delete(f.early, seq)
		}
	}
}

// startRepair has the missing alerts read from the log after wait, unless that
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

// repaired takes a chunk that a repair read, and reports whether it is done.
func (f *feed) repaired(frames []*frame) (done bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fr := range frames {
		if fr.seq == f.next {
			f.put(fr)
		}
	}
	f.drainEarly()
	if len(frames) == repairChunk {
		return false
	}
	f.repairing = false
	return true
}

// position is what a repair reads after.
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

// giveUpRepair lets the next audit start another.
func (f *feed) giveUpRepair() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.repairing = false
}

// reaches reports whether a session of that epoch can go on from seq without the
// log.
func (f *feed) reaches(epoch string, seq doorbell.Seq) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next == 0 || f.epoch != epoch || seq > f.next {
		return false
	}
	_, ok := f.tail(seq, 0)
	return ok || seq == f.next
}

// tail returns the ring's alerts from seq on, at most limit, and whether the
// ring reaches back that far. Needs f.mu.
func (f *feed) tail(seq doorbell.Seq, limit int) ([]*frame, bool) {
	if len(f.ring) == 0 || seq < f.ring[0].seq {
		return nil, false
	}
	from := int(seq - f.ring[0].seq)
	return f.ring[from:min(from+limit, len(f.ring))], true
}

// rewind forgets all and goes on from head: the log has a new epoch.
func (f *feed) rewind(epoch string, head doorbell.Seq) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ring, f.early, f.epoch, f.next = nil, map[doorbell.Seq]*frame{}, epoch, head+1
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
