package transport

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"doorbell/internal/doorbell"
)

// A page is a plain client that knows no cursor, dials once and never again: it is
// sky-take-out's admin page. When it is loaded anew, nothing tells the server that
// it is the same, nor what it has shown. So the server remembers its position,
// from what the browser is known to have done:
//
//   - What was written is not read. A ping goes out behind each alert; its pong says
//     that the browser has read what stands before.
//   - What the browser has read, the page may not have shown. A page that was left
//     for another document lives on in the back/forward cache: its socket stays
//     open and pings are answered, for minutes, while nobody sees anything, and it
//     ends as one that is loaded anew does. Only a page that has just dialled is
//     surely no such ghost.
//
// A page that ends and dials again at once was reloaded: it continues from what it
// has read, with an overlap. In every other case the browser may have shown
// another document, and the page continues from what was read just after the last
// dial. Both go back maxBehind at most, and accepted alerts are left out. So an
// alert may be shown twice, but never not at all.
const (
	// overlap is the last part of what it has read that a reloaded page gets again:
	// a page that is being unloaded still answers pings.
	overlap = 2 * time.Second
	// maxBehind is how far back a page goes at most.
	maxBehind = 10 * time.Minute
	// reloads is the longest time from a page's end to its next dial that counts as
	// a reload: 127 to 366 ms were measured. A user who comes back from another
	// document first sees the page's error, and then reloads it.
	reloads = 500 * time.Millisecond
	// fresh is how long after its dial a page is certainly visible.
	fresh = 3 * time.Second
	// lostAfter is after what time a page that has not come back is reported.
	lostAfter = time.Minute
	// maxUnread bounds the messages whose pong is outstanding.
	maxUnread = 4096
	// maxDeparted bounds the ended pages of a shop that are remembered.
	maxDeparted = 128
	// maxSaved bounds those that are stored, in one row of the database.
	maxSaved = 16
)

// tab is the state of a page while its session runs. Guarded by Session.mu.
type tab struct {
	since  time.Time
	shown  doorbell.Seq // read just after the dial
	read   doorbell.Seq
	left   uint64         // number of messages that have been read
	unread []doorbell.Seq // seqs of the messages after them, in the order of sending; 0: no alert
	lost   bool           // there were too many: nothing more counts as read
	missed []doorbell.Seq // rising: the alerts up to until that are sent
	until  doorbell.Seq
	took   *departedTab // the ended page that this one continues
}

// from returns the first alert from seq on that the page gets. Needs Session.mu.
func (p *tab) from(seq doorbell.Seq) doorbell.Seq {
	if seq > p.until {
		return seq
	}
	if i, _ := slices.BinarySearch(p.missed, seq); i < len(p.missed) {
		return p.missed[i]
	}
	return p.until + 1
}

// outset makes the page start after a head. Needs Session.mu.
func (p *tab) outset(head doorbell.Seq) {
	p.read, p.shown, p.until, p.missed = head, head, 0, nil
	clear(p.unread) // they still count, but as no alert of this log
}

// sent records an outgoing message. Needs Session.mu.
func (p *tab) sent(seq doorbell.Seq) {
	if len(p.unread) >= maxUnread {
		p.lost, p.unread = true, nil
	}
	if !p.lost {
		p.unread = append(p.unread, seq)
	}
}

// TracksReading reports whether the transport must find out what the client has
// read, and call Read.
func (s *Session) TracksReading() bool { return s.tab != nil }

// Read records how many messages the client has read since the start.
func (s *Session) Read(messages uint64) {
	now := time.Now()
	s.mu.Lock()
	p := s.tab
	var seqs []doorbell.Seq
	if p != nil && !p.lost && messages > p.left {
		n := min(messages-p.left, uint64(len(p.unread)))
		for _, seq := range p.unread[:n] {
			if seq > 0 {
				p.read = seq
				seqs = append(seqs, seq)
			}
		}
		p.unread = slices.Clone(p.unread[n:])
		p.left += n
		if now.Sub(p.since) < fresh {
			p.shown = p.read
		}
	}
	s.mu.Unlock()
	if len(seqs) > 0 && s.hub.tabs.o.Shown != nil {
		s.hub.tabs.o.Shown(s, seqs)
	}
}

