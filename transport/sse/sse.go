// Package sse serves sessions as Server-Sent Events by r3labs/sse.
//
// r3labs/sse stalls a stream for all its readers when one stalls, keeps every
// event for ever when it replays, has no deadline, no heartbeat and ignores
// write errors. So each connection is a stream of its own, of 20 events, that
// the session feeds; the ResponseWriter is wrapped; and a connection ends only
// by its context.
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

// Transport is the SSE side of a node.
type Transport struct {
	server       *sse.Server
	writeTimeout time.Duration
	ids          atomic.Uint64
	running      sync.WaitGroup // what was detached

	mu   sync.Mutex
	down bool // nothing more is detached
}

// New makes a transport whose writes are cut after writeTimeout.
func New(writeTimeout time.Duration) *Transport {
	s := sse.New()
	s.AutoReplay = false // the log is ours
	s.AutoStream = false
	s.BufferSize = transport.Window + transport.Reserve
	return &Transport{server: s, writeTimeout: writeTimeout}
}

// Serve streams until the client leaves or the session is closed. On HTTP/1 it
// returns at once and the stream lives on in goroutines of its own; then
// detached is true, and the ResponseWriter is not the caller's any more.
func (t *Transport) Serve(w http.ResponseWriter, r *http.Request, s *transport.Session) (isDetached bool) {
	w.Header().Set("X-Accel-Buffering", "no") // cures one nginx
	w.Header().Set("Cache-Control", "no-store, no-transform")
	d := t.detach(w, r)
	if d == nil {
		ctx, cancel := context.WithCancel(r.Context())
		t.stream(ctx, cancel, w, s)
		return false
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	go func() {
		defer t.running.Done()
		d.end(t.stream(ctx, cancel, d, s))
	}()
	go func() {
		defer t.running.Done()
		d.watch()
		cancel()
	}()
	return true
}

// detach takes the connection over and counts what serves it; nil where that
// can't be done, or not any more.
func (t *Transport) detach(w http.ResponseWriter, r *http.Request) *detached {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.down {
		return nil
	}
	d := detach(w, r)
	if d != nil {
		t.running.Add(2)
	}
	return d
}

// stream runs one connection to its end; true when nothing went wrong with it.
func (t *Transport) stream(ctx context.Context, cancel context.CancelFunc, out http.ResponseWriter, s *transport.Session) (well bool) {
	defer cancel()
	c := &conn{
		transport: t, session: s, stream: strconv.FormatUint(t.ids.Add(1), 36),
		ctx: ctx, cancel: cancel, out: out, control: http.NewResponseController(innermost(out)),
	}
	t.server.CreateStream(c.stream)
	// A request of our own making: r3labs takes the stream from the query and
	// answers 400 to a Last-Event-ID that is not a number.
	inner := (&http.Request{
		Method: http.MethodGet, Header: http.Header{}, URL: &url.URL{RawQuery: "stream=" + c.stream},
	}).WithContext(ctx)
	t.server.ServeHTTP(c, inner)
	// ServeHTTP has returned because the stream's loop took the reader off it:
	// only now may the stream go, else its goroutine or the handler hangs.
	t.server.RemoveStream(c.stream)
	s.Leave(context.WithoutCancel(ctx), 0, c.finish())
	return !c.broken()
}

// Shutdown waits for the streams, which the hub has told to end.
func (t *Transport) Shutdown(ctx context.Context) error {
	t.mu.Lock()
	t.down = true
	t.mu.Unlock()
	done := make(chan struct{})
	go func() {
		t.running.Wait()
		close(done)
	}()
	select {
	case <-done:
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
	stream    string
	ctx       context.Context //nolint:containedctx // the connection's life, which no call spans
	cancel    context.CancelFunc
	out       http.ResponseWriter
	control   *http.ResponseController

	// Of the serving goroutine alone.
	started bool
	armed   bool

	mu      sync.Mutex // guards all below
	queued  int        // events handed to r3labs that are not written yet
	closing bool
	reason  transport.Reason
	failure error
	cut     *time.Timer
	done    bool // the handler has returned, or will: out is not ours any more
}

// TrySend implements transport.Sink.
func (c *conn) TrySend(m transport.Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.done {
		return false
	}
	// An event always has its id: r3labs writes an empty one otherwise, which
	// resets the browser's last.
	if !c.transport.server.TryPublish(c.stream, &sse.Event{ID: []byte(m.Cursor), Event: []byte(m.Event), Data: m.Data}) {
		return false
	}
	c.queued++
	return true
}

// Close implements transport.Sink: what is queued is still written, for at
// most Grace.
func (c *conn) Close(r transport.Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
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

// Write implements http.ResponseWriter. r3labs ignores errors: after one the
// rest is drained.
func (c *conn) Write(p []byte) (int, error) {
	if c.broken() {
		return len(p), nil
	}
	if !c.armed {
		c.armed = true
		c.fail(c.control.SetWriteDeadline(time.Now().Add(c.transport.writeTimeout)))
	}
	_, err := c.out.Write(p)
	c.fail(err)
	return len(p), nil
}

// Flush implements http.Flusher. r3labs calls it first after the reader is
// registered and before its first event, and then once for every event.
func (c *conn) Flush() {
	if !c.started {
		c.started = true
		_, _ = c.Write([]byte(retry)) // never fails
		c.flush()
		c.session.Run(c.ctx, c)
		return
	}
	c.flush()
	c.mu.Lock()
	c.queued--
	if c.closing && c.queued == 0 {
		c.cancel()
	}
	c.mu.Unlock()
	if !c.broken() {
		c.session.Sent(c.ctx)
	}
}

func (c *conn) flush() {
	if c.broken() {
		return
	}
	c.fail(c.control.Flush())
	if c.armed {
		c.armed = false
		// HTTP/2 resets a stream whose deadline passes while it is idle.
		c.fail(c.control.SetWriteDeadline(time.Time{}))
	}
}

func (c *conn) broken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure != nil
}

// fail notes the first error and ends the connection.
func (c *conn) fail(err error) {
	if err == nil || errors.Is(err, http.ErrNotSupported) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure == nil {
		c.failure = err
		c.cancel()
	}
}
