package store

import (
	"sync"
	"time"

	"doorbell/internal/doorbell"
)

// turnWait bounds the wait for an alert that was committed earlier and whose
// commit has not been answered yet. After that the feeds sort the alerts.
const turnWait = 100 * time.Millisecond

// turns orders this node's alerts of a shop where several connections commit: the
// answer of an earlier commit may be read after that of a later one. Without turns
// the feeds would wait 30 ms for each such alert.
type turns struct {
	mu   sync.Mutex
	open map[doorbell.ShopID]map[doorbell.Seq]chan struct{} // a channel closes when its alert is published
}

func newTurns() *turns { return &turns{open: map[doorbell.ShopID]map[doorbell.Seq]chan struct{}{}} }

// take registers the seq of a running transaction. It runs while the head is
// locked, so lower seqs are registered already.
func (t *turns) take(shop doorbell.ShopID, seq doorbell.Seq) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open[shop] == nil {
		t.open[shop] = map[doorbell.Seq]chan struct{}{}
	}
	t.open[shop][seq] = make(chan struct{})
}

// done lets the alerts after these go on.
func (t *turns) done(alerts []doorbell.Alert) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range alerts {
		if c, ok := t.open[a.Shop][a.Seq]; ok {
			close(c)
			delete(t.open[a.Shop], a.Seq)
		}
		if len(t.open[a.Shop]) == 0 {
			delete(t.open, a.Shop)
		}
	}
}

// before returns the registered alerts that come before these.
func (t *turns) before(alerts []doorbell.Alert) (out []<-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := map[doorbell.ShopID]doorbell.Seq{}
	for _, a := range alerts {
		if seq, ok := first[a.Shop]; !ok || a.Seq < seq {
			first[a.Shop] = a.Seq
		}
	}
	for shop, mine := range first {
		for seq, c := range t.open[shop] {
			if seq < mine {
				out = append(out, c)
			}
		}
	}
	return out
}

// wait returns when the alerts before these are done, or after turnWait.
func (t *turns) wait(alerts []doorbell.Alert) {
	ahead := t.before(alerts)
	if len(ahead) == 0 {
		return
	}
	timer := time.NewTimer(turnWait)
	defer timer.Stop()
	for _, c := range ahead {
		select {
		case <-c:
		case <-timer.C:
			return
		}
	}
}