// departedTab is a page that has ended, or was connected before a restart.
type departedTab struct {
	Browser  string    `json:"browser"`
	At       time.Time `json:"at"`                 // when it ended
	Clean    bool      `json:"clean,omitempty"`    // closed or reloaded by the user
	Answered bool      `json:"answered,omitempty"` // the browser has come back, or the loss was reported

	epoch       string
	shown, read doorbell.Seq
}

// PageOptions are what pages need besides the log; with the zero value they start
// from now.
type PageOptions struct {
	// Open returns the open alerts written since a time, rising.
	Open func(ctx context.Context, shop doorbell.ShopID, since time.Time) ([]doorbell.Alert, error)
	// Load and Save store which pages are connected, for the next process.
	Load func(ctx context.Context) ([]byte, error)
	Save func(ctx context.Context, text []byte) error
	// Shown receives the alerts that a page's browser has read. It must not block.
	Shown func(s *Session, seqs []doorbell.Seq)
	// Lost receives the pages whose connection was lost and that nobody has
	// reloaded: they look as before, but are dead.
	Lost func(ctx context.Context, shop doorbell.ShopID, pages int, since time.Time)
}

// shopTabs are the pages of a shop. An entry stays once there was a page.
type shopTabs struct {
	here     map[*Session]struct{}
	departed []departedTab
}

// tabRegistry holds the pages of this node.
type tabRegistry struct {
	o      PageOptions
	loaded chan struct{} // closed when the stored pages are loaded
	saving sync.Mutex    // held while the pages are stored; above mu

	mu      sync.Mutex // guards all below; above Session.mu
	shops   map[doorbell.ShopID]*shopTabs
	changed bool
}

func newTabRegistry(o PageOptions) *tabRegistry {
	b := &tabRegistry{o: o, loaded: make(chan struct{}), shops: map[doorbell.ShopID]*shopTabs{}}
	if o.Load == nil {
		close(b.loaded)
	}
	return b
}

func (b *tabRegistry) of(shop doorbell.ShopID) *shopTabs {
	p := b.shops[shop]
	if p == nil {
		p = &shopTabs{here: map[*Session]struct{}{}}
		b.shops[shop] = p
	}
	return p
}

// origin is where a page continues: after a seq of an epoch, and with what was
// written since a time.
type origin struct {
	epoch string
	after doorbell.Seq
	since time.Time
	none  bool // no page before: from now on
	took  *departedTab
}

// origin returns where a page of a browser continues, and takes the ended page
// that it continues.
func (b *tabRegistry) origin(shop doorbell.ShopID, browser string, now time.Time) origin {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.shops[shop]
	if p == nil {
		return origin{none: true}
	}
	oldest := now.Add(-maxBehind)
	p.departed = slices.DeleteFunc(p.departed, func(d departedTab) bool { return d.At.Before(oldest) })
	b.changed = true
	reloaded := func(d departedTab) bool {
		return d.Browser == browser && d.Clean && d.epoch != "" && now.Sub(d.At) <= reloads
	}
	if i := slices.IndexFunc(p.departed, reloaded); i >= 0 {
		at := origin{epoch: p.departed[i].epoch, after: p.departed[i].read, since: p.departed[i].At.Add(-overlap)}
		last := i
		for j, d := range p.departed {
			if reloaded(d) {
				at.after, at.since = min(at.after, d.read), earlier(at.since, d.At.Add(-overlap))
				if d.read > p.departed[last].read {
					last = j
				}
			}
		}
		// The first of several pages to come back may be any of them, so each
		// continues from the last one's position.
		at.took = p.takeOut(last)
		return at
	}
	return p.fromShown(browser, now)
}

