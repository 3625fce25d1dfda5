package ws

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"doorbell/transport"
)

// line is the connection beneath melody, which writes each message by itself.
// Here messages that wait for one console leave in one write, and the deadline
// is not set anew for each. gorilla calls Write from one goroutine at a time.
type line struct {
	net.Conn
	// left counts a message that melody has written off its queue, and returns
	// the alerts that belong behind it, and whether another message surely
	// follows. It is nil until the upgrade is answered.
	left func() (behind []transport.Numbered, more bool)
	// sent is told how many messages a write has carried.
	sent func(n int)

	timeout time.Duration // of a write
	wanted  time.Time     // the deadline that melody asked for
	armed   time.Time     // the one that is set

	missing int           // bytes of the frame that is being written
	kind    byte          // its opcode
	held    *bytes.Buffer // frames that wait for the next one; nil while there are none
	carried int           // messages in held
	asks    bool          // a ping behind messages asks whether they have been read
	total   uint64        // messages that were written, where it asks
	parting atomic.Int32  // how far the end has come
}

// What parting holds.
const (
	together   int32 = iota
	saidClose        // our close frame has been written
	waitsClose       // melody has closed the connection: the client's frame is waited for
)

// closeWait is how long the client's close frame is waited for after ours. A
// connection that is closed while there is unread input is reset, and what the
// client has not read yet goes with it: 34 of 100 busy clients saw 1006.
const closeWait = time.Second

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

// Close is melody's, after our close frame or when reading has ended. After our
// frame the connection stays for closeWait, with its reader as it is: it takes
// in what the client still sends, and ends by the client's frame. hangUp closes
// in the end; a client that goes on to answer pings is cut by conn.end.
func (l *line) Close() error {
	if l.parting.CompareAndSwap(saidClose, waitsClose) {
		return l.SetReadDeadline(time.Now().Add(closeWait))
	}
	return l.Conn.Close()
}

// hangUp closes the connection when nothing more is read. Where reading ended
// with a fault, after a close frame that says so, what is under way is taken in
// first, for a moment.
func (l *line) hangUp(fault bool) {
	if fault && l.parting.Load() != together {
		if half, ok := l.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			_ = l.SetReadDeadline(time.Now().Add(closeWait))
			_, _ = io.CopyN(io.Discard, l.Conn, maxAfterFault) // what there is, if any
		}
	}
	_ = l.Conn.Close()
}

// maxAfterFault bounds what is read of a client that was told of its fault.
const maxAfterFault = 1 << 20

// Write implements net.Conn.
func (l *line) Write(p []byte) (int, error) {
	if l.left == nil {
		return l.Conn.Write(p)
	}
	more := false
	if l.missing == 0 {
		l.kind, l.missing = frame(p)
	}
	if l.missing -= len(p); l.missing == 0 && l.kind == websocket.TextMessage {
		l.carried++
		var behind []transport.Numbered
		if behind, more = l.left(); behind != nil {
			return len(p), l.burst(p, behind)
		}
	}
	if l.fits(p) && (more || l.missing > 0) {
		l.hold(p)
		return len(p), nil
	}
	err := l.flush(p)
	if err == nil && l.missing == 0 && l.kind == websocket.CloseMessage {
		l.parting.CompareAndSwap(together, saidClose)
	}
	return len(p), err
}

// frame reads a frame's head: its opcode, and its size with its head. What a
// server writes is never masked and, of gorilla, never in fragments.
func frame(p []byte) (kind byte, size int) {
	kind = p[0] & 0xf
	switch n := int(p[1] & 0x7f); n {
	case 126:
		return kind, 4 + int(binary.BigEndian.Uint16(p[2:]))
	case 127:
		return kind, 10 + int(binary.BigEndian.Uint64(p[2:]))
	default:
		return kind, 2 + n
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
	if l.asks && l.carried > 0 && l.missing == 0 && l.kind != websocket.CloseMessage {
		l.total += uint64(l.carried)
		p = append(slices.Clip(p), asking(l.total)...)
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

// burst writes what is held, p, and alerts as frames behind it.
func (l *line) burst(p []byte, behind []transport.Numbered) error {
	l.hold(p)
	for _, a := range behind {
		l.held.Write(textHead(l.held.AvailableBuffer(), len(a.Data)))
		l.held.Write(a.Data)
	}
	l.carried += len(behind)
	return l.flush(nil)
}

// textHead is the head of a text frame as a server writes it.
func textHead(b []byte, size int) []byte {
	const final = 0x80
	b = append(b, final|websocket.TextMessage)
	switch {
	case size < 126:
		return append(b, byte(size))
	case size <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(size))
	}
}

// maxPooled keeps a buffer that once was large from staying for ever.
const maxPooled = 16 << 10

func (l *line) release() {
	if l.held.Cap() <= maxPooled {
		l.held.Reset()
		helds.Put(l.held)
	}
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
