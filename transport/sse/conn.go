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

// retry is what a native EventSource waits before it comes back, in ms.
const retry = "retry: 1000\n\n"

// conn is a session's sink, and the ResponseWriter that r3labs writes to.
type conn struct {
	transport *Transport
	session   *transport.Session
	open      func() // called once, when r3labs takes events
	cancel    func() // ends the connection; it never blocks and may be called again
	out       http.ResponseWriter
	control   *http.ResponseController

	ours bool // the connection is: nothing resets it when a deadline passes while it is idle

	// Of the serving goroutine alone.
	subscribed <-chan *sse.Subscriber // has ours in a moment; nil when it was taken
	started    bool
	within     bool      // an event has been begun
	waiting    int       // bytes that were written and not flushed
	carried    int       // events in them
	armed      time.Time // the write deadline that is set
	failure    error     // the first one: nothing is written after it

	mu         sync.Mutex // guards all below
	subscriber *sse.Subscriber
	queued     int  // events handed to r3labs that are not written yet
	over       bool // r3labs may close the subscriber: it takes no more
	closing    bool
	reason     transport.Reason
	cut        *time.Timer
	done       bool // the handler has returned, or will: out is not ours any more
}

func (t *Transport) newConn(out http.ResponseWriter, s *transport.Session, cancel func()) *conn {
	c := &conn{
		transport: t, session: s, cancel: cancel, out: out, control: http.NewResponseController(innermost(out)),
	}
	_, c.ours = out.(*detached)
	return c
}

// innermost is net/http's own writer: Gin's Flush keeps the error to itself, and
// a console that was cut would look as if it had left.
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

// Close implements transport.Sink: what is queued is still written, for at
// most Grace.
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

// finish says why the connection ended.
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
	c.out.Header().Del("Connection") // not allowed in HTTP/2, not needed in HTTP/1.1
	c.out.WriteHeader(status)
}

// maxWaiting bounds what waits for the next event: some ten alerts. A larger
// write gains little, and a console that does not read holds it.
const maxWaiting = 2 << 10

// Write implements http.ResponseWriter. r3labs ignores errors: after one the
// rest is drained.
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

// arm bounds the writes that come. On a connection of ours the deadline is set
// anew when less than a timeout is left of it, for a quarter more: setting it
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
// another one waits, what was written waits for it: they leave together.
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

// subscribe learns which subscriber r3labs has made for this connection.
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

// fail notes the first error and ends the connection.
func (c *conn) fail(err error) {
	if err == nil || errors.Is(err, http.ErrNotSupported) {
		return
	}
	if c.failure == nil {
		c.failure = err
		c.cancel()
	}
}