// takeOut removes an ended page that has a successor. Needs tabRegistry.mu.
func (p *shopTabs) takeOut(i int) *departedTab {
	d := p.departed[i]
	p.departed = slices.Delete(p.departed, i, i+1)
	return &d
}

// fromShown returns the origin of a page that may come back from another document.
// Needs tabRegistry.mu.
func (p *shopTabs) fromShown(browser string, now time.Time) origin {
	at, found, others, same := origin{since: now}, false, false, -1
	take := func(epoch string, shown doorbell.Seq) {
		switch {
		case !found:
			at.epoch, at.after, found = epoch, shown, true
		case at.epoch != epoch:
			at.epoch, at.after = "", 0
		default:
			at.after = min(at.after, shown)
		}
	}
	for i, d := range p.departed {
		take(d.epoch, d.shown)
		if d.Browser == browser {
			p.departed[i].Answered = true
			same = i
		}
	}
	for s := range p.here {
		if s.Browser != browser {
			others = true
			continue
		}
		s.mu.Lock()
		take(s.epoch, s.tab.shown)
		s.mu.Unlock()
	}
	if same >= 0 {
		at.took = p.takeOut(same)
	}
	switch {
	case found && at.epoch == "": // from before this process
		return origin{took: at.took}
	case found:
		return at
	default: // all others ended long ago, or are in use: this is one more page
		return origin{none: others}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// placeTab places a page's session at the open alerts that it may have missed.
// placeFromLog has placed it after the head.
func (s *Session) placeTab(ctx context.Context) error {
	b, now := s.hub.tabs, time.Now()
	p, at := s.tab, s.places[0]
	head := at.next - 1
	p.since = now
	p.outset(head)
	select {
	case <-b.loaded:
	case <-ctx.Done():
		return ctx.Err()
	}
	from := b.origin(at.feed.shop, s.Browser, now)
	p.took = from.took
	if from.none || b.o.Open == nil {
		return nil
	}
	open, err := b.o.Open(ctx, at.feed.shop, now.Add(-maxBehind))
	if err != nil {
		b.leave(s, false)
		return fmt.Errorf("read what a page may have missed: %w", err)
	}
	if from.epoch != "" && from.epoch != s.epoch {
		from = origin{} // its seqs are of another log: it gets all of the last minutes
	}
	for _, a := range open {
		had := a.Seq <= from.after && (from.since.IsZero() || a.Time.Before(from.since))
		if !had && a.Seq <= head {
			p.missed = append(p.missed, a.Seq)
		}
	}
	if len(p.missed) > 0 {
		at.next, p.until = p.missed[0], head
		p.read, p.shown = at.next-1, at.next-1
	}
	return nil
}

// enter counts a running page.
func (b *tabRegistry) enter(s *Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of(s.Shops[0]).here[s] = struct{}{}
	b.changed = true
}

// leave counts a page that ended. clean says that it closed by itself.
func (b *tabRegistry) leave(s *Session, clean bool) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.of(s.Shops[0])
	if _, here := p.here[s]; !here { // it never ran: the next page continues in its place
		if took := s.tab.took; took != nil {
			p.departed = append(p.departed, *took)
		}
		return
	}
	delete(p.here, s)
	b.changed = true
	s.mu.Lock()
	d := departedTab{Browser: s.Browser, At: now, Clean: clean, epoch: s.epoch, shown: s.tab.shown, read: s.tab.read}
	s.mu.Unlock()
	if len(p.departed) >= maxDeparted {
		p.departed = p.departed[1:]
	}
	p.departed = append(p.departed, d)
}

// closedByItself reports whether a close code means that the page itself closed:
// normal, going away, or none (RFC 6455, 7.4.1).
func closedByItself(code int) bool { return code == 1000 || code == 1001 || code == 1005 }
