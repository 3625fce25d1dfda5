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
