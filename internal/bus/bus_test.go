package bus

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
	"doorbell/internal/testservers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testKey = []byte("0123456789abcdef")

// node is a running bus and the messages that it received.
type node struct {
	*Bus
	mu     sync.Mutex
	heard  []doorbell.PeerAlert
	audits int
}

func (n *node) Receive(m doorbell.PeerAlert) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m.Data = append([]byte(nil), m.Data...)
	n.heard = append(n.heard, m)
}

func (n *node) AuditNow() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.audits++
}

func (n *node) Answer(question []byte) []byte { return append([]byte(n.sealer.node+" "), question...) }

func (n *node) count() (heard, audits int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.heard), n.audits
}

func (n *node) seqs() (out []doorbell.Seq) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range n.heard {
		out = append(out, m.Seq)
	}
	return out
}

// runNode starts a node that follows the shops.
func runNode(t *testing.T, b Broker, key []byte, shops ...doorbell.ShopID) *node {
	t.Helper()
	n := &node{Bus: New(Options{Broker: b, Key: key, Log: slog.New(slog.DiscardHandler)})}
	for _, s := range shops {
		n.Follow(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx, n) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return n
}

// patience is how long a condition may take on a busy machine.
const patience = 20 * time.Second

func connected(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		testrun.Eventually(t, "the node is connected", func() bool { return n.Err() == nil })
	}
}

func alert(shop doorbell.ShopID, seq doorbell.Seq) doorbell.Alert {
	return doorbell.Alert{
		Type: doorbell.NewOrder, OrderID: 7, Content: "订单号: 7", Shop: shop, Seq: seq, Number: "7", Source: doorbell.FromOrder,
		Time: time.UnixMilli(1700000000000), Link: doorbell.Link{Epoch: "k3f9", Nonce: doorbell.Nonce(seq) << 40, Prev: -1},
	}
}

// broker is one kind in the suite. For a broker without a process, every fault is
// the same as its end.
type broker struct {
	name                      string
	open                      func(t *testing.T) Broker
	start, kill, freeze, thaw func()
}

// brokers returns all kinds, prepared and not started.
func brokers(t *testing.T) []*broker {
	t.Helper()
	memory := &broker{name: "memory"}
	memory.open = func(*testing.T) Broker {
		m := NewMemory()
		memory.start, memory.kill, memory.freeze, memory.thaw = m.Start, m.Stop, m.Stop, m.Start
		m.Stop()
		return m
	}
	all := []*broker{memory}
	for scheme, prepare := range map[string]func(testing.TB, ...string) *testservers.Server{"nats": testservers.NATS, "redis": testservers.Redis} {
		b := &broker{name: scheme}
		b.open = func(t *testing.T) Broker {
			t.Helper()
			s := prepare(t)
			b.start, b.kill, b.freeze, b.thaw = s.Start, s.Kill, s.Freeze, s.Thaw
			return parsed(t, scheme+"://"+s.Addr)
		}
		all = append(all, b)
	}
	return all
}

