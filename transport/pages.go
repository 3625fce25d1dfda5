package transport

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"doorbell/internal/doorbell"
)

const (
	// pageSize is how many alerts one read of the log returns to consoles that are
	// behind. It must not exceed ringSize: then a page below a full ring ends before
	// the head and is complete.
	pageSize = 32
	// pagesLimit bounds the bytes of all kept pages of all shops. Pages being read
	// come on top: pageReads pages of at most 120 KiB.
	pagesLimit = 31 << 20
	// pageReads bounds the concurrent page reads: other readers and the writer need
	// the processor too.
	pageReads = 4
	// pageIdle is how long an unused page is kept.
	pageIdle = 10 * time.Second
	// pageWait bounds a read of a page, the wait for its turn included.
	pageWait = 5 * time.Second
)

// page holds up to pageSize encoded alerts of one shop, without a gap. It belongs
// to one epoch of its feed: rewind drops it.
type page struct {
	feed    *feed
	index   int64
	rewinds int           // of the feed, when the page was requested
	turn    chan struct{} // of the shop: one read at a time
	done    chan struct{} // closed after the read; the fields below don't change then

	err    error
	first  doorbell.Seq
	alerts []paged
	size   int // bytes

	read   bool          // guarded by pages.mu: done is closed
	recent *list.Element // guarded by pages.mu: nil if not kept
	used   time.Time     // guarded by pages.mu
}

// paged is an alert as a page keeps it.
type paged struct {
	typ  doorbell.Type
	data []byte // a copy: a slow console that holds one alert must not hold the page
}

// pagedSize is the memory of an alert without its bytes.
const pagedSize = 32

func pageOf(seq doorbell.Seq) int64 { return int64(seq-1) / pageSize }

// begins and ends return the first and the last seq of the page.
func (g *page) begins() doorbell.Seq { return doorbell.Seq(g.index*pageSize + 1) }
func (g *page) ends() doorbell.Seq   { return doorbell.Seq((g.index + 1) * pageSize) }

// next returns the seq after the page's last alert.
func (g *page) next() doorbell.Seq { return g.first + doorbell.Seq(len(g.alerts)) }

// peek implements tail.
func (g *page) peek(seq doorbell.Seq) (frame, bool) {
	if seq < g.first || seq >= g.next() {
		return frame{}, false
	}
	a := g.alerts[seq-g.first]
	return frame{seq: seq, typ: a.typ, data: a.data}, true
}

// isRead reports whether the page has been read.
func (g *page) isRead() bool {
	select {
	case <-g.done:
		return true
	default:
		return false
	}
}

// wait waits until somebody else has read the page.
func (g *page) wait(ctx context.Context) error {
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return fmt.Errorf("wait for a page of the log of shop %d: %w", g.feed.shop, ctx.Err())
	}
}

// fill takes the alerts that the log returned, up to the first gap.
func (g *page) fill(alerts []doorbell.Alert) {
	g.alerts = make([]paged, 0, len(alerts))
	for _, a := range alerts {
		if a.Seq > g.ends() || len(g.alerts) > 0 && a.Seq != g.next() {
			break
		}
		if len(g.alerts) == 0 {
			g.first = a.Seq
		}
		data := bytes.Clone(a.Encode()) // trims the capacity
		g.alerts = append(g.alerts, paged{a.Type, data})
		g.size += cap(data) + pagedSize
	}
}

// pages keeps the pages that consoles which are behind have read, so that consoles
// near each other read the log once. A page is dropped when unused for pageIdle,
// when its epoch is over, or as the least recently used of too many.
type pages struct {
	limit int           // of size
	slots chan struct{} // one for each concurrent read

	mu     sync.Mutex // guards what follows and the feeds' shelves; below feed.mu and session.mu
	size   int
	recent list.List // of *page, the latest first
}

func newPages() *pages {
	return &pages{limit: pagesLimit, slots: make(chan struct{}, pageReads)}
}

