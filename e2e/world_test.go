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
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorbell/internal/payment/paysim"
	"doorbell/transport/transporttest"
)

// plainBinary is the program without the race detector, for tests that start
// it many times.
var plainBinary = sync.OnceValues(func() (string, error) {
	file := filepath.Join(filepath.Dir(binary), "doorbell-plain")
	out, err := exec.Command("go", "build", "-o", file, "..").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return file, nil
})

// world is a server under load: senders that retry as WeChat Pay does, and
// consoles on all transports. At its end three lists are held against each
// other: what was acknowledged, what the log has, what each console showed.
type world struct {
	t        *testing.T
	s        *server
	shops    []int64
	service  string
	console  string
	platform *paysim.WeChat
	client   *http.Client

	stopping context.Context //nolint:containedctx // the load's life
	stopLoad context.CancelFunc
	closing  context.Context //nolint:containedctx // the consoles' life
	stopAll  context.CancelFunc
	senders  sync.WaitGroup
	readers  sync.WaitGroup

	// power is odd while it is cut. What a server says between the cut of its
	// disk and its own end is not heard: with a real cut it would not be said.
	power atomic.Int64

	mu       sync.Mutex
	acked    map[string]int64 // shop by order number
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
	providers, err := paysim.Load(w.s.data())
	if err != nil {
		t.Fatal(err)
	}
	w.platform = providers.WeChat
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
		c := &console{w: w, rng: rand.New(rand.NewPCG(rng.Uint64(), 3)), transport: i % 4, base: base(w.s), shown: map[int64][]string{}}
		w.consoles = append(w.consoles, c)
		w.readers.Go(c.follow)
	}
	return w
}

// heard reports whether what came of something begun at power was said while
// the power was on.
func (w *world) heard(power int64) bool { return power%2 == 0 && w.power.Load() == power }

var errDark = errors.New("the power was cut")

// pause waits a little, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// send makes orders and pays them; each is carried to its end, however often
// the server goes away.
func (w *world) send(id int, rng *rand.Rand) {
	for i := 0; w.stopping.Err() == nil; i++ {
		number, shop := fmt.Sprintf("S%d-%d", id, i), w.shops[rng.IntN(len(w.shops))]
		order := map[string]any{"number": number, "shopId": shop, "userId": 1, "amount": 100}
		var made struct {
			ID int64 `json:"id"`
		}
		w.retry("api/v1/orders", order, &made)
		c, err := w.platform.Sign(paysim.Notice{Content: w.platform.Payment(number, "T"+number, 100)})
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
				w.mu.Lock()
				w.acked[number] = shop
				w.mu.Unlock()
				break
			}
			w.mu.Lock()
			w.refused++
			w.refusal = err
			w.mu.Unlock()
			pause(w.closing, 20*time.Millisecond)
		}
		if rng.IntN(4) == 0 {
			w.retry(fmt.Sprintf("api/v1/orders/%d/accept", made.ID), struct{}{}, nil)
			w.mu.Lock()
			w.accepted[number] = true
			w.mu.Unlock()
		}
		pause(w.stopping, time.Duration(rng.IntN(8))*time.Millisecond)
	}
}

// retry posts until the server says yes; it has to be idempotent.
func (w *world) retry(path string, body, into any) {
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

// console follows all shops and keeps what it showed. transport 3 hops.
type console struct {
	w         *world
	rng       *rand.Rand
	transport int
	base      string

	mu     sync.Mutex
	epoch  string
	shown  map[int64][]string // raw alerts by shop
	resets int
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
	return fmt.Sprintf("shops=1,2,3&heartbeat=3&after=%s.1:%d,2:%d,3:%d", c.epoch, len(c.shown[1]), len(c.shown[2]), len(c.shown[3]))
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

// lost notes how a connection ended. A stream that can't be read is not TCP's
// doing: it shows what a tool in between left out.
func (c *console) lost(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endings = append(c.endings, fmt.Sprintf("%v over %d after %v: %v", time.Now().Format("05.000"), c.kind, time.Since(c.dialled).Round(time.Millisecond), err))
	c.endings = c.endings[max(0, len(c.endings)-5):]
}

// take shows an alert that is next and counts everything that should not be.
func (c *console) take(m transporttest.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
	switch m.Event {
	case "hello":
		c.epoch = m.Epoch
		c.dials++
	case "reset":
		c.resets++
		c.w.t.Errorf("a console was reset: %s", m.Raw)
	case "":
		if want := int64(len(c.shown[m.Shop]) + 1); m.Seq != want {
			c.w.t.Errorf("console on transport %d got %s, want seq %d", c.transport, m.Raw, want)
			return
		}
		c.shown[m.Shop] = append(c.shown[m.Shop], m.Raw)
	}
}

func (c *console) at(shop int64) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.shown[shop])
}

// heads reads how far each shop's log is.
func (w *world) heads() map[int64]int {
	w.t.Helper()
	out := map[int64]int{}
	for _, shop := range w.shops {
		status, answer := w.s.call("GET", fmt.Sprintf("api/v1/alerts?shop=%d&limit=1", shop), w.console, nil)
		if status != http.StatusOK {
			w.t.Fatalf("read the head: %d %v", status, answer)
		}
		if alerts := answer["alerts"].([]any); len(alerts) > 0 {
			out[shop] = int(alerts[0].(map[string]any)["seq"].(float64))
		}
	}
	return out
}

// catchUp waits until every console has what the log has now, and returns how
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

// caughtUp reports whether every console has what heads says, and who has not.
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

// state is what the console does just now.
func (c *console) state() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%d connections, the last over transport %d for %v, its last message %v ago, %d dials failed since: %v; endings: %q",
		c.dials, c.kind, time.Since(c.dialled).Round(time.Millisecond), time.Since(c.last).Round(time.Millisecond), c.failed, c.failure, c.endings)
}

// finish ends the load and holds the three lists against each other.
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

// compare holds what a console showed against the log, byte for byte.
func (w *world) compare(shop int64, log []string, c *console) {
	w.t.Helper()
	shown := c.shown[shop]
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
