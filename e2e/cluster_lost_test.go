package e2e

import (
	"syscall"
	"testing"
)

// TestFailoverAsynchronous: the replica has not got the last alerts when the primary
// dies, and all nodes with it, so that nobody remembers what is gone. Consoles that
// showed it are told by a reset, before the log has grown past their cursors and
// another alert stands there; they go on with what the log has.
func TestFailoverAsynchronous(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	c := p.cluster()
	w := c.followed()
	p.line.Cut()
	lost := w.count() + 10
	eventually(t, "payments are acknowledged that the replica has not got", func() bool { return w.count() > lost })
	w.catchUp()
	for _, n := range c.nodes {
		n.stop(syscall.SIGKILL)
	}
	p.failOver()
	w.forget()
	c.goOn(w, c.nodes...)
	log := map[string]bool{}
	for _, shop := range w.shops {
		for _, raw := range w.log(shop) {
			log[raw] = true
		}
	}
	if n := w.consoles[0].vanished(log); n == 0 {
		t.Error("nothing was lost: the test looked at nothing")
	} else {
		t.Logf("%d alerts were lost that a console had shown", n)
	}
}

// forget gives up what was acknowledged: the log may have lost it.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives++
	clear(w.acked)
	clear(w.accepted)
}

// vanished is how many alerts it showed before a reset that the log has no more.
func (c *console) vanished(log map[string]bool) (n int) {
	for _, raw := range c.before {
		if !log[raw] {
			n++
		}
	}
	return n
}
