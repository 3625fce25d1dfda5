// Package webhook sends what happened to other systems: events signed after
// Standard Webhooks 1.0, and callbacks passed on as they came.
package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
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

// ledger writes down what was sent, and keeps what can't be written down. While
// it holds anything its target is sent nothing: that would go out again and again
// (8,136 times in 5 s).
type ledger struct {
	save func(context.Context, doorbell.Outgoing) error

	mu   sync.Mutex
	left []doorbell.Outgoing
}

func (l *ledger) note(ctx context.Context, o doorbell.Outgoing) {
	if err := l.save(ctx, o); err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.left = append(l.left, o)
	}
}

func (l *ledger) broken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.left) > 0
}

// settle writes down what is left, until one fails, and reports whether all is.
// No round runs meanwhile.
func (l *ledger) settle(ctx context.Context) bool {
	for len(l.left) > 0 {
		if l.save(ctx, l.left[0]) != nil {
			return false
		}
		l.left = l.left[1:]
	}
	return true
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

// sendAll sends a lane's messages. After one that met no answer at all the rest
// waits with it: each would take as long to fail.
func (s *Sender) sendAll(ctx context.Context, t target, messages []doorbell.Outgoing, l *ledger) {
	for i, o := range messages {
		if ctx.Err() != nil || l.broken() {
			return
		}
		needed, err := s.needed(ctx, messages[i:i+1], l)
		if err != nil {
			s.Log.ErrorContext(ctx, "message not sent: it is not known whether it is needed still", "hook", t.Name, "error", err)
			return
		}
		if len(needed) == 0 {
			continue
		}
		err = s.send(ctx, t, o)
		if ctx.Err() != nil && err != nil { // we are stopping, or lost the lease: not the target's fault
			return
		}
		s.settle(ctx, &o, err, l)
		if errors.Is(err, errNoAnswer) {
			for _, later := range messages[i+1:] {
				if l.broken() {
					return
				}
				later.NextAt = o.NextAt
				l.note(ctx, later)
			}
			return
		}
	}
}

// settle notes what became of an attempt.
func (s *Sender) settle(ctx context.Context, o *doorbell.Outgoing, err error, l *ledger) {
	o.Attempts++
	if err == nil {
		s.sent.Add(1)
		o.State, o.LastError = doorbell.Delivered, ""
		l.note(ctx, *o)
		return
	}
	s.failed.Add(1)
	o.LastError = err.Error()
	if o.Attempts > len(s.steps) {
		o.State = doorbell.GivenUp
		s.Log.ErrorContext(ctx, "webhook given up; doorbell webhooks replay sends it again", "hook", o.Hook, "event", o.Event, "id", o.ID, "attempts", o.Attempts, "error", err)
	} else {
		d := s.steps[o.Attempts-1]
		o.NextAt = s.Queue.Now().Add(d + rand.N(d/5))
		s.Log.WarnContext(ctx, "webhook delivery failed", "hook", o.Hook, "event", o.Event, "id", o.ID, "attempts", o.Attempts, "error", err)
	}
	l.note(ctx, *o)
}

// save outlives the sender: an attempt that was taken is not to be made again.
func (s *Sender) save(ctx context.Context, o doorbell.Outgoing) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := s.Queue.SaveAttempt(ctx, o)
	if err != nil {
		s.Log.ErrorContext(ctx, "outbox not written", "id", o.ID, "error", err)
	}
	return err
}

// errNoAnswer is an attempt without any answer.
var errNoAnswer = errors.New("no answer")

// send makes one attempt. Its errors hold neither the address, which may hold a
// key, nor the answer.
func (s *Sender) send(ctx context.Context, t target, o doorbell.Outgoing) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(o.Body))
	if err != nil {
		return errors.New("the address can't be called")
	}
	if o.Header != nil {
		req.Header = o.Header.Clone()
	} else if err := t.sign(req, o); err != nil {
		return err
	}
	res, err := s.client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[interface {
			error
			Timeout() bool
		}](err); ok && e.Timeout() {
			return fmt.Errorf("%w within %v", errNoAnswer, sendTimeout)
		}
		return fmt.Errorf("%w: %w", errNoAnswer, errors.Unwrap(err)) // without the url.Error around it
	}
	defer res.Body.Close() //nolint:errcheck // read
	if _, err := io.CopyN(io.Discard, res.Body, maxAnswer); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("HTTP %d", res.StatusCode)
	}
	return nil
}

// sign sets the three headers; the time is that of the attempt.
func (t target) sign(req *http.Request, o doorbell.Outgoing) error {
	at := time.Now()
	signature, err := t.signer.Sign(o.Message, at, o.Body)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "doorbell")
	req.Header.Set(standardwebhooks.HeaderWebhookID, o.Message)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return nil
}
