package webhook

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/store"
	"doorbell/internal/testrun"
)

var secret = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("h", 32)))

// receiver is a system that is told.
type receiver struct {
	t *testing.T

	mu       sync.Mutex
	answer   func(attempt int) int // the status; 0: no answer at all
	got      []message
	attempts map[string]int
}

type message struct {
	id     string
	header http.Header
	body   []byte
	at     time.Time
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	id := req.Header.Get("webhook-id")
	r.attempts[id]++
	attempt := r.attempts[id]
	r.mu.Unlock()
	status := r.answer(attempt) // without the lock: it may sleep, and a mutex stops virtual time
	r.mu.Lock()
	r.got = append(r.got, message{id, req.Header.Clone(), body, time.Now()})
	r.mu.Unlock()
	if status == 0 {
		return nil, errors.New("connect: connection refused")
	}
	w := httptest.NewRecorder()
	w.WriteHeader(status)
	return w.Result(), nil
}

func (r *receiver) received() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// bench is a service with a sender in a bubble of virtual time.
type bench struct {
	t       *testing.T
	store   *store.Store
	service *doorbell.Service
	to      map[string]*receiver
	logs    *strings.Builder
	logsMu  sync.Mutex
	faults  *faultyQueue
}

func (b *bench) Write(p []byte) (int, error) {
	b.logsMu.Lock()
	defer b.logsMu.Unlock()
	return b.logs.Write(p)
}

// RoundTrip sends to the receiver that the host names.
func (b *bench) RoundTrip(r *http.Request) (*http.Response, error) {
	return b.to[r.URL.Host].RoundTrip(r)
}

// fewSteps is how many retries a bubble has: an hour of virtual time has 3,600
// looks at the queue.
const fewSteps = 4

// inBubble runs use with senders of these hooks.
func inBubble(t *testing.T, hooks []doorbell.Hook, use func(b *bench, start func(node string) context.CancelFunc)) {
	t.Helper()
	testrun.Bubble(t, func(t *testing.T) {
		b := &bench{t: t, to: map[string]*receiver{}, logs: &strings.Builder{}}
		log := slog.New(slog.NewTextHandler(b, nil))
		texts, err := doorbell.ParseTexts(map[doorbell.Type]string{1: "{{.Number}}", 2: "{{.Number}}", 3: "{{.Number}}", 4: "{{.Number}}"})
		if err != nil {
			t.Fatal(err)
		}
		if b.store, err = store.Open(t.Context(), store.Options{URL: "sqlite://" + filepath.Join(t.TempDir(), "d.db")}); err != nil {
			t.Fatal(err)
		}
		b.faults = &faultyQueue{Store: b.store}
		b.service = doorbell.NewService(b.store, doorbell.Rules{Texts: texts, Hooks: hooks, Ladders: doorbell.Ladders{0: {{To: doorbell.ChannelTo("owner")}}}}, log)
		ctx, stop := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { _ = b.store.Run(ctx) }) // nil always
		var targets []Target
		for _, h := range append(hooks, doorbell.Hook{Name: doorbell.ForwardHook}) {
			targets = append(targets, Target{Name: h.Name, URL: "http://" + h.Name + "/hook?key=of-a-chat-bot", Secret: secret})
			b.to[h.Name] = &receiver{t: t, answer: func(int) int { return 204 }, attempts: map[string]int{}}
		}
		var senders sync.WaitGroup
		sending, stopSenders := context.WithCancel(context.Background())
		use(b, func(node string) context.CancelFunc {
			s, err := New(Options{Queue: b.faults, Targets: targets, Log: log, Node: node})
			if err != nil {
				t.Fatal(err)
			}
			s.client.Transport, s.steps = b, steps[:fewSteps]
			ctx, stop := context.WithCancel(sending)
			senders.Go(func() {
				if err := s.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			return stop
		})
		stopSenders()
		senders.Wait()
		stop()
		running.Wait()
		if err := b.store.Close(); err != nil {
			t.Error(err)
		}
		if strings.Contains(b.logs.String(), "of-a-chat-bot") {
			t.Error("the log holds an address with its key")
		}
	})
}

// order creates one and pays it.
func (b *bench) order(shop int64, number string) doorbell.Order {
	b.t.Helper()
	o, _, err := b.service.CreateOrder(b.t.Context(), doorbell.Order{Number: number, Shop: doorbell.ShopID(shop), User: 1, Money: doorbell.Money{Minor: 100, Currency: "CNY"}})
	if err != nil {
		b.t.Fatal(err)
	}
	return o
}

func (b *bench) notice(number string, kind doorbell.NoticeKind, fen int64) doorbell.Notice {
	return doorbell.Notice{
		Provider: "wechat", Kind: kind, Transaction: "T-" + number, Payment: "T-" + number, Number: number,
		Money: doorbell.Money{Minor: fen, Currency: "CNY"}, CheckAmount: true,
	}
}

func (b *bench) take(n doorbell.Notice) {
	b.t.Helper()
	if _, err := b.service.TakeNotice(b.t.Context(), n); err != nil {
		b.t.Fatal(err)
	}
}

type told struct {
	Type string         `json:"type"`
	Time string         `json:"timestamp"`
	Data map[string]any `json:"data"`
}

func (m message) told(t *testing.T) told {
	t.Helper()
	var out told
	if err := json.Unmarshal(m.body, &out); err != nil {
		t.Fatalf("%q: %v", m.body, err)
	}
	return out
}

func types(t *testing.T, messages []message) (out []string) {
	for _, m := range messages {
		out = append(out, m.told(t).Type)
	}
	return out
}