func parsed(t *testing.T, url string) Broker {
	t.Helper()
	b, err := Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBrokers is the conformance suite.
func TestBrokers(t *testing.T) {
	for _, b := range brokers(t) {
		t.Run(b.name, func(t *testing.T) {
			for name, test := range map[string]func(*testing.T, *broker, Broker){
				"who follows a shop hears of it": testFollow, "order and bytes are kept": testOrder, "another installation hears nothing": testForeign,
				"a broker that is killed": testKill, "a broker that is frozen": testFreeze, "a broker that comes later": testLate, "a long alert comes without its data": testLong,
				"a question reaches every node once": testAsk,
			} {
				t.Run(name, func(t *testing.T) { test(t, b, b.open(t)) })
			}
		})
	}
}

func testFollow(t *testing.T, b *broker, broker Broker) {
	b.start()
	sender, one, two := runNode(t, broker, testKey, 1, 2), runNode(t, broker, testKey, 1), runNode(t, broker, testKey, 2)
	connected(t, sender, one, two)
	sender.Publish([]doorbell.Alert{alert(1, 1), alert(2, 1), alert(1, 2)})
	testrun.Eventually(t, "each hears of its shop", func() bool { h1, _ := one.count(); h2, _ := two.count(); return h1 == 2 && h2 == 1 })
	if h, _ := sender.count(); h != 0 {
		t.Errorf("the sender received %d of its own alerts", h)
	}
	one.Follow(2)
	one.Unfollow(1)
	testrun.Eventually(t, "who follows later hears from then on", func() bool {
		sender.Publish([]doorbell.Alert{alert(2, 9)})
		s := one.seqs()
		return s[len(s)-1] == 9
	})
	before, _ := one.count()
	sender.Publish([]doorbell.Alert{alert(1, 3), alert(2, 10)})
	testrun.Eventually(t, "what follows is heard", func() bool { s := one.seqs(); return s[len(s)-1] == 10 })
	for _, seq := range one.seqs()[before:] {
		if seq == 3 {
			t.Error("received an alert of a shop that is not followed any more")
		}
	}
}

func testOrder(t *testing.T, b *broker, broker Broker) {
	b.start()
	sender, other := runNode(t, broker, testKey), runNode(t, broker, testKey, 1)
	connected(t, sender, other)
	const n = 2000
	for seq := range doorbell.Seq(n) {
		sender.Publish([]doorbell.Alert{alert(1, seq+1)})
	}
	testrun.Eventually(t, "all were heard", func() bool { h, _ := other.count(); return h == n })
	for i, m := range other.heard {
		want := alert(1, doorbell.Seq(i+1))
		if m.Seq != want.Seq || m.Link != want.Link || m.Type != want.Type || string(m.Data) != string(want.Encode()) {
			t.Fatalf("message %d is %+v with %s, want %+v", i, m, m.Data, want)
		}
	}
	if f := sender.Figures(); f.Sent != n || f.Dropped != 0 {
		t.Errorf("figures %+v, want %d sent", f, n)
	}
}

func testForeign(t *testing.T, b *broker, broker Broker) {
	b.start()
	ours, theirs := runNode(t, broker, testKey, 1), runNode(t, broker, []byte("another installation"), 1)
	connected(t, ours, theirs)
	// A sender that knows the subjects but not the key.
	conn, err := broker.Dial(t.Context(), func([]byte) {}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	forged := theirs.sealer.seal(alert(1, 1))
	forged.Subject = ours.sealer.subject(1)
	if err := conn.Publish([]Outgoing{forged, {forged.Subject, nil}, {forged.Subject, []byte("noise")}}); err != nil {
		t.Fatal(err)
	}
	testrun.Eventually(t, "forged messages are refused", func() bool { return ours.Figures().Refused == 3 })
	theirs.Publish([]doorbell.Alert{alert(1, 1)})
	sender := runNode(t, broker, testKey)
	connected(t, sender)
	sender.Publish([]doorbell.Alert{alert(1, 5)})
	testrun.Eventually(t, "our own node is heard", func() bool { h, _ := ours.count(); return h == 1 })
	if h, _ := theirs.count(); h != 0 || ours.Figures().Refused != 3 {
		t.Errorf("%d received by another installation, %d refused here", h, ours.Figures().Refused)
	}
}

func testLong(t *testing.T, b *broker, broker Broker) {
	b.start()
	sender, other := runNode(t, broker, testKey), runNode(t, broker, testKey, 1)
	connected(t, sender, other)
	long := alert(1, 1)
	long.Content = strings.Repeat("\x01", doorbell.MaxContent+300) // encoded as six bytes each
	sender.Publish([]doorbell.Alert{long})
	testrun.Eventually(t, "it was heard", func() bool { h, _ := other.count(); return h == 1 })
	if m := other.heard[0]; len(m.Data) != 0 || m.Seq != 1 || m.Link != long.Link {
		t.Errorf("received %+v, want only the alert's seq", m)
	}
}

func testAsk(t *testing.T, b *broker, broker Broker) {
	asker := runNode(t, broker, testKey)
	if answers, whole := asker.Ask(t.Context(), []byte("q")); len(answers) != 0 || whole {
		t.Errorf("without the broker: %q, whole %v; want none, and not whole", answers, whole)
	}
	b.start()
	connected(t, asker)
	if answers, whole := asker.Ask(t.Context(), []byte("q")); len(answers) != 0 || !whole {
		t.Errorf("with no other node: %q, whole %v; want none, whole", answers, whole)
	}
	one, two, foreign := runNode(t, broker, testKey), runNode(t, broker, testKey), runNode(t, broker, []byte("another installation"))
	connected(t, one, two, foreign)
	want := []string{one.sealer.node + " what?", two.sealer.node + " what?"}
	slices.Sort(want)
	testrun.Eventually(t, "the nodes know of each other", func() bool {
		answers, whole := asker.Ask(t.Context(), []byte("what?"))
		return whole && len(answers) == 2
	})
	for range 50 {
		answers, whole := asker.Ask(t.Context(), []byte("what?"))
		var got []string
		for _, a := range answers {
			got = append(got, string(a))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) || !whole {
			t.Fatalf("answers %q, whole %v; want %q", got, whole, want)
		}
	}
}
