package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/transport/transporttest"
)

// console follows all shops and keeps what it showed. Transport 3 switches between
// the others.
type console struct {
	w         *world
	rng       *rand.Rand
	transport int
	base      string

	mu     sync.Mutex
	epoch  string
	from   map[int64]int64    // the seq before the first one shown, 0 until a reset
	shown  map[int64][]string // raw alerts by shop, since the last reset
	resets int
	before []string // what it showed before a reset
	dials  int

	// How it fares now, for a failure.
	kind          int
	dialled, last time.Time
	failed        int
	failure       error
	endings       []string // the last five
}

func (c *console) query() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == "" {
		return "shops=1,2,3&heartbeat=3&after=0"
	}
	return fmt.Sprintf("shops=1,2,3&heartbeat=3&after=%s.1:%d,2:%d,3:%d", c.epoch, c.upTo(1), c.upTo(2), c.upTo(3))
}

// follow reconnects for ever from its own cursor.
func (c *console) follow() {
	for c.w.closing.Err() == nil {
		kind := c.transport
		if kind == 3 {
			kind = c.rng.IntN(3)
		}
		power := c.w.power.Load()
		stream, err := transporttest.Transports()[kind].Dial(c.base, transporttest.Dial{Token: c.w.console, Query: c.query()})
		c.dialledBy(kind, err)
		if err != nil {
			pause(c.w.closing, time.Duration(10+c.rng.IntN(40))*time.Millisecond)
			continue
		}
		unhook := context.AfterFunc(c.w.closing, stream.Close)
		hop := -1 // messages until it goes elsewhere by itself
		if c.transport == 3 {
			hop = 100 + c.rng.IntN(600)
		}
		for ; hop != 0 && c.w.closing.Err() == nil; hop-- {
			m, err := stream.Next()
			if err != nil || !c.w.heard(power) {
				c.lost(err)
				break
			}
			c.take(m)
		}
		unhook()
		stream.Close()
	}
}

func (c *console) dialledBy(kind int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed, c.failure = c.failed+1, err
		return
	}
	c.kind, c.dialled, c.failed, c.failure = kind, time.Now(), 0, nil
}

// lost records how a connection ended. An unreadable stream is not TCP's fault: a
// tool in between left something out.
func (c *console) lost(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endings = append(c.endings, fmt.Sprintf("%v over %d after %v: %v", time.Now().Format("05.000"), c.kind, time.Since(c.dialled).Round(time.Millisecond), err))
	c.endings = c.endings[max(0, len(c.endings)-5):]
}

// take shows the next alert and counts every message that is wrong.
func (c *console) take(m transporttest.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
	switch m.Event {
	case "hello":
		if c.epoch == "" { // else a reset says that it is another
			c.epoch = m.Epoch
		}
		c.dials++
	case "reset":
		c.resets++
		c.rewind(m)
	case "":
		if want := c.upTo(m.Shop) + 1; m.Seq != want {
			c.w.t.Errorf("console on transport %d got %s, want seq %d", c.transport, m.Raw, want)
			return
		}
		c.shown[m.Shop] = append(c.shown[m.Shop], m.Raw)
	}
}

// rewind goes on from where a reset says. Needs c.mu.
func (c *console) rewind(m transporttest.Message) {
	to, err := doorbell.ParseCursor(m.Cursor)
	if err != nil || !c.w.rewinds.Load() || m.Reason != "epoch" || len(m.Shops) != len(c.w.shops) {
		c.w.t.Errorf("a console was reset: %s, %v", m.Raw, err)
		return
	}
	c.epoch = to.Epoch
	for _, shop := range m.Shops {
		c.before = append(c.before, c.shown[shop]...)
		c.from[shop], c.shown[shop] = int64(to.Seqs[doorbell.ShopID(shop)]), nil
	}
}

// rewound counts its resets.
func (c *console) rewound() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resets
}

// upTo is the last seq that it showed of a shop. Needs c.mu.
func (c *console) upTo(shop int64) int64 { return c.from[shop] + int64(len(c.shown[shop])) }

func (c *console) at(shop int64) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.upTo(shop))
}

// state returns what the console is doing.
func (c *console) state() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%d connections, the last over transport %d for %v, its last message %v ago, %d dials failed since: %v; endings: %q",
		c.dials, c.kind, time.Since(c.dialled).Round(time.Millisecond), time.Since(c.last).Round(time.Millisecond), c.failed, c.failure, c.endings)
}
