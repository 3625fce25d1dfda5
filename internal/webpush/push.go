// Package webpush sends alerts by Web Push (RFC 8030, 8291, 8292), so that a
// tablet whose page is closed hears of them too. It is help, not a promise: the
// log and the streams are what delivers.
package webpush

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	webpush "github.com/SherClockHolmes/webpush-go"

	"doorbell/internal/doorbell"
	"doorbell/internal/safefile"
)

// Keys are this server's, which browsers know it by (VAPID).
type Keys struct {
	Public  string `json:"public"` // base64url, for pushManager.subscribe
	Private string `json:"private"`
}

// KeyFile is their name in the folder of secrets.
const KeyFile = "vapid.json"

// EnsureKeys reads the keys kept in dir, or makes some and keeps them for their
// owner alone.
func EnsureKeys(dir string) (k Keys, err error) {
	file := filepath.Join(dir, KeyFile)
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		if k.Private, k.Public, err = webpush.GenerateVAPIDKeys(); err != nil {
			return k, fmt.Errorf("make the push keys: %w", err)
		}
		if text, err = json.Marshal(k); err != nil {
			return k, err
		}
		if err := safefile.Create(file, text); err != nil && !errors.Is(err, os.ErrExist) {
			return k, fmt.Errorf("keep the push keys: %w", err)
		}
		text, err = os.ReadFile(file) // ours, or that of another who was first
	}
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	if err != nil {
		return k, fmt.Errorf("read the push keys: %w", err)
	}
	return k, nil
}

// services are the push services of the browsers there are: a server that
// posts to whatever address it is given can be pointed at its own network.
var services = []string{
	"fcm.googleapis.com", ".push.services.mozilla.com", ".notify.windows.com", ".push.apple.com", ".vivoglobal.com", ".hicloud.com",
}

// Allowed reports whether an endpoint is one of a known push service.
func Allowed(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Port() != "" || len(endpoint) > 1000 {
		return false
	}
	return slices.ContainsFunc(services, func(s string) bool {
		return u.Hostname() == s || strings.HasPrefix(s, ".") && strings.HasSuffix(u.Hostname(), s)
	})
}

// Store is what the sender needs of the store.
type Store interface {
	// PushShops are the shops whose alerts anybody wants pushed.
	PushShops(ctx context.Context) (map[doorbell.ShopID]bool, error)
	// Pushes are where the alerts of a shop go, of sessions that are good.
	Pushes(ctx context.Context, shop doorbell.ShopID) ([]doorbell.Push, error)
	DropPush(ctx context.Context, endpoint string) error
}

// Options of New; all are needed but Client.
type Options struct {
	Store      Store
	Keys       Keys
	Subscriber string // whom a push service may ask: an address of the operator's, or the server's own
	Log        *slog.Logger
	Client     *http.Client // nil: of our own
}

// Sender pushes alerts. What does not fit in its queue is dropped and counted.
type Sender struct {
	Options
	queue   chan doorbell.Alert // all that were written
	due     chan []job          // for those who want them
	work    chan job
	done    chan outcome
	sent    atomic.Int64
	dropped atomic.Int64
}

const (
	maxQueued = 2048
	workers   = 16
	// gather is how long alerts wait for each other, so that who wants them is
	// asked once for all: a read for each took a twentieth of a busy server's CPU.
	gather      = 50 * time.Millisecond
	sendTimeout = 10 * time.Second
	// timeToLive is how long a service keeps what it can't deliver: a ring of
	// ten minutes ago is history.
	timeToLive = 10 * time.Minute
	attempts   = 3
	retryWait  = 2 * time.Second
)

// New starts nothing.
func New(o Options) *Sender {
	if o.Client == nil {
		o.Client = &http.Client{
			Timeout:       sendTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return &Sender{Options: o, queue: make(chan doorbell.Alert, maxQueued), due: make(chan []job), work: make(chan job, workers), done: make(chan outcome)}
}

// Offer hands alerts over; it never blocks.
func (s *Sender) Offer(alerts []doorbell.Alert) {
	for _, a := range alerts {
		select {
		case s.queue <- a:
		default:
			s.dropped.Add(1)
		}
	}
}

// Counts returns how many pushes were taken, and how many alerts did not fit in
// the queue.
func (s *Sender) Counts() (sent, dropped int64) { return s.sent.Load(), s.dropped.Load() }

// Run pushes until ctx ends.
func (s *Sender) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for {
				select {
				case j := <-s.work:
					o := outcome{j, s.push(ctx, j)}
					select {
					case s.done <- o:
					case <-ctx.Done():
					}
				case <-ctx.Done():
					return
				}
			}
		})
	}
	running.Go(func() { s.deal(ctx) })
	running.Go(func() { s.sort(ctx) })
	running.Wait()
	return nil
}

