package sse

import (
	"errors"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/r3labs/sse/v2"

	"doorbell/transport"
)

// retry sets how long a native EventSource waits before it reconnects, in ms.
const retry = "retry: 1000\n\n"

// conn is a session's sink, and the ResponseWriter that r3labs writes to.
type conn struct {
	transport *Transport
	session   *transport.Session
	open      func() // called once, when r3labs accepts events
	cancel    func() // ends the connection; it never blocks and may be called again
	out       http.ResponseWriter
	control   *http.ResponseController

	closes bool // an HTTP/1 connection of net/http, which ends with the stream

	ours bool // the connection was taken over: no deadline resets it while it is idle

	// Used by the serving goroutine only.
	subscribed <-chan *sse.Subscriber // receives the connection's subscriber; nil afterwards
	started    bool
	within     bool      // an event has begun
	waiting    int       // bytes written and not flushed
	carried    int       // events in them
	armed      time.Time // the write deadline that is set
	failure    error     // the first error; nothing is written after it

	mu         sync.Mutex // guards all below
	subscriber *sse.Subscriber
	queued     int                    // events passed to r3labs and not yet written
	behind     transport.Carried[int] // number of alerts in an event beyond the first
	over       bool                   // r3labs may close the subscriber: it gets no more events
	closing    bool
	reason     transport.Reason
	cut        *time.Timer
	done       bool // the handler has returned or will: out must not be used any more
}

func (t *Transport) newConn(out http.ResponseWriter, s *transport.Session, cancel func()) *conn {
	c := &conn{
		transport: t, session: s, cancel: cancel, out: out, control: http.NewResponseController(innermost(out)),
	}
	_, c.ours = out.(*detached)
	return c
}

// innermost returns net/http's own writer: Gin's Flush hides errors, so that a
// console that was cut would look as if it had left.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = u.Unwrap()
	}
}

// TrySend implements transport.Sink.
func (c *conn) TrySend(m transport.Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.over || c.queued >= transport.Window+transport.Reserve {
		return false
	}
	eventOf(m).Replay(c.subscriber) // never blocks: r3labs has room for 64
	c.queued++
	return true
}

// TrySendBurst implements transport.BurstSink; r3labs sees one event.
func (c *conn) TrySendBurst(b transport.Burst) bool {
	log := encodeBurst(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.over || c.queued >= transport.Window+transport.Reserve {
		return false
	}
	c.behind.Add(c.queued, len(b.Alerts)-1)
	log.Replay(c.subscriber)
	c.queued++
	return true
}

// Close implements transport.Sink: queued messages are still written, for at most
// Grace.
func (c *conn) Close(r transport.Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.over {
		return
	}
	c.closing, c.reason = true, r
	if c.queued == 0 {
		c.cancel()
		return
	}
	c.cut = time.AfterFunc(transport.Grace, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.done {
			_ = c.control.SetWriteDeadline(time.Unix(1, 0)) // frees a write that is stuck
		}
		c.cancel()
	})
}

// finish returns why the connection ended.
func (c *conn) finish() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = true
	if c.cut != nil {
		c.cut.Stop()
	}
	switch {
	case c.closing:
		return c.reason.String()
	case errors.Is(c.failure, os.ErrDeadlineExceeded):
		return transport.Slow.String()
	default:
		return transport.Gone.String()
	}
}

// Header implements http.ResponseWriter.
func (c *conn) Header() http.Header { return c.out.Header() }

// WriteHeader implements http.ResponseWriter.
func (c *conn) WriteHeader(status int) {
	c.out.Header().Set("Cache-Control", "no-store, no-transform")
	c.out.Header().Del("Connection") // r3labs sets keep-alive, which HTTP/2 forbids
	if c.closes {
		c.out.Header().Set("Connection", "close")
	}
	c.out.WriteHeader(status)
}

// maxWaiting bounds the bytes that wait for the next event: some ten alerts. A
// larger write gains little, and a console that does not read holds them.
const maxWaiting = 2 << 10

// Write implements http.ResponseWriter. r3labs ignores errors: after an error,
// further writes are discarded.
func (c *conn) Write(p []byte) (int, error) {
	all := len(p)
	if c.started && !c.within {
		c.within = true
		p = p[len(commentMark):]
	}
	if c.broken() {
		return all, nil
	}
	if c.waiting == 0 {
		c.fail(c.arm())
	}
	c.waiting += len(p)
	_, err := c.out.Write(p)
	c.fail(err)
	return all, nil
}

// arm sets the write deadline. On a taken-over connection it moves the deadline
// only when less than a timeout is left, to a timeout and a quarter: moving it
// costs as much as queueing an event.
func (c *conn) arm() error {
	until := time.Now().Add(c.transport.writeTimeout)
	if !c.ours {
		return c.control.SetWriteDeadline(until)
	}
	if !c.armed.Before(until) {
		return nil
	}
	c.armed = until.Add(c.transport.writeTimeout / 4)
	return c.control.SetWriteDeadline(c.armed)
}

// Flush implements http.Flusher. r3labs calls it first after the reader is
// registered and before its first event, and then once for every event. While
// another event is queued, the bytes stay in the buffer, and both leave together.
func (c *conn) Flush() {
	if !c.started {
		_, _ = c.Write([]byte(retry)) // never fails
		c.started = true
		c.flush()
		c.subscribe()
		c.open()
		c.open = nil
		return
	}
	c.within = false
	c.carried++
	c.mu.Lock()
	c.queued--
	behind, _ := c.behind.Written()
	c.carried += behind
	more := c.queued > 0
	c.mu.Unlock()
	if more && c.waiting < maxWaiting {
		return
	}
	c.flush()
	n := c.carried
	c.carried = 0
	c.mu.Lock()
	if c.closing && c.queued == 0 {
		c.cancel()
	}
	c.mu.Unlock()
	if !c.broken() {
		c.session.Sent(lasting, n)
	}
}

// subscribe receives the subscriber that r3labs has created for this connection.
func (c *conn) subscribe() {
	sub := <-c.subscribed
	c.subscribed = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subscriber = sub
}

func (c *conn) flush() {
	c.waiting = 0
	if c.broken() {
		return
	}
	c.fail(c.control.Flush())
	if !c.ours {
		// HTTP/2 resets a stream whose deadline passes while it is idle.
		c.fail(c.control.SetWriteDeadline(time.Time{}))
	}
}

func (c *conn) broken() bool { return c.failure != nil }

// fail stores the first error and ends the connection.
func (c *conn) fail(err error) {
	if err == nil || errors.Is(err, http.ErrNotSupported) {
		return
	}
	if c.failure == nil {
		c.failure = err
		c.cancel()
	}
}
