package webhook

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"doorbell/internal/doorbell"
)

const (
	// together is how many messages a channel is told in one: an hour in which nobody
	// hears is one text of many lines, and not 200 texts.
	together = 20
	// apart is the least time between two messages to a channel: the bots of WeCom
	// and DingTalk take 20 a minute, and DingTalk's none for ten minutes after that.
	apart = 3 * time.Second
)

// Delivery tells a channel of several messages in one. It returns once it is known
// whether they were taken.
type Delivery func(ctx context.Context, messages []doorbell.Outgoing) error

// lane names the messages that are sent to a target one after another: a shop's, or
// all where the target takes those of all shops in one.
func (t target) lane(o doorbell.Outgoing) doorbell.ShopID {
	if t.Together {
		return 0
	}
	return o.Shop
}

// pace keeps a lane's messages apart, also those of one look at the queue and the next.
type pace struct {
	mu   sync.Mutex // guards last
	last map[doorbell.ShopID]time.Time
}

// wait returns when the lane may be told again; false when ctx ended before.
func (p *pace) wait(ctx context.Context, lane doorbell.ShopID) bool {
	p.mu.Lock()
	left := apart - time.Since(p.last[lane])
	p.mu.Unlock()
	if left <= 0 {
		return true
	}
	select {
	case <-time.After(left):
		return true
	case <-ctx.Done():
		return false
	}
}

// note keeps that the lane was told now, and forgets those that may be told again.
func (p *pace) note(lane doorbell.ShopID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.last, func(_ doorbell.ShopID, at time.Time) bool { return time.Since(at) >= apart })
	p.last[lane] = time.Now()
}

// deliverAll tells a channel of a lane's messages, as many at once as fit.
func (s *Sender) deliverAll(ctx context.Context, t target, messages []doorbell.Outgoing, l *ledger) {
	for len(messages) > 0 && ctx.Err() == nil && !l.broken() {
		if !t.pace.wait(ctx, t.lane(messages[0])) {
			return
		}
		group := messages[:min(together, len(messages))]
		messages = messages[len(group):]
		group, err := s.needed(ctx, group, l)
		if err != nil {
			s.Log.ErrorContext(ctx, "messages not sent: it is not known whether they are needed still", "hook", t.Name, "error", err)
			return
		}
		if len(group) == 0 {
			continue
		}
		err = t.deliver(ctx, group)
		t.pace.note(t.lane(group[0]))
		if ctx.Err() != nil && err != nil { // we are stopping, or lost the lease: not the target's fault
			return
		}
		for i := range group {
			s.settle(ctx, &group[i], err, l)
		}
		if err != nil { // the rest would fail alike
			for _, later := range messages {
				if l.broken() {
					return
				}
				later.NextAt = group[0].NextAt
				l.note(ctx, later)
			}
			return
		}
	}
}

func (t target) deliver(ctx context.Context, group []doorbell.Outgoing) error {
	limited, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	err := t.Deliver(limited, group)
	if err != nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w within %v", errNoAnswer, sendTimeout)
	}
	return err
}

// needed returns those that are to be sent still, and withdraws the others: what
// was taken care of meanwhile must ring nobody's phone.
func (s *Sender) needed(ctx context.Context, messages []doorbell.Outgoing, l *ledger) (out []doorbell.Outgoing, err error) {
	if s.Needed == nil {
		return messages, nil
	}
	for _, o := range messages {
		needed, err := s.Needed(ctx, o)
		if err != nil {
			return nil, err
		}
		if needed {
			out = append(out, o)
			continue
		}
		o.State, o.LastError = doorbell.Withdrawn, ""
		s.withdrawn.Add(1)
		l.note(ctx, o)
	}
	return out, nil
}

// SendNow sends one message that is in no queue, and returns what came of it.
func (s *Sender) SendNow(ctx context.Context, o doorbell.Outgoing) error {
	for _, t := range s.targets {
		if t.Name != o.Hook {
			continue
		}
		if t.Deliver != nil {
			return t.deliver(ctx, []doorbell.Outgoing{o})
		}
		return s.send(ctx, t, o)
	}
	return fmt.Errorf("there is no target %s", o.Hook)
}

// Close ends what connections stand, of a sender that never ran.
func (s *Sender) Close() { s.client.CloseIdleConnections() }
