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

	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/providers"
	"doorbell/internal/payment/wechat"
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
