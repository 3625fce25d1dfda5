// Package sse serves sessions as Server-Sent Events by r3labs/sse.
//
// r3labs/sse stalls a stream for all its readers when one stalls, keeps every
// event for ever when it replays, has no deadline, no heartbeat and ignores
// write errors. So nothing is published on its streams, which only know who
// reads: the session feeds each subscriber by itself; the ResponseWriter is
// wrapped; and a connection ends only by its context.
package sse

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/r3labs/sse/v2"

	"doorbell/transport"
)

// retry is what a native EventSource waits before it comes back, in ms.
const retry = "retry: 1000\n\n"

// streams is how many r3labs streams there are. Each is a goroutine that keeps a
// list of who reads, and looks through it when one leaves.
const streams = 64

// Transport is the SSE side of a node.
type Transport struct {
	server       *sse.Server
	writeTimeout time.Duration
	ids          atomic.Uint64

	mu          sync.Mutex // guards all below
	subscribing map[*url.URL]chan<- *sse.Subscriber
	serving     int
	down        bool
	empty       chan struct{} // closed when down and none is served
}

// New makes a transport whose writes are cut after writeTimeout.
func New(writeTimeout time.Duration) *Transport {
	s := sse.New()
	s.AutoReplay = false // the log is ours
	s.AutoStream = false
	s.BufferSize = 0
	t := &Transport{
		server: s, writeTimeout: writeTimeout, subscribing: map[*url.URL]chan<- *sse.Subscriber{}, empty: make(chan struct{}),
	}
	s.OnSubscribe = func(_ string, sub *sse.Subscriber) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.subscribing[sub.URL] <- sub
		delete(t.subscribing, sub.URL)
	}
	return t
}

// Serve streams until the client leaves or the session is closed. On HTTP/1 it
// returns at once and the stream lives on in goroutines of its own; then
// detached is true, and the ResponseWriter is not the caller's any more.
func (t *Transport) Serve(w http.ResponseWriter, r *http.Request, s *transport.Session) (isDetached bool) {
	w.Header().Set("X-Accel-Buffering", "no") // cures one nginx
	w.Header().Set("Cache-Control", "no-store, no-transform")
	var d *detached
	if !t.enter() {
		d = detach(w, r)
	}
	if d == nil {
		defer t.leave()
		ctx, cancel := context.WithCancel(r.Context())
		c := t.newConn(w, s, cancel)
		c.open = func() { s.Run(lasting, c) } //nolint:contextcheck // see lasting
		t.stream(c, func() { <-ctx.Done() })  //nolint:contextcheck // see ending
		return false
	}
	c := t.newConn(d, s, d.stopReading)
	opened, ready := make(chan struct{}), make(chan struct{})
	c.open = func() {
		close(opened)
		<-ready // else the stream could leave before the session has joined
	}
	go func() { //nolint:contextcheck // it outlives the request
		defer t.leave()
		d.end(t.stream(c, d.wait))
	}()
	// Here and not in the stream's goroutine: it goes deep, and that one would
	// keep the stack for as long as the console stays.
	<-opened
	s.Run(lasting, c) //nolint:contextcheck // see lasting
	close(ready)
	return true
}

// enter counts a console in, and reports whether it comes too late to be
// detached: what is not, net/http waits for.
func (t *Transport) enter() (late bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.serving++
	return t.down
}

// leave has the last console that leaves a node that stops end r3labs' streams:
// before, one of them could still be taking its leave from its stream.
func (t *Transport) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.serving--; t.down && t.serving == 0 {
		t.end()
	}
}

// end needs t.mu. A console that comes later still makes streams anew.
func (t *Transport) end() {
	t.server.Close()
	select {
	case <-t.empty:
	default:
		close(t.empty)
	}
}

// lasting is the context of what a connection asks the log for: bounded reads,
// which need no end of their own.
var lasting = context.Background()

func (t *Transport) newConn(out http.ResponseWriter, s *transport.Session, cancel func()) *conn {
	c := &conn{
		transport: t, session: s, cancel: cancel, out: out, control: http.NewResponseController(innermost(out)),
	}
	_, c.ours = out.(*detached)
	return c
}

// stream runs one connection until wait returns; true when nothing went wrong
// with it.
func (t *Transport) stream(c *conn, wait func()) (well bool) {
	defer c.cancel()
	id := strconv.FormatUint(t.ids.Add(1)%streams, 10)
	t.server.CreateStream(id) // unless there is one
	// A request of our own making: r3labs takes the stream from the query and
	// answers 400 to a Last-Event-ID that is not a number.
	inner := (&http.Request{
		Method: http.MethodGet, Header: http.Header{}, URL: &url.URL{RawQuery: "stream=" + id},
	}).WithContext(ending{c, wait})
	subscribed := make(chan *sse.Subscriber, 1)
	c.subscribed = subscribed
	t.mu.Lock()
	t.subscribing[inner.URL] = subscribed
	t.mu.Unlock()
	t.server.ServeHTTP(c, inner)
	c.session.Leave(lasting, 0, c.finish())
	return !c.broken()
}

// ending is a context that is done when wait has returned. r3labs has a
// goroutine for each connection that does nothing but wait for Done: so Done
// waits, in that goroutine, and one more that reads the connection is not needed
// (3 KiB for each console). It takes the subscriber from the session before
// r3labs closes it.
type ending struct {
	conn *conn
	wait func()
}

// Deadline implements context.Context.
func (ending) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Err implements context.Context; nobody asks.
func (ending) Err() error { return nil }

// Value implements context.Context.
func (ending) Value(any) any { return nil }

// closed is what Done returns, when it returns.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Done implements context.Context, but for that it blocks.
func (e ending) Done() <-chan struct{} {
	e.wait()
	e.conn.mu.Lock()
	defer e.conn.mu.Unlock()
	e.conn.over = true
	return closed
}

// Shutdown waits for the consoles, which the hub has told to end, and ends the
// streams.
func (t *Transport) Shutdown(ctx context.Context) error {
	t.mu.Lock()
	if t.down = true; t.serving == 0 {
		t.end()
	}
	t.mu.Unlock()
	select {
	case <-t.empty:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("event streams did not end: %w", ctx.Err())
	}
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
