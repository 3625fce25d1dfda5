// Package webhook sends what happened to other systems: events signed after
// Standard Webhooks 1.0, and callbacks passed on as they came.
package webhook

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"doorbell/internal/doorbell"
	"doorbell/internal/lease"
)

// Queue is what the sender needs of the store.
type Queue interface {
	// Now returns the time by the clock that all nodes share.
	Now() time.Time
	// Due are a hook's messages to be sent by now, those that wait longest
	// first.
	Due(ctx context.Context, hook string, now time.Time, limit int) ([]doorbell.Outgoing, error)
	// PullForward makes due what was written before the clock was set back.
	PullForward(ctx context.Context, now time.Time) (int64, error)
	// SaveAttempt keeps what became of one, unless another sender has written
	// since it was read that it was taken, or tried.
	SaveAttempt(ctx context.Context, o doorbell.Outgoing) error
	lease.Store
}

// Target is where a hook's messages go.
type Target struct {
	Name   string
	URL    string
	Secret string // base64 of 24 to 64 bytes; none for callbacks that are passed on
	// Deliver sends in the place of a POST to URL; nil: it is a webhook.
	Deliver  Delivery
	Together bool // Deliver takes messages of several shops in one
}

// Options of New; all are needed but Needed.
type Options struct {
	Queue   Queue
	Targets []Target
	Log     *slog.Logger
	Node    string // this process among others
	// Needed is asked right before a message is sent, whether it is to be; nil: all
	// are.
	Needed func(ctx context.Context, o doorbell.Outgoing) (bool, error)
}

// Sender takes messages from the queue to their targets until each has
// answered 2xx. A target that is slow or gone delays nobody else. It sends a
// shop's messages to one target one after another, in the order in which they
// were written; one that fails is put off, and those behind it go on. A message
// can arrive twice: its id tells.
type Sender struct {
	Options
	targets   []target
	client    *http.Client
	steps     []time.Duration
	sent      atomic.Int64
	failed    atomic.Int64
	withdrawn atomic.Int64
}

type target struct {
	Target
	signer *standardwebhooks.Webhook
	wake   chan struct{}
	pace   *pace // of a channel
}

const (
	// sendTimeout bounds one attempt (Standard Webhooks advises 15 to 30 s).
	sendTimeout = 15 * time.Second
	// maxAnswer is how much of an answer is read, to use the connection again.
	maxAnswer = 64 << 10
	// workers send to one target at the same time.
	workers = 8
	// batch is how many messages are taken from the queue at once.
	batch = 256
	// lookEvery is how often the queue is looked at when nothing woke the
	// sender: for what another node, or the command line, put there.
	lookEvery = time.Second
	// lookAtClock is how often the sender looks whether the clock was set back.
	lookAtClock = 5 * time.Second
	leaseName   = "webhooks"
	// A sender that can't write down what it sent waits for minPause, then twice
	// that, up to maxPause.
	minPause = time.Second
	maxPause = 30 * time.Second
)

// steps are the times between attempts: some 24 hours in all, as WeChat Pay's
// own, and quick at first.
var steps = []time.Duration{
	2 * time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute,
	30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 8 * time.Hour,
}

// New checks the targets and starts nothing.
func New(o Options) (*Sender, error) {
	s := &Sender{
		Options: o, steps: steps,
		client: &http.Client{
			Timeout:       sendTimeout,
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: workers, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for _, t := range o.Targets {
		entry := target{Target: t, wake: make(chan struct{}, 1), pace: &pace{last: map[doorbell.ShopID]time.Time{}}}
		if t.Name != doorbell.ForwardHook && t.Deliver == nil {
			raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(t.Secret, "whsec_"))
			if err == nil {
				entry.signer, err = standardwebhooks.NewWebhookRaw(raw)
			}
			if err != nil {
				return nil, fmt.Errorf("webhook %s: %w", t.Name, err)
			}
		}
		s.targets = append(s.targets, entry)
	}
	return s, nil
}

// Wake makes the sender look at the queue now; it does not block.
func (s *Sender) Wake() {
	for _, t := range s.targets {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// Counts returns how many attempts were taken, and how many were not.
func (s *Sender) Counts() (sent, failed int64) { return s.sent.Load(), s.failed.Load() }

// Run sends until ctx ends; what is under way then is finished or put off.
func (s *Sender) Run(ctx context.Context) error {
	if len(s.targets) == 0 {
		return nil
	}
	defer s.client.CloseIdleConnections()
	lease.Keeper{Store: s.Queue, Name: leaseName, Holder: s.Node, Log: s.Log}.Run(ctx, func(ctx context.Context) {
		var running sync.WaitGroup
		for _, t := range s.targets {
			running.Go(func() { s.serve(ctx, t) })
		}
		running.Go(func() { s.watchClock(ctx) })
		running.Wait()
	})
	return nil
}

// serve sends one target's messages until ctx ends: the sender stops, or has no
// lease any more.
func (s *Sender) serve(ctx context.Context, t target) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var pause time.Duration
	unsaved := &ledger{save: s.save}
	for ctx.Err() == nil {
		more := unsaved.settle(ctx) && s.round(ctx, t, unsaved)
		if unsaved.broken() {
			pause = min(max(2*pause, minPause), maxPause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			continue
		}
		pause = 0
		if more {
			continue
		}
		select {
		case <-tick.C:
		case <-t.wake:
		case <-ctx.Done():
		}
	}
	unsaved.settle(ctx) // what can't be written down even now is sent again
}

// watchClock looks whether the clock was set back, at the beginning and every few
// seconds, until ctx ends.
func (s *Sender) watchClock(ctx context.Context) {
	tick := time.NewTicker(lookAtClock)
	defer tick.Stop()
	for {
		n, err := s.Queue.PullForward(ctx, s.Queue.Now())
		if err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "messages of a clock that was set back not looked for", "error", err)
		}
		if n > 0 {
			s.Log.WarnContext(ctx, "the clock was set back; what waited for it is sent now", "messages", n)
			s.Wake()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// round sends one batch and reports whether there may be more. A shop's
// messages go one after another, those of several shops beside each other.
func (s *Sender) round(ctx context.Context, t target, l *ledger) bool {
	due, err := s.Queue.Due(ctx, t.Name, s.Queue.Now(), batch)
	if err != nil {
		if ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "outbox not read", "error", err)
		}
		return false
	}
	lanes := map[doorbell.ShopID][]doorbell.Outgoing{}
	for _, o := range due {
		lanes[t.lane(o)] = append(lanes[t.lane(o)], o)
	}
	slots := make(chan struct{}, workers)
	var sending sync.WaitGroup
	for _, messages := range lanes {
		slots <- struct{}{}
		sending.Go(func() {
			defer func() { <-slots }()
			if t.Deliver != nil {
				s.deliverAll(ctx, t, messages, l)
			} else {
				s.sendAll(ctx, t, messages, l)
			}
		})
	}
	sending.Wait()
	return len(due) == batch
}
