package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"doorbell/internal/doorbell"
)

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
