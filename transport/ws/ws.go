// Package ws serves sessions over WebSocket by melody.
//
// Melody writes frames well but does not guarantee delivery: its Write returns nil
// for messages that it drops, and its Close goes through the same full buffer. So a
// session never sends more than the buffer holds, and the connection beneath melody
// counts the messages that have left and cuts a connection that does not end in time.
package ws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/olahol/melody"

	"doorbell/transport"
)

const (
	// maxMessage bounds a client's message in bytes; a larger one is closed with 1009.
	maxMessage = 4 << 10
	// pongSlack is added to two heartbeats, because a phone that wakes up answers late.
	pongSlack = 5 * time.Second
	connKey   = "conn"
)

var _ transport.Transport = (*Transport)(nil)

// Transport is the WebSocket side of a node.
type Transport struct {
	writeTimeout time.Duration
	running      sync.WaitGroup

	mu       sync.Mutex
	down     bool
	melodies map[time.Duration]*melody.Melody // by heartbeat: melody has one for all its sessions
}

// New returns a transport that cuts writes after writeTimeout.
func New(writeTimeout time.Duration) *Transport {
	return &Transport{writeTimeout: writeTimeout, melodies: map[time.Duration]*melody.Melody{}}
}

// melody returns the instance for a heartbeat. There are at most 60 and the default,
// because a client asks in whole seconds.
func (t *Transport) melody(heartbeat time.Duration) *melody.Melody {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m := t.melodies[heartbeat]; m != nil {
		return m
	}
	m := melody.New()
	m.Config.MessageBufferSize = transport.Window + transport.Reserve
	m.Config.MaxMessageSize = maxMessage
	m.Config.WriteWait = t.writeTimeout
	m.Config.PingPeriod = heartbeat
	m.Config.PongWait = 2*heartbeat + pongSlack
	m.Upgrader.Subprotocols = []string{transport.Subprotocol}
	m.Upgrader.ReadBufferSize = 128 // for pings, pongs and closes: clients say little
	m.Upgrader.WriteBufferSize = 1024
	m.Upgrader.WriteBufferPool = &sync.Pool{}
	m.Upgrader.HandshakeTimeout = 5 * time.Second
	m.HandleConnect(func(s *melody.Session) { connOf(s).connected(s) })
	m.HandleDisconnect(func(s *melody.Session) { connOf(s).disconnected() })
	m.HandleMessage(func(s *melody.Session, msg []byte) { connOf(s).message(msg) })
	m.HandleMessageBinary(func(s *melody.Session, _ []byte) {
		connOf(s).end(websocket.CloseUnsupportedData, "text frames only")
	})
	m.HandleError(func(s *melody.Session, err error) { connOf(s).failed(err) })
	m.HandlePong(func(s *melody.Session) { connOf(s).answered(m.Config.PongWait) })
	t.melodies[heartbeat] = m
	return m
}

func connOf(s *melody.Session) *conn {
	c, ok := s.Keys[connKey].(*conn)
	if !ok { // Serve sets it
		panic("ws: a melody session without its conn")
	}
	return c
}

// Serve implements transport.Transport: it upgrades the request and returns; the
// session lives on in a goroutine of its own (detached: half the memory of one
// that stays with net/http). The Origin has been checked.
func (t *Transport) Serve(w http.ResponseWriter, r *http.Request, s *transport.Session) (transport.Outcome, error) {
	up, ready := make(chan struct{}), make(chan struct{})
	c := &conn{session: s, up: up, ready: ready}
	c.line.timeout, c.line.asks = t.writeTimeout, s.TracksReading()
	t.mu.Lock()
	if t.down {
		t.mu.Unlock()
		s.Leave(r.Context(), 0, notUpgraded)
		return transport.Unanswered, transport.ErrDraining
	}
	t.running.Add(1)
	t.mu.Unlock()
	m := t.melody(s.Heartbeat)
	// melody accepts every Origin; the HTTP edge has checked it.
	refused := make(chan error, 1)
	go func() {
		defer t.running.Done()
		refused <- m.HandleRequestWithKeys(hijacker{w, &c.line}, r, map[string]any{connKey: c})
	}()
	select {
	case <-up:
		// Called here and not in connected: Run needs a deep stack, which melody's
		// goroutine would keep for as long as the console stays.
		s.Run(context.WithoutCancel(r.Context()), c)
		close(ready)
		return transport.Detached, nil
	case err := <-refused: // only before the upgrade: a connection that is up waits for ready
		s.Leave(r.Context(), 0, notUpgraded)
		// The upgrader has answered, or failed on a connection that it had taken.
		return transport.Detached, fmt.Errorf("upgrade: %w", err)
	}
}

// notUpgraded is the reason of a session that never had a connection.
const notUpgraded = "not upgraded"

// Shutdown implements transport.Transport: it refuses upgrades from now on.
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
		return fmt.Errorf("websocket sessions did not end: %w", ctx.Err())
	}
}

// lasting is the context of a connection's reads from the log. Each read is bounded
// and needs no context that ends; one that ends with the connection would keep
// net/http's request in memory, 0.8 KiB for each console.
var lasting = context.Background()

// conn is a session's sink.
type conn struct {
	session *transport.Session
	up      chan struct{} // closed when connected
	ready   chan struct{} // closed when the session runs

	melody *melody.Session
	raw    *websocket.Conn
	line   line

	mu     sync.Mutex // guards all below
	ending bool
	full   bool
	queued int // messages passed to melody and not written yet
	behind transport.Carried[[]transport.Numbered]
	empty  chan struct{} // closed when queued is 0; nil while nobody waits for that
	code   int           // the close code, ours or theirs
	reason string
	fault  bool // reading ended with a fault of the client
	cut    *time.Timer
}

