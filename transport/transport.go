// Package transport carries a shop's log from this node to the consoles on it.
//
// A Feed keeps one shop's hot tail and its next seq. A Session is one console:
// a place in each shop that it follows and a bounded window of messages that
// have not left yet. The Hub joins them and audits the feeds against the log.
//
// What a session sends is, for each shop, every alert from its cursor on, once,
// in order of seq; or a reset. Whatever is lost, doubled or late on the way to
// Deliver is healed from the log.
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
	// Positions tells the epoch and where each shop stands, from one snapshot.
	Positions(ctx context.Context, shops []doorbell.ShopID) (epoch string, at map[doorbell.ShopID]doorbell.Position, err error)
	// AlertsAfter returns alerts with seq > after, rising, at most limit.
	AlertsAfter(ctx context.Context, shop doorbell.ShopID, after doorbell.Seq, limit int) ([]doorbell.Alert, error)
	// DrawEpoch replaces the epoch where it is still old.
	DrawEpoch(ctx context.Context, old string) error
}

// Message is what a sink writes: an alert or a named event, encoded once.
type Message struct {
	Event  string // empty for an alert
	Data   []byte // one JSON object on one line; events name themselves in "event"
	Cursor string // the cursor after it; only where Subscription.Cursors asks
	// Shared is not nil where other consoles get the same, byte for byte.
	Shared *Shared
}

// Shared keeps what a transport has made of a message, for all its consoles
// that get it.
type Shared struct {
	once sync.Once
	made any
}

// Once is what encode returned the first time.
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

// Window is how many unsent messages a session holds in its sink. It is small
// because memory per console is, stalled or not, and because the kernel's socket
// buffer stands behind it. More than are written at once would gain nothing.
const Window = 10

// Reserve is the room in a sink beyond Window: for a bye and a close frame.
const Reserve = 4

// Reason says why the server ends a connection.
type Reason int

// The reasons.
const (
	Gone     Reason = iota // the client left
	Shutdown               // this node stops: come back
	AuthOver               // the token or session ended
	Slow                   // a write made no progress
	Broken                 // an error of ours
	Flood                  // the client sends more than a client does
)

func (r Reason) String() string {
	return [...]string{"gone", "shutdown", "auth", "slow", "error", "flood"}[r]
}

// CloseCode is the WebSocket close code for r.
func (r Reason) CloseCode() int {
	return [...]int{1000, 1012, 4401, 1013, 1011, 1008}[r]
}

// Grace is how long a connection that the server ends may take to read what
// is still queued before it is cut.
const Grace = 2 * time.Second

// ErrDraining refuses a new stream while the node stops.
var ErrDraining = errors.New("this node is stopping")

// Start says from where a stream without a cursor starts.
type Start int

// The starts.
const (
	FromNow Start = iota
	FromOldest
	FromCursor
	FromBadCursor // a browser whose cursor can't be read: a reset tells it
)

// Subscription is what a client asked for, checked by the HTTP edge.
type Subscription struct {
	Transport string // "websocket", "sse" or "poll"
	SID       string // the client's label, for people and logs
	Console   string // poll: the id that an earlier answer gave
	Shops     []doorbell.ShopID
	Start     Start
	Cursor    doorbell.Cursor
	Types     TypeSet
	Heartbeat time.Duration // 0: the hub's
	Plain     bool          // alerts of type 1 and 2 and nothing else
	Cursors   bool          // messages carry their cursor
	Window    int           // 0: Window
	Grant     doorbell.Grant
	Remote    string
}

// TypeSet is a set of alert types; zero is all of them.
type TypeSet uint8

// With returns the set with t in it.
func (s TypeSet) With(t doorbell.Type) TypeSet { return s | 1<<t }

func (s TypeSet) has(t doorbell.Type) bool { return s == 0 || s&(1<<t) != 0 }
