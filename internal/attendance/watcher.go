// Package attendance looks after the shops that are open: whether each has a
// console that could ring, and who is told where none has.
package attendance

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/hours"
	"doorbell/internal/lease"
)

// Store is what the watcher needs of the store.
type Store interface {
	// Now returns the time by the clock that all nodes share.
	Now() time.Time
	// SaveAttention keeps until when shops have a console on a node that could
	// ring.
	SaveAttention(ctx context.Context, node string, until map[doorbell.ShopID]time.Time) error
	// Attention tells until when each shop has one on any node.
	Attention(ctx context.Context, since time.Time) (map[doorbell.ShopID]time.Time, error)
	Attendances(ctx context.Context) (map[doorbell.ShopID]doorbell.Attendance, error)
	lease.Store
}

// Options of New; all are needed.
type Options struct {
	Store Store
	Hours map[doorbell.ShopID]hours.Hours // of the shops that are watched
	// Here tells until when each shop has a console on this node that could ring.
	Here func() map[doorbell.ShopID]time.Time
	// Tell keeps and tells that an alarm began or ended; false where another node
	// was first.
	Tell func(ctx context.Context, from, to doorbell.Attendance, what doorbell.EventType) (bool, error)
	Log  *slog.Logger
	Node string
	// Heartbeat is how long a console may take to notice that its server was
	// replaced.
	Heartbeat time.Duration
}

// Watcher tells of shops that are open and unattended. Every node keeps what it
// sees of its consoles; the one that has the lease judges.
type Watcher struct {
	Options
	saved    map[doorbell.ShopID]time.Time // owned by report
	standing atomic.Int64
	alarms   atomic.Int64
}

const (
	// lookEvery and the rule's 5 s of attention are the 10 s within which an alarm
	// ends: 2 s for the node that has the console, 2 for the one that judges.
	lookEvery = 2 * time.Second
	// saveAhead is how far the kept time may lag behind: a page's words come every
	// 20 s, and each is good for 70.
	saveAhead = 15 * time.Second
	leaseName = "attendance"
	// back is how long a console takes to come back after a heartbeat that failed.
	back = 15 * time.Second
)

// New starts nothing.
func New(o Options) *Watcher { return &Watcher{Options: o, saved: map[doorbell.ShopID]time.Time{}} }

// Standing is how many alarms stand, on the node that judges.
func (w *Watcher) Standing() int64 { return w.standing.Load() }

// Alarms is how many this process has told of.
func (w *Watcher) Alarms() int64 { return w.alarms.Load() }

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	needed, err := w.needed(ctx)
	if err != nil && ctx.Err() != nil { // a stop right after the start
		return nil //nolint:nilerr // asked to end
	}
	if err != nil {
		w.Log.ErrorContext(ctx, "attendance not read", "error", err)
	} else if !needed {
		return nil
	}
	var running sync.WaitGroup
	running.Go(func() { w.every(ctx, w.report) })
	running.Go(func() {
		lease.Keeper{Store: w.Store, Name: leaseName, Holder: w.Node, Log: w.Log}.Run(ctx, w.judge)
	})
	running.Wait()
	return nil
}

// needed reports whether any shop is watched, or was when an alarm began that
// still stands: what somebody paused for it is to be resumed.
func (w *Watcher) needed(ctx context.Context) (bool, error) {
	if len(w.Hours) > 0 {
		return true, nil
	}
	kept, err := w.Store.Attendances(ctx)
	for _, a := range kept {
		if a.Alarm {
			return true, nil
		}
	}
	return false, err
}

func (w *Watcher) every(ctx context.Context, look func(context.Context)) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		look(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// report keeps what has changed of this node's attention.
func (w *Watcher) report(ctx context.Context) {
	now, here := w.Store.Now(), w.Here()
	changed := map[doorbell.ShopID]time.Time{}
	for shop, until := range here {
		if saved := w.saved[shop]; until.Sub(saved) > saveAhead || until.Before(saved) {
			changed[shop] = until
		}
	}
	for shop, until := range w.saved {
		if _, attended := here[shop]; !attended && until.After(now) {
			changed[shop] = now.Add(-time.Millisecond) // it ended before its time
		}
	}
	if len(changed) == 0 {
		return
	}
	if err := w.Store.SaveAttention(ctx, w.Node, changed); err != nil {
		if ctx.Err() == nil {
			w.Log.ErrorContext(ctx, "attention not kept", "error", err)
		}
		return
	}
	maps.Copy(w.saved, changed)
	maps.DeleteFunc(w.saved, func(_ doorbell.ShopID, until time.Time) bool { return until.Before(now) })
}

// judge looks at all shops until ctx ends: this node has the lease no more.
func (w *Watcher) judge(ctx context.Context) {
	var shops map[doorbell.ShopID]doorbell.Attendance
	w.every(ctx, func(ctx context.Context) {
		if shops == nil {
			shops = w.begin(ctx)
		}
		if shops != nil && !w.look(ctx, shops) {
			shops = nil // another node had the lease meanwhile: read what it kept
		}
	})
	w.standing.Store(0)
}

// begin reads which alarms stand; nil when they can't be read. The consoles have
// until their next heartbeat to come back.
func (w *Watcher) begin(ctx context.Context) map[doorbell.ShopID]doorbell.Attendance {
	kept, err := w.Store.Attendances(ctx)
	if err != nil {
		if ctx.Err() == nil {
			w.Log.ErrorContext(ctx, "attendance not read", "error", err)
		}
		return nil
	}
	now, shops := w.Store.Now(), map[doorbell.ShopID]doorbell.Attendance{}
	for shop := range w.Hours {
		a := kept[shop]
		a.Shop = shop
		shops[shop] = a.Began(now, w.Heartbeat+back)
	}
	for shop, a := range kept {
		if _, watched := w.Hours[shop]; !watched && a.Alarm {
			shops[shop] = a.Began(now, w.Heartbeat+back)
		}
	}
	return shops
}

// look judges each shop once. It reports false where another node did so.
func (w *Watcher) look(ctx context.Context, shops map[doorbell.ShopID]doorbell.Attendance) bool {
	now := w.Store.Now()
	anywhere, err := w.Store.Attention(ctx, now)
	if err != nil {
		if ctx.Err() == nil {
			w.Log.ErrorContext(ctx, "attention not read", "error", err)
		}
		return true
	}
	here := w.Here()
	standing := int64(0)
	for shop, before := range shops {
		attended := here[shop].After(now) || anywhere[shop].After(now)
		after, what := before.See(now, w.Hours[shop].Since(now), attended)
		if what != "" {
			first, err := w.Tell(ctx, before, after, what)
			if err != nil {
				if ctx.Err() == nil {
					w.Log.ErrorContext(ctx, "attendance not kept", "shop", shop, "event", what, "error", err)
				}
				continue // it is looked at again as it was
			}
			if !first {
				return false
			}
			if what == doorbell.ShopUnattended {
				w.alarms.Add(1)
			}
		}
		shops[shop] = after
		if after.Alarm {
			standing++
		}
	}
	w.standing.Store(standing)
	return true
}
