// Package bus notifies the other nodes of an installation of alerts that one node
// has committed.
//
// The bus carries notifications and is not a log: each node's audit of the heads
// repairs what a broker loses, doubles or delays. So nothing here waits for a
// broker: what does not fit is dropped and counted, and without a connection a
// node goes on alone.
package bus

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"doorbell/internal/doorbell"
)

const (
	// maxQueued bounds the alerts that wait to be published: some 1 MB.
	maxQueued = 4096
	// maxPublish is how many messages the broker gets at once.
	maxPublish = 256
	// ioTimeout bounds a dial and each write.
	ioTimeout = 2 * time.Second
	// pingEvery is the time between pings to a silent broker, and silence how long
	// it may take to answer: a frozen broker still accepts what is written to it.
	pingEvery = time.Second
	silence   = 3 * time.Second
)

// Broker opens connections to one message broker.
type Broker interface {
	// Dial connects, at most for ioTimeout. received is called from one goroutine at
	// a time, and owns the bytes that it gets; lost is called when messages did not
	// fit.
	Dial(ctx context.Context, received func([]byte), lost func(n int)) (Conn, error)
	// String names the broker for logs, without its password.
	String() string
}

// Conn is one connection to a broker. One goroutine calls its methods. After an
// error, or when Done is closed, only Close may be called.
type Conn interface { //nolint:interfacebloat // one connection
	Subscribe(subjects []string) error
	Unsubscribe(subjects []string) error
	// Sync returns when the broker has processed all subscriptions.
	Sync(ctx context.Context) error
	// Publish sends messages, at most for ioTimeout.
	Publish(messages []Outgoing) error
	Done() <-chan struct{}
	// Err returns why Done was closed.
	Err() error
	Close()
}

// Outgoing is a message to be published under a subject.
type Outgoing struct {
	Subject string
	Data    []byte
}

// Receiver receives other nodes' alerts. No method may block.
type Receiver interface {
	Receive(n doorbell.PeerAlert)
	// AuditNow is called when messages may have been missed: when the bus is
	// connected again, and when some did not fit.
	AuditNow()
	// Answer returns the answer to another node's question, or nil for none.
	Answer(question []byte) []byte
}

// Options are the arguments of New.
type Options struct {
	Broker Broker // nil: this node alone
	// Key is the installation's secret, of at least 16 bytes: messages of others on
	// the same broker are ignored.
	Key []byte
	Log *slog.Logger
}

// Bus is one node's connection to the others. Publish, Follow and Unfollow never
// block.
type Bus struct {
	broker Broker
	sealer sealer
	log    *slog.Logger
	queue  chan queued
	up     atomic.Bool
	others others

	mu      sync.Mutex // guards all below
	follows map[doorbell.ShopID]bool
	changed map[doorbell.ShopID]bool // followed or unfollowed since the last message to the broker
	why     error                    // nil while connected

	wake    chan struct{} // buffered 1: changed is not empty
	figures counters
}

// queued is an alert, which is sealed when its turn comes, or a sealed message.
type queued struct {
	alert   doorbell.Alert
	message Outgoing
}

// counters count messages. The audit repairs what Dropped and Lost count.
type counters struct {
	sent, dropped, received, lost, refused, connects atomic.Int64
}

// Figures are a Bus's counts since its start.
type Figures struct {
	Sent     int64 // alerts handed to the broker
	Dropped  int64 // alerts that were not sent: no room, or no connection
	Received int64 // alerts of other nodes
	Lost     int64 // received messages for which there was no room, as far as the broker's client reports
	Refused  int64 // messages of another installation, or unreadable ones
	Connects int64 // connections that were made
}

var errNotYet = errors.New("not connected yet")

// New returns a bus; Run connects it.
func New(o Options) *Bus {
	return &Bus{
		broker: o.Broker, sealer: newSealer(o.Key), log: o.Log, queue: make(chan queued, maxQueued), why: errNotYet,
		follows: map[doorbell.ShopID]bool{}, changed: map[doorbell.ShopID]bool{}, wake: make(chan struct{}, 1), others: newOthers(),
	}
}

// Alone reports whether there is no broker.
func (b *Bus) Alone() bool { return b.broker == nil }

// Err returns why the bus is not connected, or nil while it is and where there is
// no broker.
func (b *Bus) Err() error {
	if b.Alone() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.why
}

// ErrRefused is in the chain of an error if the broker refuses this node's user
// name, password or token.
var ErrRefused = errors.New("the broker refused this node")

// Reason returns in a few words, safe for strangers, why the bus is not connected;
// empty while it is, and where there is no broker.
func (b *Bus) Reason() string {
	switch err := b.Err(); {
	case err == nil:
		return ""
	case errors.Is(err, ErrRefused):
		return "the bus refused this node's user name, password or token"
	default:
		return "the bus is not connected"
	}
}

// Figures returns the counts so far.
func (b *Bus) Figures() Figures {
	c := &b.figures
	return Figures{
		Sent: c.sent.Load(), Dropped: c.dropped.Load(), Received: c.received.Load(), Lost: c.lost.Load(),
		Refused: c.refused.Load(), Connects: c.connects.Load(),
	}
}

// Publish notifies other nodes of alerts that were committed.
func (b *Bus) Publish(alerts []doorbell.Alert) {
	if b.Alone() {
		return
	}
	for i, a := range alerts {
		if !b.up.Load() {
			b.figures.dropped.Add(int64(len(alerts) - i))
			return
		}
		b.enqueue(queued{alert: a})
	}
}

// enqueue reports whether the queue had room.
func (b *Bus) enqueue(q queued) bool {
	select {
	case b.queue <- q:
		return true
	default:
		b.figures.dropped.Add(1)
		return false
	}
}

// Follow subscribes to what other nodes commit of a shop, from some moment on.
func (b *Bus) Follow(shop doorbell.ShopID) { b.follow(shop, true) }

// Unfollow ends the subscription.
func (b *Bus) Unfollow(shop doorbell.ShopID) { b.follow(shop, false) }

func (b *Bus) follow(shop doorbell.ShopID, on bool) {
	if b.Alone() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.follows[shop] == on {
		return
	}
	if on {
		b.follows[shop] = true
	} else {
		delete(b.follows, shop)
	}
	b.changed[shop] = true
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// receive passes on what the broker delivers.
func (b *Bus) receive(data []byte, to Receiver) {
	m, err := b.sealer.open(data)
	switch {
	case err != nil:
		b.figures.refused.Add(1)
		return
	case m.node == b.sealer.node:
		return
	}
	if b.others.seen(m.node) { // that node does not know this one either
		b.enqueue(queued{message: b.here()})
	}
	switch m.kind {
	case alertKind:
		b.figures.received.Add(1)
		to.Receive(m.alert)
	case questionKind:
		if answer := to.Answer(m.body); answer != nil && len(answer) <= maxBody {
			b.enqueue(queued{message: b.sealer.sealBody(b.sealer.inbox(m.node), answerKind, m.id, answer)})
		}
	case answerKind:
		b.others.answered(m.id, m.node, m.body)
	case hereKind:
	}
}
