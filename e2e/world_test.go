package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/providers"
	"doorbell/internal/payment/wechat"
	"doorbell/transport/transporttest"
)

// plainBinary is the program without the race detector, for tests that start
// it many times, and without C, as deploy/Dockerfile builds it.
var plainBinary = sync.OnceValues(func() (string, error) {
	file := filepath.Join(filepath.Dir(binary), "doorbell-plain")
	build := exec.Command("go", "build", "-o", file, "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return file, nil
})

// world is a server under load: senders that retry as WeChat Pay does, and
// consoles on all transports. Its end compares three lists: what was acknowledged,
// what the log has, and what each console showed.
type world struct {
	t        *testing.T
	s        *server
	shops    []int64
	service  string
	console  string
	platform *wechat.Player
	client   *http.Client

	stopping context.Context //nolint:containedctx // the load's life
	stopLoad context.CancelFunc
	closing  context.Context //nolint:containedctx // the consoles' life
	stopAll  context.CancelFunc
	senders  sync.WaitGroup
	readers  sync.WaitGroup

	// power is odd during a power cut. What a server says between the cut of its
	// disk and its own end is ignored: after a real cut it would not be sent.
	power atomic.Int64

	// rewinds: the log may go back, and consoles be reset for it.
	rewinds atomic.Bool

	mu       sync.Mutex
	lives    int              // how often the log may have lost something
	acked    map[string]int64 // shop by order number, of this life
	accepted map[string]bool
	consoles []*console
	refused  int   // callbacks that were not taken at once
	refusal  error // why the last one was not
}

// newWorld starts the server and the load.
func newWorld(t *testing.T, senders, consoles int, rng *rand.Rand, env ...string) *world {
	t.Helper()
	bin, err := plainBinary()
	if err != nil {
		t.Fatal(err)
	}
	return loadOn(t, startBinary(t, bin, env...), senders, consoles, rng, func(s *server) string { return s.base })
}

// loadOn puts the load on a server; the consoles reach it at base.
func loadOn(t *testing.T, s *server, senders, consoles int, rng *rand.Rand, base func(*server) string) *world {
	t.Helper()
	var err error
	w := &world{
		t: t, s: s, shops: []int64{1, 2, 3}, acked: map[string]int64{}, accepted: map[string]bool{},
		client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	w.service = w.s.token("service", "--shops", "1,2,3")
	w.console = w.s.token("console", "--shops", "1,2,3")
	players, err := providers.LoadPlayers(w.s.data())
	if err != nil {
		t.Fatal(err)
	}
	w.platform = players.WeChat
	w.stopping, w.stopLoad = context.WithCancel(context.Background())
	w.closing, w.stopAll = context.WithCancel(context.Background())
	t.Cleanup(func() {
		w.stopLoad()
		w.stopAll()
		w.senders.Wait()
		w.readers.Wait()
		w.client.CloseIdleConnections()
	})
	for i := range senders {
		own := rand.New(rand.NewPCG(rng.Uint64(), 2))
		w.senders.Go(func() { w.send(i, own) })
	}
	for i := range consoles {
		c := &console{w: w, rng: rand.New(rand.NewPCG(rng.Uint64(), 3)), transport: i % 4, base: base(w.s), from: map[int64]int64{}, shown: map[int64][]string{}}
		w.consoles = append(w.consoles, c)
		w.readers.Go(c.follow)
	}
	return w
}

// heard reports whether the power was on from the given count until now, so that
// the answer counts.
func (w *world) heard(power int64) bool { return power%2 == 0 && w.power.Load() == power }

var errDark = errors.New("the power was cut")

// pause waits a little, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// send creates orders and pays them; each is completed, however often the server
// is away.
func (w *world) send(id int, rng *rand.Rand) {
	for i := 0; w.stopping.Err() == nil; i++ {
		number, shop := fmt.Sprintf("S%d-%d", id, i), w.shops[rng.IntN(len(w.shops))]
		order := map[string]any{"number": number, "shopId": shop, "userId": 1, "amount": 100}
		var made struct {
			ID int64 `json:"id"`
		}
		life := w.life()
		w.retry(life, "api/v1/orders", order, &made)
		c, err := w.platform.Sign(wechat.Notice{Content: w.platform.Payment(number, "T"+number, 100)})
		if err != nil {
			w.t.Error(err)
			return
		}
		for w.closing.Err() == nil {
			req, err := c.Request(w.s.base + "pay/wechat")
			if err != nil {
				w.t.Error(err)
				return
			}
			power := w.power.Load()
			res, err := w.client.Do(req)
			if err == nil {
				err = paysim.Answer(w.platform, res)
			}
			if err == nil && !w.heard(power) {
				err = errDark
			}
			if err == nil {
				w.note(life, func() { w.acked[number] = shop })
				break
			}
			w.mu.Lock()
			w.refused++
			w.refusal = err
			gone := life != w.lives // and its order with it: this callback would be refused for ever
			w.mu.Unlock()
			if gone {
				break
			}
			pause(w.closing, 20*time.Millisecond)
		}
		if rng.IntN(4) == 0 {
			w.retry(life, fmt.Sprintf("api/v1/orders/%d/accept", made.ID), struct{}{}, nil)
			w.note(life, func() { w.accepted[number] = true })
		}
		pause(w.stopping, time.Duration(rng.IntN(8))*time.Millisecond)
	}
}

func (w *world) life() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lives
}

// note keeps what was acknowledged, unless the log may have lost it since.
func (w *world) note(life int, keep func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if life == w.lives {
		keep()
	}
}

// count is how many payments were acknowledged.
func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}

