package bus

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/store"
	"doorbell/internal/testrun"
	"doorbell/transport"
)

// console is a stream that records what it gets, and when.
type console struct {
	messages chan transport.Message

	mu   sync.Mutex
	seqs []doorbell.Seq
	at   []time.Time
	odd  []string // events other than hello
}

func (c *console) TrySend(m transport.Message) bool {
	select {
	case c.messages <- m:
		return true
	default:
		return false
	}
}

func (c *console) Close(transport.Reason) {}

func (c *console) run(ctx context.Context, s *transport.Session) {
	for {
		select {
		case m := <-c.messages:
			var a struct{ Seq doorbell.Seq }
			err := json.Unmarshal(m.Data, &a)
			c.mu.Lock()
			switch {
			case m.Event == "" && err == nil:
				c.seqs, c.at = append(c.seqs, a.Seq), append(c.at, time.Now())
			case m.Event != "hello":
				c.odd = append(c.odd, m.Event)
			}
			c.mu.Unlock()
			s.Sent(ctx, 1)
		case <-ctx.Done():
			return
		}
	}
}

// site is one node: its own store on the shared file, a hub, a bus and a console
// of shop 1.
type site struct {
	store *store.Store
	hub   *transport.Hub
	bus   *Bus
	*console
}

func startSite(t *testing.T, file string, broker Broker) *site {
	t.Helper()
	s := &site{console: &console{messages: make(chan transport.Message, transport.Window+transport.Reserve)}}
	log := slog.New(slog.DiscardHandler)
	var err error
	s.store, err = store.Open(t.Context(), store.Options{URL: "sqlite://" + file, Log: log, Publish: func(alerts []doorbell.Alert) {
		s.hub.Deliver(alerts)
		s.bus.Publish(alerts)
	}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.store.BusKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.bus = New(Options{Broker: broker, Key: key, Log: log})
	s.hub = transport.New(transport.Options{Log: s.store, Logger: log, Heartbeat: 15 * time.Second, Bus: s.bus})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func() error{
		func() error { return s.store.Run(ctx) }, func() error { return s.hub.Run(ctx) }, func() error { return s.bus.Run(ctx, s.hub) },
	} {
		running.Go(func() {
			if err := run(); err != nil {
				t.Error(err)
			}
		})
	}
	session, err := s.hub.Open(t.Context(), transport.Subscription{Transport: transport.WebSocket, Shops: []doorbell.ShopID{1}})
	if err != nil {
		t.Fatal(err)
	}
	session.Run(ctx, s.console)
	running.Go(func() { s.run(ctx, session) })
	t.Cleanup(func() {
		session.Leave(context.Background(), 0, "test")
		cancel()
		running.Wait()
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// commit writes one alert on this node, and returns the time after the commit.
func (s *site) commit(t *testing.T, order doorbell.OrderID) time.Time {
	t.Helper()
	err := s.store.Write(t.Context(), func(tx doorbell.Tx) error {
		_, err := tx.Append(doorbell.Alert{Type: doorbell.NewOrder, Shop: 1, OrderID: order, Source: doorbell.External, Content: "x", Time: doorbell.Instant(time.Now())})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return time.Now()
}

// latest returns the longest delay between an alert's commit and its arrival, from
// index from on.
func (s *site) latest(committed []time.Time, from int) (latest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := from; i < len(committed) && i < len(s.at); i++ {
		latest = max(latest, s.at[i].Sub(committed[i]))
	}
	return latest
}

func (s *site) complete(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seqs) >= n
}

// mayBeLate is the allowed delay of a node without the bus (2 s), times three, as
// for all times in tests on a shared machine.
const mayBeLate = 3 * 2 * time.Second

// TestNodes: two nodes write to one log, over each broker and while it is killed,
// frozen and back. Each one's console gets every alert once, in order, and no
// reset; with the bus, long before an audit would find it.
func TestNodes(t *testing.T) {
	for _, b := range brokers(t) {
		t.Run(b.name, func(t *testing.T) {
			broker := b.open(t)
			b.start()
			file := filepath.Join(t.TempDir(), "d.db")
			p := &pair{nodes: []*site{startSite(t, file, broker), startSite(t, file, broker)}}
			p.connected(t)
			for turn := range 10 { // alternating: each node notifies the other
				p.write(t, "with the bus", turn%2, 2)
			}
			if n := p.received(); n < 15 {
				t.Errorf("%d of 20 alerts came over the bus", n)
			}
			b.kill()
			p.write(t, "the broker is killed", 0, 10)
			b.start()
			p.connected(t)
			p.write(t, "the broker is back", 1, 10)
			b.freeze()
			p.write(t, "the broker is frozen", 1, 10)
			b.thaw()
			p.write(t, "the broker goes on", 0, 10)
			for i, node := range p.nodes {
				for j, seq := range node.seqs {
					if seq != doorbell.Seq(j+1) {
						t.Fatalf("node %d: seqs %v", i, node.seqs)
					}
				}
				if len(node.odd) > 0 {
					t.Errorf("node %d: events %v", i, node.odd)
				}
			}
		})
	}
}

// pair is two nodes and the commit time of each alert.
type pair struct {
	nodes []*site
	at    []time.Time
}

func (p *pair) connected(t *testing.T) {
	t.Helper()
	testrun.Eventually(t, "both nodes are connected", func() bool { return p.nodes[0].bus.Err() == nil && p.nodes[1].bus.Err() == nil })
}

func (p *pair) received() (n int64) {
	for _, node := range p.nodes {
		n += node.bus.Figures().Received
	}
	return n
}

// write writes n alerts on one node, and waits until both consoles have them.
func (p *pair) write(t *testing.T, when string, by, n int) {
	t.Helper()
	from := len(p.at)
	for range n {
		p.at = append(p.at, p.nodes[by].commit(t, doorbell.OrderID(len(p.at)+1)))
	}
	for i, node := range p.nodes {
		testrun.Eventually(t, when+": each has all", func() bool { return node.complete(len(p.at)) })
		late := node.latest(p.at, from)
		t.Logf("%s: node %d at most %s late", when, i, late.Round(time.Microsecond))
		if late > mayBeLate {
			t.Errorf("%s: node %d had an alert %s after its commit, want %s at most", when, i, late, mayBeLate)
		}
	}
}

// TestQuestionsBetweenNodes: what a node knows of its consoles is known on the
// other node, over each broker.
func TestQuestionsBetweenNodes(t *testing.T) {
	for _, b := range brokers(t) {
		t.Run(b.name, func(t *testing.T) {
			broker := b.open(t)
			b.start()
			file := filepath.Join(t.TempDir(), "d.db")
			p := &pair{nodes: []*site{startSite(t, file, broker), startSite(t, file, broker)}}
			p.connected(t)
			testrun.Eventually(t, "both consoles are listed on each", func() bool {
				return len(p.nodes[0].hub.ConsolesOfAll(t.Context(), 1)) == 2 && len(p.nodes[1].hub.ConsolesOfAll(t.Context(), 1)) == 2
			})
			if n := p.nodes[0].hub.AnnounceToAll(t.Context(), "closing", nil, false); n != 2 {
				t.Errorf("announced to %d consoles, want 2", n)
			}
			for _, node := range p.nodes {
				testrun.Eventually(t, "each console has it", func() bool {
					node.mu.Lock()
					defer node.mu.Unlock()
					return len(node.odd) == 1 && node.odd[0] == "announce"
				})
			}
		})
	}
}
