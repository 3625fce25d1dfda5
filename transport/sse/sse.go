// Package sse serves sessions as Server-Sent Events by r3labs/sse.
//
// r3labs/sse stalls a stream for all its readers when one stalls, keeps every
// event for ever when it replays, has no deadline, no heartbeat and ignores write
// errors. So nothing is published on its streams, which only list the readers: the
// session sends to each subscriber separately; the ResponseWriter is wrapped; and
// a connection ends only by its context.
package sse

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/r3labs/sse/v2"

	"doorbell/transport"
)

// streams is the number of r3labs streams. Each is a goroutine with a list of its
// readers, which it searches when one leaves.
const streams = 64

var _ transport.Transport = (*Transport)(nil)

// Transport serves a node's SSE connections.
type Transport struct {
	server       *sse.Server
	writeTimeout time.Duration
	ids          atomic.Uint64

	mu          sync.Mutex // guards all below
	subscribing map[*url.URL]chan<- *sse.Subscriber
	serving     int
	down        bool
	empty       chan struct{} // closed when down and no console is left
}

// New returns a transport whose writes are cut after writeTimeout.
func New(writeTimeout time.Duration) *Transport {
	s := sse.New()
	s.AutoReplay = false // doorbell has its own log
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

// Serve implements transport.Transport: it streams until the client leaves or the
// session is closed. On HTTP/1 it returns at once and the stream continues in its
// own goroutines. It never returns an error.
func (t *Transport) Serve(w http.ResponseWriter, r *http.Request, s *transport.Session) (transport.Outcome, error) {
	w.Header().Set("X-Accel-Buffering", "no") // nginx then does not buffer
	w.Header().Set("Cache-Control", "no-store, no-transform")
	var d *detached
	if !t.enter() {
		d = detach(w, r)
	}
	if d == nil {
		defer t.leave()
		ctx, cancel := context.WithCancel(r.Context())
		c := t.newConn(w, s, cancel)
		c.closes = r.ProtoMajor == 1
		c.open = func() { s.Run(lasting, c) } //nolint:contextcheck // see lasting
		t.stream(c, func() { <-ctx.Done() })  //nolint:contextcheck // see ending
		return transport.Answered, nil
	}
	c := t.newConn(d, s, d.stopReading)
	opened, ready := make(chan struct{}), make(chan struct{})
	c.open = func() {
		close(opened)
		<-ready // otherwise the stream could leave before the session has joined
	}
	go func() { //nolint:contextcheck // it outlives the request
		defer t.leave()
		d.end(t.stream(c, d.wait))
	}()
	// Not in the stream's goroutine: the call needs a deep stack, which that
	// goroutine would keep as long as the console stays.
	<-opened
	s.Run(lasting, c) //nolint:contextcheck // see lasting
	close(ready)
	return transport.Detached, nil
}

// enter counts a console, and reports whether it is too late to detach it:
// net/http waits for those that are not detached.
func (t *Transport) enter() (late bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.serving++
	return t.down
}

// leave counts a console out; during shutdown the last one closes the r3labs
// server, because closing it earlier would race with the others' unsubscribing.
func (t *Transport) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.serving--; t.down && t.serving == 0 {
		t.end()
	}
}

// end closes the r3labs server. Needs t.mu. A later console creates its stream
// anew.
func (t *Transport) end() {
	t.server.Close()
	select {
	case <-t.empty:
	default:
		close(t.empty)
	}
}

// lasting is the context for a connection's reads of the log, which are bounded
// and need no end of their own.
var lasting = context.Background()

// stream runs one connection until wait returns; it returns true if the connection
// ended without an error.
func (t *Transport) stream(c *conn, wait func()) (well bool) {
	defer c.cancel()
	id := strconv.FormatUint(t.ids.Add(1)%streams, 10)
	t.server.CreateStream(id) // unless it exists
	// A new request, because r3labs takes the stream from the query and answers 400
	// to a Last-Event-ID that is not a number.
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

// ending is a context that is done when wait has returned. r3labs starts a
// goroutine for each connection that only waits for Done. Done itself blocks in
// that goroutine, which saves a second goroutine that reads the connection (3 KiB
// for each console). It removes the subscriber from the session before r3labs
// closes it.
type ending struct {
	conn *conn
	wait func()
}

// Deadline implements context.Context.
func (ending) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Err implements context.Context; it is never called.
func (ending) Err() error { return nil }

// Value implements context.Context.
func (ending) Value(any) any { return nil }

// closed is the channel that Done returns.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Done implements context.Context, except that it blocks.
func (e ending) Done() <-chan struct{} {
	e.wait()
	e.conn.mu.Lock()
	defer e.conn.mu.Unlock()
	e.conn.over = true
	return closed
}

// Shutdown implements transport.Transport and ends r3labs' streams.
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
