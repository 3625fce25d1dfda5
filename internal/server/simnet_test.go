package server

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// simNet is a network in memory, in a simulation's time: its connections are
// late, lose what is under way when they are cut, and take bytes without
// handing them on while they are black holes.
type simNet struct {
	mu       sync.Mutex
	listener *simListener // nil: nobody listens
}

// simBuffer is what one direction of a connection holds, as a socket does.
const simBuffer = 4 << 10

type simListener struct {
	net     *simNet
	backlog chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (n *simNet) listen() *simListener {
	l := &simListener{net: n, backlog: make(chan net.Conn, 64), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listener = l
	return l
}

// Accept implements net.Listener. What was dialled before Close is still accepted.
func (l *simListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.backlog:
		return c, nil
	default:
	}
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *simListener) Close() error {
	l.once.Do(func() {
		l.net.mu.Lock()
		defer l.net.mu.Unlock()
		if l.net.listener == l {
			l.net.listener = nil
		}
		close(l.closed)
		for len(l.backlog) > 0 { // the kernel resets what nobody accepted
			c := <-l.backlog
			c.(*simConn).cut()
		}
	})
	return nil
}

// Addr implements net.Listener.
func (l *simListener) Addr() net.Addr { return simAddr() }

func simAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

// dial connects to whoever listens, each direction late by latency.
func (n *simNet) dial(latency time.Duration) (*simConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listener == nil || len(n.listener.backlog) == cap(n.listener.backlog) {
		return nil, &net.OpError{Op: "dial", Net: "sim", Err: syscall.ECONNREFUSED}
	}
	up, down := newHalf(latency), newHalf(latency)
	n.listener.backlog <- &simConn{in: up, out: down}
	return &simConn{in: down, out: up}, nil
}

// half is one direction of a connection.
type half struct {
	latency time.Duration

	mu       sync.Mutex
	changed  *sync.Cond
	segments []segment
	size     int
	ended    bool // the writer closed: EOF after what is under way
	deaf     bool // the reader closed
	broken   bool
	hole     bool // takes bytes and hands none on

	readBy, writeBy     time.Time
	readTimer, arriving *time.Timer
	writeTimer          *time.Timer
}

type segment struct {
	at   time.Time
	data []byte
}

func newHalf(latency time.Duration) *half {
	h := &half{latency: latency}
	h.changed = sync.NewCond(&h.mu)
	return h
}

func (h *half) set(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	h.changed.Broadcast()
}

func (h *half) wake() { h.set(func() {}) }

func passed(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.broken:
			return 0, syscall.ECONNRESET
		case h.deaf:
			return 0, net.ErrClosed
		case passed(h.readBy):
			return 0, os.ErrDeadlineExceeded
		case h.hole:
		case len(h.segments) > 0 && !time.Now().Before(h.segments[0].at):
			s := &h.segments[0]
			n := copy(p, s.data)
			if s.data = s.data[n:]; len(s.data) == 0 {
				h.segments = h.segments[1:]
			}
			h.size -= n
			h.changed.Broadcast()
			return n, nil
		case len(h.segments) > 0:
			h.rearm(&h.arriving, h.segments[0].at)
		case h.ended:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *half) write(p []byte) (written int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(p) > 0 {
		switch {
		case h.broken || h.deaf || h.ended:
			return written, syscall.EPIPE
		case passed(h.writeBy):
			return written, os.ErrDeadlineExceeded
		case h.size < simBuffer:
			n := min(len(p), simBuffer-h.size)
			h.segments = append(h.segments, segment{time.Now().Add(h.latency), append([]byte(nil), p[:n]...)})
			h.size, p, written = h.size+n, p[n:], written+n
			h.changed.Broadcast()
			continue
		}
		h.changed.Wait()
	}
	return written, nil
}

// rearm wakes whoever waits at at. Needs h.mu.
func (h *half) rearm(timer **time.Timer, at time.Time) {
	if *timer != nil {
		(*timer).Stop()
		*timer = nil
	}
	if !at.IsZero() {
		*timer = time.AfterFunc(time.Until(at), h.wake)
	}
}

// simConn is one end of a connection.
type simConn struct{ in, out *half }

// Read implements net.Conn.
func (c *simConn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write implements net.Conn.
func (c *simConn) Write(p []byte) (int, error) { return c.out.write(p) }

// Close implements net.Conn. Bytes that nobody read make it a reset.
func (c *simConn) Close() error {
	unread := false
	c.in.set(func() { unread, c.in.deaf, c.in.segments = c.in.size > 0, true, nil })
	c.out.set(func() { c.out.ended, c.out.broken = true, c.out.broken || unread })
	c.stopTimers()
	return nil
}

func (c *simConn) stopTimers() {
	for _, h := range []*half{c.in, c.out} {
		h.set(func() {
			h.rearm(&h.readTimer, time.Time{})
			h.rearm(&h.writeTimer, time.Time{})
			if h.deaf || h.broken {
				h.rearm(&h.arriving, time.Time{})
			}
		})
	}
}

// cut resets the connection: what is under way is lost.
func (c *simConn) cut() {
	for _, h := range []*half{c.in, c.out} {
		h.set(func() { h.broken, h.segments = true, nil })
	}
}

// swallow makes a black hole of it, or ends that.
func (c *simConn) swallow(on bool) {
	for _, h := range []*half{c.in, c.out} {
		h.set(func() { h.hole = on })
	}
}

// LocalAddr implements net.Conn.
func (c *simConn) LocalAddr() net.Addr { return simAddr() }

// RemoteAddr implements net.Conn.
func (c *simConn) RemoteAddr() net.Addr { return simAddr() }

// SetDeadline implements net.Conn.
func (c *simConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t) // never fails
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *simConn) SetReadDeadline(t time.Time) error {
	c.in.set(func() { c.in.readBy = t; c.in.rearm(&c.in.readTimer, t) })
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *simConn) SetWriteDeadline(t time.Time) error {
	c.out.set(func() { c.out.writeBy = t; c.out.rearm(&c.out.writeTimer, t) })
	return nil
}