// retry posts until the server accepts; the request must be idempotent.
func (w *world) retry(life int, path string, body, into any) {
	text, err := json.Marshal(body)
	if err != nil {
		w.t.Error(err)
		return
	}
	for w.closing.Err() == nil {
		power := w.power.Load()
		status, answer, err := w.post(path, text)
		switch {
		case err != nil || status >= 500 || !w.heard(power):
			pause(w.closing, 20*time.Millisecond)
		case status >= 400 && life != w.life(): // the order is gone, or another has its id
			return
		case status >= 400:
			w.t.Errorf("%s: %d %s", path, status, answer)
			return
		default:
			if into != nil {
				if err := json.Unmarshal(answer, into); err != nil {
					w.t.Error(err)
				}
			}
			return
		}
	}
}

func (w *world) post(path string, text []byte) (int, []byte, error) {
	req, err := http.NewRequest(http.MethodPost, w.s.base+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+w.service)
	res, err := w.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close() //nolint:errcheck // read
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

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

// heads reads how far each shop's log is, as soon as that can be told.
func (w *world) heads() map[int64]int {
	w.t.Helper()
	out := map[int64]int{}
	for _, shop := range w.shops {
		eventually(w.t, "the head of a shop is told", func() (ok bool) {
			out[shop], ok = w.head(shop)
			return ok
		})
	}
	return out
}

func (w *world) head(shop int64) (seq int, ok bool) {
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("%sapi/v1/alerts?shop=%d&limit=1", w.s.base, shop), http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.console)
	res, err := w.client.Do(req)
	if err != nil {
		return 0, false
	}
	defer res.Body.Close() //nolint:errcheck // read
	var answer struct{ Alerts []struct{ Seq int } }
	switch err := json.NewDecoder(res.Body).Decode(&answer); {
	case res.StatusCode >= http.StatusInternalServerError:
		return 0, false
	case res.StatusCode != http.StatusOK || err != nil:
		w.t.Fatalf("read the head: %d, %v", res.StatusCode, err)
	case len(answer.Alerts) > 0:
		return answer.Alerts[0].Seq, true
	}
	return 0, true
}

// catchUp waits until every console has the log's present end, and returns how
// long that took.
func (w *world) catchUp() time.Duration {
	w.t.Helper()
	began, heads := time.Now(), w.heads()
	var late, slow string // who is late at last, and after a second
	deadline := began.Add(within)
	for caught := false; !caught; {
		if caught, late = w.caughtUp(heads); !caught && time.Now().After(deadline) {
			_, listed := w.s.call("GET", "api/v1/shops/1/consoles", w.console, nil)
			w.t.Fatalf("not within %v: every console has caught up with %v; %s; the server lists %v", within, heads, late, listed)
		}
		if slow == "" && time.Since(began) > time.Second {
			slow = late
		}
		pause(w.closing, 20*time.Millisecond)
	}
	if slow != "" {
		w.t.Logf("caught up after %v; after 1s %s", time.Since(began).Round(time.Millisecond), slow)
		for i, c := range w.consoles {
			w.t.Logf("console %d: %s", i, c.state())
		}
	}
	return time.Since(began)
}

