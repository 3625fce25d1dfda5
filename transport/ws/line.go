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

// line is the connection beneath melody. Melody writes each message separately;
// line sends all messages that wait for one console in one write, and does not set
// the deadline again for each. gorilla calls Write from one goroutine at a time.
type line struct {
	net.Conn
	// left counts a message that melody took from its queue. It returns the alerts
	// to send behind it, and whether another message is certain to follow. It is nil
	// until the upgrade is answered.
	left func() (behind []transport.Numbered, more bool)
	// sent is called with the number of messages in each write.
	sent func(n int)

	timeout time.Duration // of a write
	wanted  time.Time     // the deadline that melody asked for
	armed   time.Time     // the one that is set

	missing int           // bytes of the frame that is being written
	kind    byte          // its opcode
	held    *bytes.Buffer // frames that wait for the next one; nil while there are none
	carried int           // messages in held
	asks    bool          // send a ping behind messages, whose pong shows that they were read
	total   uint64        // messages written, counted if asks is set
	parting atomic.Int32  // how far closing has come
}

// The values of parting.
const (
	together   int32 = iota
	saidClose        // our close frame has been written
	waitsClose       // melody has closed the connection; the client's close frame is awaited
)

// closeWait is how long line waits for the client's close frame after its own. The
// kernel resets a connection that is closed with unread input, and the client loses
// what it has not read: 34 of 100 busy clients saw 1006.
const closeWait = time.Second

// maxHeld bounds the bytes held for one write: some ten alerts. A larger write gains
// little, and a console that does not read occupies it.
const maxHeld = 2 << 10

// helds is a pool of buffers: a console needs one only while messages wait for it.
var helds = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, maxHeld)) }}

// SetWriteDeadline keeps the deadline that melody sets before each write, and does
// not pass it on: that costs as much as queueing the message.
func (l *line) SetWriteDeadline(t time.Time) error {
	if l.left == nil || t.IsZero() {
		return l.Conn.SetWriteDeadline(t)
	}
	l.wanted = t
	return nil
}

// arm sets a deadline of one and a quarter timeouts when less than one timeout is
// left of the current one: a stuck write ends after one to one and a quarter
// timeouts. A shorter wanted deadline is set as it is.
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

// Close is called by melody after our close frame, or when reading has ended. After
// our close frame the connection stays open for closeWait: the reader takes what the
// client still sends, and ends with the client's close frame. hangUp closes at last;
// conn.end cuts a client that only goes on answering pings.
func (l *line) Close() error {
	if l.parting.CompareAndSwap(saidClose, waitsClose) {
		return l.SetReadDeadline(time.Now().Add(closeWait))
	}
	return l.Conn.Close()
}

// hangUp closes the connection when nothing more is read. If reading ended with a
// fault of the client, hangUp first reads what is already on its way, for a moment:
// the client then gets the close frame that names the fault.
func (l *line) hangUp(fault bool) {
	if fault && l.parting.Load() != together {
		if half, ok := l.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			_ = l.SetReadDeadline(time.Now().Add(closeWait))
			_, _ = io.CopyN(io.Discard, l.Conn, maxAfterFault) // what there is, if any
		}
	}
	_ = l.Conn.Close()
}

// maxAfterFault bounds the bytes that hangUp reads after a fault.
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

// frame reads a frame's head and returns its opcode and its size, head included. A
// server's frames are never masked, and gorilla's are never in fragments.
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

// flush writes the held frames, then p.
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

// burst writes the held frames, then p, then alerts as frames.
func (l *line) burst(p []byte, behind []transport.Numbered) error {
	l.hold(p)
	for _, a := range behind {
		l.held.Write(textHead(l.held.AvailableBuffer(), len(a.Data)))
		l.held.Write(a.Data)
	}
	l.carried += len(behind)
	return l.flush(nil)
}

// textHead returns the head of a server's text frame.
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

// maxPooled is the largest buffer that returns to the pool.
const maxPooled = 16 << 10

func (l *line) release() {
	if l.held.Cap() <= maxPooled {
		l.held.Reset()
		helds.Put(l.held)
	}
	l.held = nil
}

// hijacker gives gorilla a line in place of the connection.
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
