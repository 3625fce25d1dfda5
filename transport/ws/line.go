package ws

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// line is the connection beneath melody, which writes each message by itself.
// Here messages that wait for one console leave in one write, and the deadline
// is not set anew for each. gorilla calls Write from one goroutine at a time.
type line struct {
	net.Conn
	// left counts a message that melody has written off its queue, and reports
	// whether another surely follows. It is nil until the upgrade is answered.
	left func() (more bool)
	// sent is told how many messages a write has carried.
	sent func(n int)

	timeout time.Duration // of a write
	wanted  time.Time     // the deadline that melody asked for
	armed   time.Time     // the one that is set

	missing int           // bytes of the frame that is being written
	text    bool          // it is a message
	held    *bytes.Buffer // frames that wait for the next one; nil while there are none
	carried int           // messages in held
}

// maxHeld bounds what waits: some ten alerts. A larger write gains little, and
// a console that does not read holds it.
const maxHeld = 2 << 10

// helds are shared: a console needs one only while messages wait for it.
var helds = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, maxHeld)) }}

// SetWriteDeadline notes what melody wants before each write. Setting it in
// the kernel's poller costs as much as queueing the message.
func (l *line) SetWriteDeadline(t time.Time) error {
	if l.left == nil || t.IsZero() {
		return l.Conn.SetWriteDeadline(t)
	}
	l.wanted = t
	return nil
}

// arm sets the deadline anew when less than the timeout is left of the one that
// is set, for a quarter more: a stuck write ends after one timeout, and a quarter
// more at most. One that wants less gets it.
func (l *line) arm() error {
	slack := l.timeout / 4
	switch {
	case l.armed.Before(l.wanted):
		l.armed = l.wanted.Add(slack)
	case l.armed.After(l.wanted.Add(slack)):
		l.armed = l.wanted
	default:
		return nil
	}
	return l.Conn.SetWriteDeadline(l.armed)
}

// Write implements net.Conn.
func (l *line) Write(p []byte) (int, error) {
	if l.left == nil {
		return l.Conn.Write(p)
	}
	more := false
	if l.missing == 0 {
		l.text, l.missing = frame(p)
	}
	if l.missing -= len(p); l.missing == 0 && l.text {
		l.carried++
		more = l.left()
	}
	if l.fits(p) && (more || l.missing > 0) {
		l.hold(p)
		return len(p), nil
	}
	return len(p), l.flush(p)
}

// frame reads a frame's head: whether it is a text, and its size with its head.
// What a server writes is never masked and, of gorilla, never in fragments.
func frame(p []byte) (text bool, size int) {
	text = p[0]&0xf == websocket.TextMessage
	switch n := int(p[1] & 0x7f); n {
	case 126:
		return text, 4 + int(binary.BigEndian.Uint16(p[2:]))
	case 127:
		return text, 10 + int(binary.BigEndian.Uint64(p[2:]))
	default:
		return text, 2 + n
	}
}

func (l *line) fits(p []byte) bool {
	if l.held == nil {
		return len(p) <= maxHeld
	}
	return l.held.Len()+len(p) <= maxHeld
}

func (l *line) hold(p []byte) {
	if l.held == nil {
		b, ok := helds.Get().(*bytes.Buffer)
		if !ok {
			panic("ws: a pool of other things")
		}
		l.held = b
	}
	l.held.Write(p)
}

// flush writes what is held and p behind it.
func (l *line) flush(p []byte) error {
	if err := l.arm(); err != nil {
		return err
	}
	if l.held != nil {
		defer l.release()
		rest := p
		if l.fits(p) {
			l.held.Write(p)
			rest = nil
		}
		if _, err := l.Conn.Write(l.held.Bytes()); err != nil {
			return err
		}
		p = rest
	}
	if len(p) > 0 {
		if _, err := l.Conn.Write(p); err != nil {
			return err
		}
	}
	n := l.carried
	if l.carried = 0; n > 0 {
		l.sent(n)
	}
	return nil
}

func (l *line) release() {
	l.held.Reset()
	helds.Put(l.held)
	l.held = nil
}

// hijacker hands gorilla our line instead of the connection.
type hijacker struct {
	http.ResponseWriter
	line *line
}

// Hijack implements http.Hijacker.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.line.Conn = conn
	return h.line, buffers, err
}
