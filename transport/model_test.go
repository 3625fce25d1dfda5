package transport

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// model checks one console's stream as a client sees it, against the log of each
// epoch. An alert's order id tells its epoch, shop and seq.
type model struct {
	t       *testing.T
	name    string
	shops   []doorbell.ShopID
	session *Session

	mu     sync.Mutex
	at     doorbell.Cursor
	held   int
	early  bool // it got alerts of a later epoch: a reset must follow
	closed bool
}

func orderOf(epoch int, shop doorbell.ShopID, seq doorbell.Seq) doorbell.OrderID {
	return doorbell.OrderID(epoch)*1_000_000_000 + doorbell.OrderID(shop)*1_000_000 + doorbell.OrderID(seq)
}

func epochNumber(epoch string) (n int) {
	_, _ = fmt.Sscanf(epoch, "e%d", &n)
	return n
}

func (m *model) TrySend(msg Message) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held++
	m.take(msg)
	return true
}

func (m *model) TrySendBurst(b Burst) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held += len(b.Alerts)
	for i, a := range b.Alerts {
		m.take(Message{Data: a.Data, Cursor: string(b.AppendCursor(nil, i))})
	}
	return true
}

func (m *model) Close(Reason) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
}

// take checks one message. Needs m.mu.
func (m *model) take(msg Message) {
	var v struct {
		Cursor  string           `json:"cursor"`
		Shop    doorbell.ShopID  `json:"shopId"`
		Seq     doorbell.Seq     `json:"seq"`
		OrderID doorbell.OrderID `json:"orderId"`
	}
	if err := json.Unmarshal(msg.Data, &v); err != nil {
		m.t.Errorf("%s: %v", m.name, err)
		return
	}
	switch msg.Event {
	case "hello", "reset":
		c, err := doorbell.ParseCursor(v.Cursor)
		if err != nil {
			m.t.Errorf("%s: %v", m.name, err)
		}
		m.at, m.early = c, false
	case "":
		m.alert(msg, v.Shop, v.Seq, v.OrderID)
	}
}

// alert checks one alert. Needs m.mu.
func (m *model) alert(msg Message, shop doorbell.ShopID, seq doorbell.Seq, order doorbell.OrderID) {
	if want := m.at.Seqs[shop] + 1; seq != want {
		m.t.Errorf("%s: alert %d of shop %d, want %d", m.name, seq, shop, want)
	}
	m.at.Seqs[shop] = seq
	epoch := epochNumber(m.at.Epoch)
	switch of := int(order / 1_000_000_000); {
	case of < epoch:
		m.t.Errorf("%s: in %s it got alert %d of shop %d of epoch %d", m.name, m.at.Epoch, seq, shop, of)
	case of > epoch: // the log has changed, and the node does not know yet
		m.early = true
	}
	if order%1_000_000_000 != orderOf(0, shop, seq) {
		m.t.Errorf("%s: alert %d of shop %d holds order %d", m.name, seq, shop, order)
	}
	if msg.Cursor != m.at.String() {
		m.t.Errorf("%s: cursor %s, want %s", m.name, msg.Cursor, m.at)
	}
}

// leave lets up to n messages leave.
func (m *model) leave(n int) (left bool) {
	m.mu.Lock()
	n = min(n, m.held)
	m.held -= n
	m.mu.Unlock()
	if n > 0 {
		m.session.Sent(context.Background(), n)
	}
	return n > 0
}

func (m *model) where() (at doorbell.Cursor, early bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := m.at.String()
	c, err := doorbell.ParseCursor(text)
	if err != nil {
		m.t.Error(err)
	}
	return c, m.early
}

// world is a log that shops write to and that is pruned and restored, and a node
// that hears of some of it.
type world struct {
	*fakeLog
	t      *testing.T
	hub    *Hub
	epochs int
	shops  []doorbell.ShopID
}

func (w *world) AlertsAfter(ctx context.Context, shop doorbell.ShopID, after doorbell.Seq, limit int) ([]doorbell.Alert, error) {
	if rand.IntN(20) == 0 {
		return nil, errDown
	}
	alerts, err := w.fakeLog.AlertsAfter(ctx, shop, after, limit)
	time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond) // what was read may be outdated by now
	return alerts, err
}

// write commits alerts; the node hears of most of them, mostly in order.
func (w *world) write(r *rand.Rand) {
	shop := w.shops[r.IntN(len(w.shops))]
	n := 1 + r.IntN(40)
	w.mu.Lock()
	alerts := w.append(shop, n)
	w.mu.Unlock()
	switch r.IntN(6) {
	case 0: // another node's alert
	case 1:
		r.Shuffle(len(alerts), func(i, j int) { alerts[i], alerts[j] = alerts[j], alerts[i] })
		w.hub.Deliver(alerts)
	default:
		w.hub.Deliver(alerts)
	}
}

// append appends alerts. Needs w.mu.
func (w *world) append(shop doorbell.ShopID, n int) []doorbell.Alert {
	from := len(w.logs[shop])
	for range n {
		w.drawn++
		seq := doorbell.Seq(len(w.logs[shop]) + 1)
		w.logs[shop] = append(w.logs[shop], doorbell.Alert{
			Type: doorbell.NewOrder, Shop: shop, Seq: seq, OrderID: orderOf(w.epochs, shop, seq), Time: time.Now(),
			Link: doorbell.Link{Epoch: w.epoch, Nonce: w.drawn, Prev: w.last(shop)},
		})
	}
	return slices.Clone(w.logs[shop][from:])
}

