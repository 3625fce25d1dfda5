// Package transport carries a shop's log from this node to the consoles on it.
//
// A Feed keeps one shop's hot tail and its next seq. A Session is one console: a
// place in each shop that it follows and a bounded window of messages that have
// not left yet. The Hub joins them and audits the feeds against the log.
//
// What a session sends is, for each shop, every alert from its cursor on, once, in
// order of seq; or a reset. Alerts that are lost, doubled or late on the way to
// Deliver are repaired from the log.
package transport

import (
	"context"
	"errors"
	"sync"
	"time"

	"doorbell/internal/doorbell"
)

// Log is what the hub needs of the store.
type Log interface {
	// Positions returns the epoch and each shop's position, from one snapshot.
	Positions(ctx context.Context, shops []doorbell.ShopID) (epoch string, at map[doorbell.ShopID]doorbell.Position, err error)
	// AlertsAfter returns alerts with seq > after, rising, at most limit.
	AlertsAfter(ctx context.Context, shop doorbell.ShopID, after doorbell.Seq, limit int) ([]doorbell.Alert, error)
	// DrawEpoch replaces the epoch if it is still old.
	DrawEpoch(ctx context.Context, old string) error
}

// Message is what a sink writes: an alert or a named event, encoded once.
type Message struct {
	Event  string // empty for an alert
	Data   []byte // one JSON object on one line; events name themselves in "event"
	Cursor string // the cursor after it; only if Subscription.Cursors is set
	// RetryMs is when a client should come back after this message; 0: not set.
	RetryMs int64
	// Shared is set if other consoles get the same bytes.
	Shared *Shared
}

// Shared caches a transport's encoding of a message for all its consoles.
type Shared struct {
	once sync.Once
	made any
}

// Once returns what encode returned the first time.
func (s *Shared) Once(encode func() any) any {
	s.once.Do(func() { s.made = encode() })
	return s.made
}

// Sink is one connection as its session sees it.
//
//   - TrySend never blocks, never calls back into the session and keeps order.
//     It has room for Window messages and a few more; false says that the
//     connection is over.
//   - Close never blocks and is idempotent. It may be called under locks.
//
// A sink tells Session.Sent of the messages that have left.
type Sink interface {
	TrySend(m Message) bool
	Close(r Reason)
}

// Window is how many unsent messages a session has in its sink. It is small
// because each console needs this memory, stalled or not, and because the kernel's
// socket buffer comes after it. A window larger than one write would gain nothing.
const Window = 10

// Reserve is a sink's room beyond Window, for a bye and a close frame.
const Reserve = 4

// Reason says why the server ends a connection.
type Reason int

// The reasons.
const (
	Gone     Reason = iota // the client left
	Shutdown               // this node stops; reconnect
	AuthOver               // the token or session ended
	Slow                   // a write made no progress
	Broken                 // an error of the server
	Flood                  // the client sends too many messages
)

func (r Reason) String() string {
	return [...]string{"gone", "shutdown", "auth", "slow", "error", "flood"}[r]
}

// CloseCode returns the WebSocket close code for r.
func (r Reason) CloseCode() int {
	return [...]int{1000, 1012, 4401, 1013, 1011, 1008}[r]
}

// Grace is how long a client may take to read what is queued when the server ends
// its connection, before it is cut.
const Grace = 2 * time.Second

// ErrDraining refuses a new connection once a stopping node has ended its
// sessions.
var ErrDraining = errors.New("this node is stopping")

// Start says where a stream without a cursor starts.
type Start int

// The starts.
const (
	FromNow Start = iota
	FromOldest
	FromCursor
	FromBadCursor // a browser sent an unreadable cursor: it gets a reset
	FromPages     // a plain client of one shop: from where its earlier pages are
)

// Subscription is a client's request, checked by the HTTP edge.
type Subscription struct {
	Transport string // "websocket", "sse" or "poll"
	SID       string // the client's label, for people and logs
	Console   string // poll: the id that an earlier answer gave
	Unlisted  bool   // poll: it only looks, and is not listed as a console
	Shops     []doorbell.ShopID
	Start     Start
	Cursor    doorbell.Cursor
	Types     TypeSet
	Heartbeat time.Duration // 0: the hub's
	Plain     bool          // alerts of type 1 and 2 and nothing else
	Cursors   bool          // messages carry their cursor
	Window    int           // 0: Window
	Wait      time.Duration // poll: how long an answer waits for a message
	Grant     doorbell.Grant
	Remote    string
	Client    string // the address that it is counted under; empty: none
	Browser   string // with FromPages: identifies the browser
}

// TypeSet is a set of alert types; zero is all of them.
type TypeSet uint8

// With returns the set with t added.
func (s TypeSet) With(t doorbell.Type) TypeSet { return s | 1<<t }

func (s TypeSet) has(t doorbell.Type) bool { return s == 0 || s&(1<<t) != 0 }
