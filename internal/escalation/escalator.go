// Package escalation climbs the ladders of alerts that nobody takes care of.
package escalation

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/lease"
)

// Store is what the escalator needs of the store.
type Store interface {
	// Now returns the time by the clock that all nodes share.
	Now() time.Time
	// RingingSince lists what rings and was written since, oldest first.
	RingingSince(ctx context.Context, since time.Time, limit int) ([]doorbell.Alert, error)
	// Told tells the last round of each rung that an alert was told by.
	Told(ctx context.Context, shop doorbell.ShopID, seq doorbell.Seq) (doorbell.Rounds, error)
}

// Options of New; all are needed.
type Options struct {
	Store   Store
	Leases  lease.Store
	Ladders doorbell.Ladders
	// Escalate tells the next one; rings is false when nobody needs to be told.
	Escalate func(ctx context.Context, a doorbell.Alert, step doorbell.Step, rung time.Duration) (claimed, rings bool, err error)
	Wake     func() // told that there is something to send
	Log      *slog.Logger
	Node     string
}

// Escalator looks after all alerts that ring, on the one node that has the lease.
// It knows nothing that it could not read again: what was told stands in the
// database.
type Escalator struct {
	Options
	steps atomic.Int64
}

const (
	// lookEvery is how late a step is at most.
	lookEvery = time.Second
	// readAllEvery is how often all that rings is read, and not only what is new:
	// for what a clock, a restore or another node's late commit has hidden.
	readAllEvery = time.Minute
	// overlap is how far before the last look an alert may have been written that
	// was committed after it.
	overlap = 10 * time.Second
	// lookBack is how old an alert may be that nobody was told of, because no server
	// ran.
	lookBack  = doorbell.ExpiresAfter
	page      = 1000
	leaseName = "escalation"
)

// New starts nothing.
func New(o Options) *Escalator { return &Escalator{Options: o} }

// Steps is how many this process has told.
func (e *Escalator) Steps() int64 { return e.steps.Load() }

// Run climbs until ctx ends.
func (e *Escalator) Run(ctx context.Context) error {
	some := false
	for _, ladder := range e.Ladders {
		some = some || len(ladder) > 0
	}
	if !some {
		return nil
	}
	lease.Keeper{Store: e.Leases, Name: leaseName, Holder: e.Node, Log: e.Log}.Run(ctx, func(ctx context.Context) {
		l := e.begin()
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			if err := l.look(ctx, l.Store.Now()); err != nil && ctx.Err() == nil {
				e.Log.ErrorContext(ctx, "escalation failed", "error", err)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return nil
}

// key names an alert.
type key struct {
	shop doorbell.ShopID
	seq  doorbell.Seq
}

// climb is an alert on its ladder.
type climb struct {
	alert doorbell.Alert
	// seen is when this process first saw it: an alert whose time is yet to come was
	// written before the clock was set back, and has rung since it was seen at least.
	seen time.Time
	told doorbell.Rounds
	due  time.Duration // of the next step
	more bool          // there is a next step
}

// rung is for how long it has rung.
func (c *climb) rung(now time.Time) time.Duration { return max(now.Sub(c.alert.Time), now.Sub(c.seen)) }

// climber is what one term of the lease knows.
type climber struct {
	*Escalator
	climbs  map[key]*climb
	newest  time.Time // the youngest alert that was read
	readAt  time.Time // when alerts were read last
	readAll time.Time // when all were; zero: not yet
}

func (e *Escalator) begin() *climber { return &climber{Escalator: e, climbs: map[key]*climb{}} }

// look tells what is due now.
func (l *climber) look(ctx context.Context, now time.Time) error {
	if err := l.read(ctx, now); err != nil {
		return err
	}
	told := false
	defer func() {
		if told {
			l.Wake()
		}
	}()
	for _, c := range l.dueBy(now) {
		k := key{c.alert.Shop, c.alert.Seq}
		ladder := l.Ladders.Of(k.shop)
		for _, step := range ladder.Due(c.rung(now), c.told) {
			claimed, rings, err := l.Escalate(ctx, c.alert, step, c.rung(now))
			if err != nil {
				return err
			}
			if !rings {
				delete(l.climbs, k)
				break
			}
			if claimed {
				told = true
				l.steps.Add(1)
			}
			c.told[step.Rung] = step.Round // ours, or another node's
		}
		c.due, c.more = ladder.Next(c.told)
	}
	return nil
}

// dueBy lists what has a step due, the oldest alert first.
func (l *climber) dueBy(now time.Time) (out []*climb) {
	for _, c := range l.climbs {
		if c.more && c.rung(now) >= c.due {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *climb) int {
		return cmp.Or(a.alert.Time.Compare(b.alert.Time), cmp.Compare(a.alert.Shop, b.alert.Shop), cmp.Compare(a.alert.Seq, b.alert.Seq))
	})
	return out
}

// read learns of the alerts that ring, and forgets the others now and then.
func (l *climber) read(ctx context.Context, now time.Time) error {
	all := l.readAll.IsZero() || now.Sub(l.readAll) >= readAllEvery || now.Before(l.readAll)
	since := now.Add(-lookBack)
	if !all && !l.newest.IsZero() {
		// An alert whose time is ahead, of a node with another clock or from before the
		// clock was set back, must not hide what was written since the last look.
		since = earliest(l.newest, l.readAt, now).Add(-overlap)
	}
	listed := map[key]bool{}
	for limit := page; ; {
		alerts, err := l.Store.RingingSince(ctx, since, limit)
		if err != nil {
			return err
		}
		for _, a := range alerts {
			k := key{a.Shop, a.Seq}
			listed[k] = true
			if err := l.learn(ctx, k, a, now); err != nil {
				return err
			}
		}
		if len(alerts) < limit {
			break
		}
		if last := alerts[limit-1].Time; last.After(since) {
			since = last
		} else {
			limit *= 2 // a page of one moment
		}
	}
	l.readAt = now
	if all {
		l.readAll = now
		for k := range l.climbs {
			if !listed[k] {
				delete(l.climbs, k)
			}
		}
	}
	return nil
}

// earliest returns the earliest of some times.
func earliest(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if t.Before(first) {
			first = t
		}
	}
	return first
}

func (l *climber) learn(ctx context.Context, k key, a doorbell.Alert, now time.Time) error {
	if a.Time.After(l.newest) {
		l.newest = a.Time
	}
	if _, known := l.climbs[k]; known {
		return nil
	}
	ladder := l.Ladders.Of(a.Shop)
	if len(ladder) == 0 {
		return nil
	}
	told, err := l.Store.Told(ctx, a.Shop, a.Seq)
	if err != nil {
		return err
	}
	c := &climb{alert: a, seen: now, told: told}
	c.due, c.more = ladder.Next(told)
	l.climbs[k] = c
	return nil
}
