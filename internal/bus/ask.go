package bus

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

const (
	// hereEvery is how often a node announces itself, and hereFor how long the
	// announcement counts.
	hereEvery = time.Second
	hereFor   = 3 * time.Second
	// askFor bounds the wait for answers, because a caller waits for all of them.
	askFor = time.Second
	// maxOthers bounds the nodes that are remembered.
	maxOthers = 256
)

// others holds the nodes that were heard lately, and the open questions.
type others struct {
	mu        sync.Mutex // guards all below
	heard     map[string]time.Time
	questions map[string]*question
}

// question collects the answer of each node that was known when it was asked.
type question struct {
	from    map[string]bool // nodes that have not answered yet
	answers [][]byte
	whole   chan struct{}
}

func newOthers() others {
	return others{heard: map[string]time.Time{}, questions: map[string]*question{}}
}

// seen records that a node is present, and reports whether it is new.
func (o *others) seen(node string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	at, known := o.heard[node]
	if !known && len(o.heard) >= maxOthers {
		o.forget(now)
		if len(o.heard) >= maxOthers {
			return false
		}
	}
	o.heard[node] = now
	return !known || now.Sub(at) > hereFor
}

// forget removes nodes that are not heard any more. Needs o.mu.
func (o *others) forget(now time.Time) {
	for node, at := range o.heard {
		if now.Sub(at) > hereFor {
			delete(o.heard, node)
		}
	}
}

// put opens a question to all known nodes; it returns nil if there are none.
func (o *others) put(id string) *question {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forget(time.Now())
	if len(o.heard) == 0 {
		return nil
	}
	q := &question{from: map[string]bool{}, whole: make(chan struct{})}
	for node := range o.heard {
		q.from[node] = true
	}
	o.questions[id] = q
	return q
}

func (o *others) answered(id, node string, body []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.questions[id]
	if q == nil || !q.from[node] { // too late, or twice
		return
	}
	delete(q.from, node)
	q.answers = append(q.answers, append([]byte(nil), body...))
	if len(q.from) == 0 {
		close(q.whole)
	}
}

// taken closes a question and returns its answers.
func (o *others) taken(id string) (answers [][]byte, whole bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.questions[id]
	delete(o.questions, id)
	return q.answers, len(q.from) == 0
}

// here returns this node's announcement.
func (b *Bus) here() Outgoing { return b.sealer.sealBody(b.sealer.everybody(), hereKind, "", nil) }

// Ask sends a question to all other nodes and returns their answers; whole says
// that each known node answered within a second. Without other nodes and without
// the broker there are no answers, and whole tells these cases apart.
func (b *Bus) Ask(ctx context.Context, body []byte) (answers [][]byte, whole bool) {
	if b.Alone() {
		return nil, true
	}
	if !b.up.Load() {
		return nil, false
	}
	id := rand.Text()
	q := b.others.put(id)
	if q == nil {
		return nil, true
	}
	late := time.NewTimer(askFor)
	defer late.Stop()
	if b.enqueue(queued{message: b.sealer.sealBody(b.sealer.everybody(), questionKind, id, body)}) {
		select {
		case <-q.whole:
		case <-late.C:
		case <-ctx.Done():
		}
	}
	return b.others.taken(id)
}