// restoreOlder moves the log to another epoch, shorter or longer than before.
func (w *world) restoreOlder(r *rand.Rand) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.epochs++
	w.epoch = fmt.Sprint("e", w.epochs)
	for _, shop := range w.shops {
		n := r.IntN(len(w.logs[shop]) + 20)
		w.logs[shop], w.first[shop] = nil, 0
		w.append(shop, n)
	}
}

func (w *world) prune(r *rand.Rand) {
	w.mu.Lock()
	defer w.mu.Unlock()
	shop := w.shops[r.IntN(len(w.shops))]
	if n := len(w.logs[shop]); n > 0 {
		w.first[shop] = max(w.first[shop], doorbell.Seq(1+r.IntN(n)))
	}
}

// visit connects a console, from its last cursor or from the oldest alert, which
// reads at its own speed.
func (w *world) visit(r *rand.Rand, name string, from *doorbell.Cursor) *model {
	m := &model{t: w.t, name: name}
	for _, i := range r.Perm(len(w.shops))[:1+r.IntN(3)] {
		m.shops = append(m.shops, w.shops[i])
	}
	sub := Subscription{Transport: SSE, Shops: m.shops, Start: FromOldest, Cursors: true}
	if from != nil {
		sub.Start, sub.Cursor = FromCursor, *from
	}
	s, err := w.hub.Open(context.Background(), sub)
	if err != nil {
		return nil // the log is down at the moment
	}
	m.session = s
	time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond) // the time of a handshake
	s.Run(context.Background(), m)
	return m
}

// TestStreamsHoldTheirPromise compares every console's stream with the log while
// shops write, epochs change, rows are pruned, pages are dropped and consoles come
// and go. DOORBELL_MODEL_RUNS sets the number of worlds.
func TestStreamsHoldTheirPromise(t *testing.T) {
	for run := range runsOf(t, 2) {
		seed := uint64(run) + 1
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			testrun.Bubble(t, func(t *testing.T) { liveInAWorld(t, seed) })
		})
	}
}

// runsOf returns the requested number of runs.
func runsOf(t *testing.T, own int) int {
	t.Helper()
	text := os.Getenv("DOORBELL_MODEL_RUNS")
	if text == "" {
		return own
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("DOORBELL_MODEL_RUNS: %v", err)
	}
	return n
}

func liveInAWorld(t *testing.T, seed uint64) {
	const consoles, lasts = 20, 10 * time.Second
	w := &world{fakeLog: newLog(), t: t, epochs: 1, shops: []doorbell.ShopID{1, 2, 3, 30, 31}}
	w.hub = New(Options{Log: w, Logger: slog.New(slog.DiscardHandler), Version: "v", Heartbeat: time.Second})
	w.hub.pages.limit = 12 << 10 // some two pages of each shop
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.hub.Run(ctx) }()
	end := time.Now().Add(lasts)
	var running sync.WaitGroup
	something := func(i int, every time.Duration, do func(r *rand.Rand)) {
		running.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for time.Now().Before(end) {
				time.Sleep(time.Duration(r.Int64N(int64(2 * every))))
				do(r)
			}
		})
	}
	something(1000, 20*time.Millisecond, w.write)
	something(1001, 3*time.Second, w.restoreOlder)
	something(1002, 700*time.Millisecond, w.prune)
	var mu sync.Mutex
	var stay []*model
	for i := range consoles {
		running.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			var from *doorbell.Cursor
			for n := 0; ; n++ {
				m := w.visit(r, fmt.Sprintf("console %d, visit %d", i, n), from)
				until := time.Now().Add(time.Duration(r.IntN(4000)) * time.Millisecond)
				for m != nil && time.Now().Before(until) && time.Now().Before(end) {
					m.leave(1 + r.IntN(30))
					time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
				}
				switch {
				case m == nil:
					time.Sleep(50 * time.Millisecond)
				case !time.Now().Before(end):
					mu.Lock()
					defer mu.Unlock()
					stay = append(stay, m)
					return
				default:
					m.session.Leave(context.Background(), 0, "gone")
					if from = nil; r.IntN(4) > 0 {
						if c, early := m.where(); !early {
							from = &c
						}
					}
				}
			}
		})
	}
	running.Wait()
	w.settle(stay)
	for _, m := range stay {
		m.session.Leave(context.Background(), 0, "test")
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// settle waits until all consoles have read on, and compares them with the log.
func (w *world) settle(stay []*model) {
	wrong := []string{"unknown"}
	for range 300 {
		if len(wrong) == 0 {
			break
		}
		time.Sleep(200 * time.Millisecond)
		for _, m := range stay {
			for m.leave(30) {
			}
		}
		wrong = w.compare(stay)
	}
	for _, text := range wrong {
		w.t.Error(text)
	}
	if _, size := w.hub.pages.kept(); size > w.hub.pages.limit {
		w.t.Errorf("%d bytes are kept, want at most %d", size, w.hub.pages.limit)
	}
}

// compare returns the consoles that are not at the end of the log.
func (w *world) compare(stay []*model) (wrong []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range stay {
		at, early := m.where()
		want := doorbell.Cursor{Epoch: w.epoch, Seqs: map[doorbell.ShopID]doorbell.Seq{}}
		for _, shop := range m.shops {
			want.Seqs[shop] = doorbell.Seq(len(w.logs[shop]))
		}
		if at.String() != want.String() || early || m.closed {
			wrong = append(wrong, fmt.Sprintf("%s: ends at %s, want %s; early %v, closed %v", m.name, at, want, early, m.closed))
		}
	}
	return wrong
}