// caughtUp reports whether every console has reached heads, and which has not.
func (w *world) caughtUp(heads map[int64]int) (bool, string) {
	for i, c := range w.consoles {
		for shop, head := range heads {
			if at := c.at(shop); at < head {
				return false, fmt.Sprintf("console %d on transport %d is at %d of shop %d: %s", i, c.transport, at, shop, c.state())
			}
		}
	}
	return true, ""
}

// state returns what the console is doing.
func (c *console) state() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%d connections, the last over transport %d for %v, its last message %v ago, %d dials failed since: %v; endings: %q",
		c.dials, c.kind, time.Since(c.dialled).Round(time.Millisecond), time.Since(c.last).Round(time.Millisecond), c.failed, c.failure, c.endings)
}

// finish ends the load and compares the three lists.
func (w *world) finish() {
	w.t.Helper()
	w.stopLoad()
	sent := make(chan struct{})
	go func() {
		w.senders.Wait()
		close(sent)
	}()
	select {
	case <-sent:
	case <-time.After(within):
		w.t.Fatalf("a sender never got its order through; the last callback was refused by: %v", w.lastRefusal())
	}
	w.catchUp()
	w.stopAll()
	w.readers.Wait()
	rang, closed := map[string]int{}, map[string]int{}
	total := 0
	for _, shop := range w.shops {
		log := w.log(shop)
		total += len(log)
		for i, raw := range log {
			var a struct {
				Type   int
				Seq    int
				Number string
			}
			if err := json.Unmarshal([]byte(raw), &a); err != nil {
				w.t.Fatal(err)
			}
			if a.Seq != i+1 {
				w.t.Fatalf("shop %d: the log has %d in place %d", shop, a.Seq, i+1)
			}
			switch a.Type {
			case 1:
				rang[a.Number]++
			case 3:
				closed[a.Number]++
			}
		}
		for _, c := range w.consoles {
			w.compare(shop, log, c)
		}
	}
	w.compareAcked(rang, closed)
	if out := w.s.run("verify"); w.t.Failed() || out == "" {
		w.t.Logf("verify: %s", out)
	}
	w.t.Logf("%d alerts in %d shops, %d payments acknowledged, %d accepts, %d consoles with %d connections",
		total, len(w.shops), len(w.acked), len(w.accepted), len(w.consoles), w.dials())
	if len(w.acked) == 0 || total == 0 {
		w.t.Error("nothing was acknowledged: the test looked at nothing")
	}
}

func (w *world) lastRefusal() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refusal
}

func (w *world) dials() (n int) {
	for _, c := range w.consoles {
		n += c.dials
	}
	return n
}

func (w *world) compareAcked(rang, closed map[string]int) {
	w.t.Helper()
	for number := range w.acked {
		if rang[number] != 1 {
			w.t.Errorf("order %s was acknowledged and stands %d times in the log", number, rang[number])
		}
	}
	for number, n := range rang {
		if n != 1 {
			w.t.Errorf("order %s rang %d times", number, n)
		}
	}
	for number := range w.accepted {
		if closed[number] != 1 {
			w.t.Errorf("order %s was accepted and has %d alerts of type 3", number, closed[number])
		}
	}
}

// compare compares what a console showed with the log, byte for byte.
func (w *world) compare(shop int64, log []string, c *console) {
	w.t.Helper()
	shown := c.shown[shop]
	log = log[min(len(log), int(c.from[shop])):]
	if len(shown) != len(log) {
		w.t.Errorf("shop %d: a console on transport %d showed %d, the log has %d", shop, c.transport, len(shown), len(log))
		return
	}
	for i := range log {
		if shown[i] != log[i] {
			w.t.Errorf("shop %d: shown %s, in the log %s", shop, shown[i], log[i])
			return
		}
	}
}

// log reads a shop's whole log, oldest first, by a fresh console.
func (w *world) log(shop int64) (out []string) {
	w.t.Helper()
	head := w.heads()[shop]
	stream, err := transporttest.DialSSE(w.s.base, transporttest.Dial{Token: w.console, Query: fmt.Sprintf("after=0&shops=%d", shop)})
	if err != nil {
		w.t.Fatal(err)
	}
	defer stream.Close()
	for len(out) < head {
		m, err := stream.Next()
		if err != nil {
			w.t.Fatal(errors.Join(errors.New("read the log"), err))
		}
		if m.Event == "" {
			out = append(out, m.Raw)
		}
	}
	return out
}
