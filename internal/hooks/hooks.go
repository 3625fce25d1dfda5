// Package hooks sends what happened to other systems: events signed after
// Standard Webhooks 1.0, and callbacks passed on as they came.
package hooks

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
)

// Queue is what the sender needs of the store.
type Queue interface {
	// Due are a hook's messages to be sent by now, those that wait longest
	// first.
	Due(ctx context.Context, hook string, now time.Time, limit int) ([]doorbell.Outgoing, error)
	// SaveAttempt keeps what became of one.
	SaveAttempt(ctx context.Context, o doorbell.Outgoing) error
	Lease(ctx context.Context, name, holder string, until time.Time) (bool, error)
	Release(ctx context.Context, name, holder string) error
}

// Target is where a hook's messages go.
type Target struct {
	Name   string
	URL    string
	Secret string // base64 of 24 to 64 bytes; none for callbacks that are passed on
}

// Options of New; all are needed.
type Options struct {
	Queue   Queue
	Targets []Target
	Log     *slog.Logger
	Node    string // this node among others
}

// Sender takes messages from the queue to their targets until each has
// answered 2xx. A target that is slow or gone delays nobody else. It sends a shop's messages to one target one after another, in
// the order in which they were written; one that fails is put off, and those
// behind it go on. A message can arrive twice: its id tells.
type Sender struct {
	Options
	targets []target
	client  *http.Client
	steps   []time.Duration
	sent    atomic.Int64
	failed  atomic.Int64
}

type target struct {
	Target
	signer *standardwebhooks.Webhook
	wake   chan struct{}
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
	leaseTime = 30 * time.Second
	leaseName = "webhooks"
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
		entry := target{Target: t, wake: make(chan struct{}, 1)}
		if t.Name != doorbell.ForwardHook {
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

// Counts are how many attempts were taken, and how many were not.
func (s *Sender) Counts() (sent, failed int64) { return s.sent.Load(), s.failed.Load() }

// Run sends until ctx ends; what is under way then is finished or put off.
func (s *Sender) Run(ctx context.Context) error {
	if len(s.targets) == 0 {
		return nil
	}
	defer s.client.CloseIdleConnections()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := s.Queue.Release(ctx, leaseName, s.Node); err != nil {
			s.Log.WarnContext(ctx, "webhooks' lease not given back", "error", err)
		}
	}()
	var running sync.WaitGroup
	held := make(chan struct{}) // closed when there is no lease any more
	defer func() { running.Wait() }()
	start := func() {
		held = make(chan struct{})
		for _, t := range s.targets {
			running.Go(func() { s.serve(ctx, t, held) })
		}
	}
	tick := time.NewTicker(leaseTime / 3)
	defer tick.Stop()
	for leading := false; ; {
		now, err := s.Queue.Lease(ctx, leaseName, s.Node, time.Now().Add(leaseTime))
		if err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "webhooks have no lease", "error", err)
		}
		switch {
		case now && !leading:
			start()
		case !now && leading:
			close(held)
			running.Wait()
		}
		leading = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// serve sends one target's messages until ctx ends or the lease does.
func (s *Sender) serve(ctx context.Context, t target, held <-chan struct{}) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		for s.round(ctx, t) {
			if ctx.Err() != nil {
				return
			}
		}
		select {
		case <-tick.C:
		case <-t.wake:
		case <-held:
			return
		case <-ctx.Done():
			return
		}
	}
}

// round sends one batch and reports whether there may be more. A shop's
// messages go one after another, those of several shops beside each other.
func (s *Sender) round(ctx context.Context, t target) bool {
	due, err := s.Queue.Due(ctx, t.Name, time.Now(), batch)
	if err != nil {
		if ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "outbox not read", "error", err)
		}
		return false
	}
	lanes := map[doorbell.ShopID][]doorbell.Outgoing{}
	for _, o := range due {
		lanes[o.Shop] = append(lanes[o.Shop], o)
	}
	slots := make(chan struct{}, workers)
	var sending sync.WaitGroup
	for _, messages := range lanes {
		slots <- struct{}{}
		sending.Go(func() {
			defer func() { <-slots }()
			s.sendAll(ctx, t, messages)
		})
	}
	sending.Wait()
	return len(due) == batch
}

// sendAll sends a lane's messages. After one that met no answer at all the rest
// waits with it: each would take as long to fail.
func (s *Sender) sendAll(ctx context.Context, t target, messages []doorbell.Outgoing) {
	for i, o := range messages {
		if ctx.Err() != nil {
			return
		}
		err := s.send(ctx, t, o)
		if ctx.Err() != nil && err != nil { // we are stopping: not the target's fault
			return
		}
		s.settle(ctx, &o, err)
		if errors.Is(err, errNoAnswer) {
			for _, later := range messages[i+1:] {
				later.NextAt = o.NextAt
				s.save(ctx, later)
			}
			return
		}
	}
}

// settle notes what became of an attempt.
func (s *Sender) settle(ctx context.Context, o *doorbell.Outgoing, err error) {
	o.Attempts++
	if err == nil {
		s.sent.Add(1)
		o.State, o.LastError = doorbell.Delivered, ""
		s.save(ctx, *o)
		return
	}
	s.failed.Add(1)
	o.LastError = err.Error()
	if o.Attempts > len(s.steps) {
		o.State = doorbell.GivenUp
		s.Log.ErrorContext(ctx, "webhook given up; doorbell webhooks replay sends it again", "hook", o.Hook, "event", o.Event, "id", o.ID, "attempts", o.Attempts, "error", err)
	} else {
		d := s.steps[o.Attempts-1]
		o.NextAt = time.Now().Add(d + rand.N(d/5))
		s.Log.WarnContext(ctx, "webhook not taken", "hook", o.Hook, "event", o.Event, "id", o.ID, "attempts", o.Attempts, "error", err)
	}
	s.save(ctx, *o)
}

// save outlives the sender: an attempt that was taken is not to be made again.
func (s *Sender) save(ctx context.Context, o doorbell.Outgoing) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.Queue.SaveAttempt(ctx, o); err != nil {
		s.Log.ErrorContext(ctx, "outbox not written", "id", o.ID, "error", err)
	}
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