// shelf holds a feed's pages, including those being read.
type shelf struct {
	pages map[int64]*page
	turn  chan struct{} // taken by the current read
}

// find returns the page of seq. It is read, or is being read; if isNew, the caller
// must call fetch. Needs f.mu.
func (c *pages) find(f *feed, seq doorbell.Seq) (g *page, isNew bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	index := pageOf(seq)
	if f.shelf != nil && f.shelf.pages[index] != nil {
		if g = f.shelf.pages[index]; !g.read || seq < g.next() {
			c.use(g)
			return g, false
		}
		c.remove(g) // the log ended within the page and has grown since
	}
	if f.shelf == nil {
		f.shelf = &shelf{pages: map[int64]*page{}, turn: make(chan struct{}, 1)}
	}
	g = &page{feed: f, index: index, rewinds: f.rewinds, turn: f.shelf.turn, done: make(chan struct{})}
	f.shelf.pages[index] = g
	return g, true
}

// use marks a page as used. Needs c.mu.
func (c *pages) use(g *page) {
	if g.recent != nil {
		g.used = time.Now()
		c.recent.MoveToFront(g.recent)
	}
}

// errUnread is returned to those who wait if the reader panicked.
var errUnread = errors.New("the page was not read")

// fetch reads a page from the log, within pageWait. It continues when ctx ends,
// because others wait for the page.
func (c *pages) fetch(ctx context.Context, log Log, g *page) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pageWait)
	defer cancel()
	var alerts []doorbell.Alert
	err := errUnread
	defer func() { c.keep(g, alerts, err) }()
	alerts, err = c.query(ctx, log, g)
	return err
}

// query waits for the shop's turn and then for a slot: a shop whose consoles are
// spread over its log still queues once, like every other shop.
func (c *pages) query(ctx context.Context, log Log, g *page) ([]doorbell.Alert, error) {
	for _, turn := range []chan struct{}{g.turn, c.slots} {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for a turn to read the log of shop %d: %w", g.feed.shop, ctx.Err())
		}
	}
	return log.AlertsAfter(ctx, g.feed.shop, g.begins()-1, pageSize)
}

// keep makes a page available to others, unless its feed was rewound meanwhile,
// and drops the least recently used of too many.
func (c *pages) keep(g *page, alerts []doorbell.Alert, err error) {
	g.fill(alerts)
	c.mu.Lock()
	defer c.mu.Unlock()
	g.err, g.read = err, true
	close(g.done)
	if g.feed.shelf == nil || g.feed.shelf.pages[g.index] != g {
		return
	}
	if len(g.alerts) == 0 {
		c.remove(g)
		return
	}
	g.used = time.Now()
	g.recent = c.recent.PushFront(g)
	c.size += g.size
	for c.size > c.limit {
		c.remove(c.recent.Back().Value.(*page)) //nolint:forcetypeassert // it holds nothing else
	}
}

// remove takes a page off its feed's shelf. Needs c.mu.
func (c *pages) remove(g *page) {
	f := g.feed
	if delete(f.shelf.pages, g.index); len(f.shelf.pages) == 0 {
		f.shelf = nil
	}
	if g.recent != nil {
		c.recent.Remove(g.recent)
		c.size -= g.size
		g.recent = nil
	}
}

// drop removes a feed's pages, including those being read. Needs f.mu.
func (c *pages) drop(f *feed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.shelf == nil {
		return
	}
	for _, g := range f.shelf.pages {
		c.remove(g)
	}
}

// kept returns the number of kept pages, and their bytes.
func (c *pages) kept() (n, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recent.Len(), c.size
}

// sweep drops the pages that were not used for pageIdle.
func (c *pages) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.recent.Back(); e != nil; e = c.recent.Back() {
		g := e.Value.(*page) //nolint:forcetypeassert // it holds nothing else
		if now.Sub(g.used) < pageIdle {
			return
		}
		c.remove(g)
	}
}
