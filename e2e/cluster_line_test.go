package e2e

import (
	"net"
	"sync"
	"testing"
)

// line is the network between one node and a server: it can be cut, so that
// connections break and none is made, or silent, so that they stay and nothing
// gets through, as when packets are dropped. What was underway arrives when it
// heals, as it does by TCP.
type line struct {
	addr string
	ln   net.Listener
	work sync.WaitGroup

	mu    sync.Mutex // guards all below
	to    string
	cut   bool
	open  chan struct{} // closed while bytes get through
	conns map[net.Conn]struct{}
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{addr: ln.Addr().String(), ln: ln, to: to, open: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(l.open)
	l.work.Go(l.accept)
	t.Cleanup(func() {
		_ = ln.Close() // the end of a test
		l.Cut()
		l.Heal() // who waits in a silence goes on, and finds its connection closed
		l.work.Wait()
	})
	return l
}

func (l *line) accept() {
	for {
		c, err := l.ln.Accept()
		if err != nil {
			return
		}
		l.work.Go(func() { l.join(c) })
	}
}

// join connects a client through. In a silence the dial waits like everything else.
func (l *line) join(c net.Conn) {
	if !l.hold(c) {
		return
	}
	defer l.leave(c)
	<-l.gate()
	l.mu.Lock()
	to := l.to
	l.mu.Unlock()
	up, err := net.Dial("tcp", to)
	if err != nil || !l.hold(up) {
		return
	}
	defer l.leave(up)
	l.work.Go(func() { l.pass(up, c) })
	l.pass(c, up)
}

// hold keeps a connection to be cut; a line that is cut takes none.
func (l *line) hold(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		_ = c.Close() // that is what being cut is
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *line) leave(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	_ = c.Close() // over
}

func (l *line) gate() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// pass copies one direction, and ends both with it.
func (l *line) pass(to, from net.Conn) {
	defer to.Close()   //nolint:errcheck // over
	defer from.Close() //nolint:errcheck // over
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			<-l.gate()
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// Cut breaks the line.
func (l *line) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for c := range l.conns {
		_ = c.Close() // that is what being cut is
	}
}

// Silence lets nothing through, and nobody is told.
func (l *line) Silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = make(chan struct{})
}

// Heal ends a cut and a silence.
func (l *line) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
	select {
	case <-l.open:
	default:
		close(l.open)
	}
}