// connected runs before melody's write pump, which later takes what Serve queues in
// the meantime.
func (c *conn) connected(s *melody.Session) {
	c.melody, c.raw = s, s.WebsocketConnection()
	s.Request = nil // melody would keep it as long as the session
	c.raw.SetCloseHandler(c.left)
	c.line.left, c.line.sent = c.taken, c.sent
	if c.line.asks { // at its pong melody's handler is replaced by answered
		_ = c.raw.WriteControl(websocket.PingMessage, nil, time.Now().Add(c.line.timeout)) // if it fails, reading ends too
	}
	up, ready := c.up, c.ready
	c.up, c.ready = nil, nil // no longer needed: memory of every console
	close(up)
	<-ready
}

func (c *conn) disconnected() {
	c.mu.Lock()
	if c.cut != nil {
		c.cut.Stop()
	}
	code, reason, fault := c.code, c.reason, c.fault
	c.mu.Unlock()
	if code == 0 {
		code, reason = websocket.CloseAbnormalClosure, "connection lost"
	}
	c.session.Leave(lasting, code, reason)
	c.line.hangUp(fault)
}

// TrySend implements transport.Sink. For a message that it drops, melody's Write
// returns nil and calls failed before it returns.
func (c *conn) TrySend(m transport.Message) bool {
	if err := c.melody.Write(m.Data); err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.full {
		c.queued++ // melody's writer may have subtracted it already
	}
	return !c.full
}

// TrySendBurst implements transport.BurstSink. melody gets the first alert; the line
// beneath melody writes the others behind it.
func (c *conn) TrySendBurst(b transport.Burst) bool {
	c.mu.Lock()
	// The session sends one message at a time: all earlier ones are counted.
	c.behind.Add(c.queued, b.Alerts[1:])
	c.mu.Unlock()
	return c.TrySend(transport.Message{Data: b.Alerts[0].Data})
}

// taken subtracts a message that melody took from its queue, and returns the alerts
// to write behind it, and whether another message is queued. TrySend counts a message
// only after it was queued, so a counted one is certain to follow.
func (c *conn) taken() (behind []transport.Numbered, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	behind, _ = c.behind.Written()
	c.queued--
	return behind, c.queued > 0
}

// sent is called in melody's writer, after a write of n messages.
func (c *conn) sent(n int) {
	c.mu.Lock()
	if c.queued <= 0 && c.empty != nil {
		close(c.empty)
		c.empty = nil
	}
	c.mu.Unlock()
	c.session.Sent(lasting, n)
}

// left answers the client's close frame after all queued messages; gorilla's own
// handler would overtake melody's queue. It runs in the reader, which has nothing
// more to read.
func (c *conn) left(code int, _ string) error {
	if c.line.parting.Load() != together { // this is the answer to ours
		return nil
	}
	c.mu.Lock()
	empty := make(chan struct{})
	if c.queued > 0 {
		c.empty = empty
	} else {
		close(empty)
	}
	c.mu.Unlock()
	timer := time.NewTimer(transport.Grace)
	defer timer.Stop()
	select {
	case <-empty:
	case <-timer.C:
	}
	deadline := time.Now().Add(transport.Grace)
	_ = c.raw.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), deadline) // it is leaving anyway
	return nil
}

// Close implements transport.Sink.
func (c *conn) Close(r transport.Reason) { c.end(r.CloseCode(), r.String()) }

// end queues a close frame behind the messages, and cuts the connection if that takes
// too long: melody drops the frame if its buffer is full.
func (c *conn) end(code int, reason string) {
	c.mu.Lock()
	if c.ending {
		c.mu.Unlock()
		return
	}
	c.ending, c.code, c.reason = true, code, reason
	msg := websocket.FormatCloseMessage(code, reason)
	c.cut = time.AfterFunc(transport.Grace, func() {
		// The write may wait for a writer that is stuck; Close then ends both.
		deadline := time.Now().Add(100 * time.Millisecond)
		_ = c.raw.WriteControl(websocket.CloseMessage, msg, deadline) // best effort on a dead line
		_ = c.raw.Close()
	})
	c.mu.Unlock()
	_ = c.melody.CloseWithMsg(msg) // closed already: nothing left to do
}

// failed is called by melody for a dropped message (in the caller of TrySend), for a
// failed write, and when reading ends.
func (c *conn) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, melody.ErrMessageBufferFull) || errors.Is(err, melody.ErrWriteClosed) {
		c.full = true
		return
	}
	c.fault = c.fault || isFault(err)
	if c.code != 0 {
		return
	}
	if ce, ok := errors.AsType[*websocket.CloseError](err); ok {
		c.code, c.reason = ce.Code, transport.Gone.String()
		return
	}
	if errors.Is(err, websocket.ErrReadLimit) {
		c.code, c.reason = websocket.CloseMessageTooBig, "message too big"
		return
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		c.code, c.reason = transport.Slow.CloseCode(), transport.Slow.String()
	}
}

// isFault reports whether reading ended because the client sent something invalid;
// gorilla has answered that with a close frame.
func isFault(err error) bool {
	_, closed := errors.AsType[*websocket.CloseError](err)
	_, network := errors.AsType[net.Error](err)
	return !closed && !network && !errors.Is(err, websocket.ErrCloseSent) && !errors.Is(err, net.ErrClosed)
}

func (c *conn) message(msg []byte) {
	if !utf8.Valid(msg) { // RFC 6455, 8.1; melody does not look
		c.end(websocket.CloseInvalidFramePayloadData, "text is not UTF-8")
		return
	}
	c.session.Received(lasting, string(msg))
}
