// Package lease gives one process among several what only one may do at a time.
package lease

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Time is how long a lease lasts that is not renewed: so long a node on another
// machine waits for one that was killed. On the same machine nobody waits (see
// the store's Lease).
const Time = 10 * time.Second

// renewEvery leaves room for two renewals that fail.
const renewEvery = Time / 4

// Store keeps the leases.
type Store interface {
	// Lease gives holder the lease for this long, unless another holds it.
	Lease(ctx context.Context, name, holder string, until time.Time) (bool, error)
	Release(ctx context.Context, name, holder string) error
}

// Keeper does one kind of work while it holds the lease for it. All fields are
// needed.
type Keeper struct {
	Store  Store
	Name   string // of the work
	Holder string // this process among all others: two of one name would both work
	Log    *slog.Logger
}

// Run runs work whenever the lease is held, until ctx ends. The context of work
// ends when the lease is lost, and when it could not be renewed in time: another
// may hold it by then. Run waits for work to return.
func (k Keeper) Run(ctx context.Context, work func(context.Context)) {
	defer k.release(ctx)
	for ctx.Err() == nil {
		if asked := time.Now(); k.take(ctx, asked) {
			k.hold(ctx, asked, work)
		}
		select {
		case <-time.After(renewEvery):
		case <-ctx.Done():
		}
	}
}

func (k Keeper) take(ctx context.Context, now time.Time) bool {
	held, err := k.Store.Lease(ctx, k.Name, k.Holder, now.Add(Time))
	if err != nil && ctx.Err() == nil {
		k.Log.ErrorContext(ctx, "lease not acquired", "name", k.Name, "error", err)
	}
	return held && err == nil
}

// hold works and renews. The end of the lease is measured from before it was
// asked for, by a clock that nobody sets, and by a timer: a renewal that hangs
// must not keep the work going.
func (k Keeper) hold(ctx context.Context, since time.Time, work func(context.Context)) {
	left := Time - time.Since(since)
	if left <= 0 { // the answer took longer than the lease lasts
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	end := time.AfterFunc(left, cancel)
	defer end.Stop()
	var running sync.WaitGroup
	running.Go(func() { work(ctx) })
	defer running.Wait()
	defer cancel()
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		asked := time.Now()
		held, err := k.Store.Lease(ctx, k.Name, k.Holder, asked.Add(Time))
		switch {
		case err != nil && ctx.Err() == nil:
			k.Log.ErrorContext(ctx, "lease not renewed", "name", k.Name, "error", err)
		case err == nil && !held:
			k.Log.WarnContext(ctx, "lease lost", "name", k.Name)
			return
		case err == nil && ctx.Err() == nil:
			end.Reset(Time - time.Since(asked))
		}
	}
}

// release gives the lease back, so that another need not wait for its end.
func (k Keeper) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := k.Store.Release(ctx, k.Name, k.Holder); err != nil {
		k.Log.WarnContext(ctx, "lease not released", "name", k.Name, "error", err)
	}
}