// sort passes on what somebody wants pushed, and to whom.
func (s *Sender) sort(ctx context.Context) {
	for {
		select {
		case a := <-s.queue:
			jobs := s.wanted(ctx, s.gathered(ctx, a))
			if len(jobs) == 0 {
				continue
			}
			select {
			case s.due <- jobs:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// wanted returns the pushes that a batch of alerts comes to. Who wants a shop's is
// read once for all of them.
func (s *Sender) wanted(ctx context.Context, batch []doorbell.Alert) (jobs []job) {
	shops, err := s.Store.PushShops(ctx)
	if err != nil { // each shop is asked for itself
		shops = nil
	}
	read := map[doorbell.ShopID][]doorbell.Push{}
	for _, a := range batch {
		if shops != nil && !shops[a.Shop] {
			continue
		}
		to, known := read[a.Shop]
		if !known {
			if to, err = s.Store.Pushes(ctx, a.Shop); err != nil && ctx.Err() == nil {
				s.Log.ErrorContext(ctx, "pushes not read", "error", err)
			}
			read[a.Shop] = to
		}
		for _, p := range to {
			jobs = append(jobs, job{to: p, alert: a, service: host(p.Endpoint), made: time.Now()})
		}
	}
	return jobs
}

// gathered returns what has queued a moment after first.
func (s *Sender) gathered(ctx context.Context, first doorbell.Alert) []doorbell.Alert {
	select {
	case <-time.After(gather):
	case <-ctx.Done():
	}
	batch := []doorbell.Alert{first}
	for range len(s.queue) {
		batch = append(batch, <-s.queue)
	}
	return batch
}

// push makes one attempt and returns how long to wait for another; 0 for none. A
// subscription that can never work is dropped: it would fail for every alert.
func (s *Sender) push(ctx context.Context, j job) (again time.Duration) {
	if time.Since(j.made) > timeToLive {
		s.dropped.Add(1)
		return 0
	}
	if err := j.to.Check(); err != nil { // kept by a release that did not look
		s.forget(ctx, j, err)
		return 0
	}
	status, err := s.once(ctx, j.to, j.alert)
	passing := status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
	if _, network := errors.AsType[*url.Error](err); network {
		err, passing = errors.Unwrap(err), true // without the address
	}
	switch {
	case err == nil && status/100 == 2:
		s.sent.Add(1)
		return 0
	case status == http.StatusNotFound, status == http.StatusGone: // the browser has unsubscribed
		s.forget(ctx, j, fmt.Errorf("HTTP %d", status))
		return 0
	case passing && j.attempt+1 < attempts:
		return retryWait * time.Duration(j.attempt+1)
	case err == nil:
		err = fmt.Errorf("HTTP %d", status)
	}
	if ctx.Err() == nil {
		s.Log.WarnContext(ctx, "push delivery failed", "host", j.service, "shop", j.alert.Shop, "seq", j.alert.Seq, "error", err)
	}
	return 0
}

func (s *Sender) forget(ctx context.Context, j job, why error) {
	s.Log.InfoContext(ctx, "push subscription dropped", "host", j.service, "shop", j.to.Shop, "reason", why)
	if err := s.Store.DropPush(ctx, j.to.Endpoint); err != nil && ctx.Err() == nil {
		s.Log.ErrorContext(ctx, "push subscription not dropped", "host", j.service, "error", err)
	}
}

func (s *Sender) once(ctx context.Context, p doorbell.Push, a doorbell.Alert) (status int, err error) {
	return s.post(ctx, p, a.Encode())
}

func (s *Sender) post(ctx context.Context, p doorbell.Push, payload []byte) (status int, err error) {
	res, err := webpush.SendNotificationWithContext(ctx, payload, &webpush.Subscription{
		Endpoint: p.Endpoint, Keys: webpush.Keys{Auth: p.Auth, P256dh: p.Key},
	}, &webpush.Options{
		HTTPClient: s.Client, Subscriber: s.Subscriber, TTL: int(timeToLive / time.Second), Urgency: webpush.UrgencyHigh,
		VAPIDPublicKey: s.Keys.Public, VAPIDPrivateKey: s.Keys.Private,
	})
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()                       //nolint:errcheck // read
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10) // so that the connection is used again
	return res.StatusCode, nil
}
