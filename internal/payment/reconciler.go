package payment

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"doorbell/internal/doorbell"
)

// Book is what the reconciler needs of the store.
type Book interface {
	// Unpaid are the orders without a payment that were made from one time to
	// another, oldest first, those after the given one, at most limit.
	Unpaid(ctx context.Context, from, to time.Time, after doorbell.Order, limit int) ([]doorbell.Order, error)
	// Lease gives holder what only one node may do, until a time.
	Lease(ctx context.Context, name, holder string, until time.Time) (bool, error)
	Release(ctx context.Context, name, holder string) error
}

// ReconcilerOptions are all needed but Queriers: without any it does nothing.
type ReconcilerOptions struct {
	Queriers []Querier
	Book     Book
	// Take settles what a provider told, as it settles a callback.
	Take func(ctx context.Context, n doorbell.Notice) (doorbell.Verdict, error)
	Log  *slog.Logger
	Node string // this node among others
	// After and Until are the ages of the unpaid orders that are asked for.
	After, Until time.Duration
}

// Reconciler asks providers for orders that should have been paid: a callback
// that never came must still ring. It asks again when an order is half as old
// again (2, 3, 4.5 … times After), which is some 18 times in 25 hours, spread
// so that a restart or a rush of orders makes no wave.
type Reconciler struct {
	ReconcilerOptions
	queriers atomic.Pointer[[]Querier]
	asked    atomic.Int64
	found    atomic.Int64

	plans  map[doorbell.OrderID]*plan // owned by Run
	pauses map[string]pause           // owned by Run, by provider
}

// plan is when an order is asked for next.
type plan struct {
	next time.Time
	seen int // the sweep that saw it last
}

// pause is how long a provider that fails is left alone.
type pause struct {
	until time.Time
	last  time.Duration
}

const (
	// sweepEvery is how often the unpaid orders are looked through.
	sweepEvery = 5 * time.Second
	// maxPlans bounds the orders that are planned for, some 10 MiB.
	maxPlans = 100_000
	// maxQuestions bounds the questions of one sweep, at all providers
	// together: 10 a second. WeChat Pay takes 600 a second of one merchant.
	maxQuestions = 50
	// askers ask at the same time.
	askers = 4
	// leaseTime is how long another node waits for one that is gone.
	leaseTime = 30 * time.Second
	leaseName = "reconciler"
	// A provider that fails is left alone for minPause, then twice that, up to
	// maxPause.
	minPause = 5 * time.Second
	maxPause = 2 * time.Minute
	// maxStep is the longest time between two questions about an order.
	maxStep = 2 * time.Hour
	// spread is how much of a step is chance.
	spread = 0.1
	// firstSpread is over how long the orders found at a start are asked for.
	firstSpread = 20 * time.Second
)

// NewReconciler starts nothing.
func NewReconciler(o ReconcilerOptions) *Reconciler {
	r := &Reconciler{ReconcilerOptions: o, plans: map[doorbell.OrderID]*plan{}, pauses: map[string]pause{}}
	r.Replace(o.Queriers)
	return r
}

// Replace puts others in the place of the queriers: the keys were read again.
func (r *Reconciler) Replace(q []Querier) { r.queriers.Store(&q) }

// Counts are how many questions were asked, and how many of them found money
// whose callback had not come.
func (r *Reconciler) Counts() (asked, found int64) { return r.asked.Load(), r.found.Load() }

// Run asks until ctx ends. Only the node that holds the lease does.
func (r *Reconciler) Run(ctx context.Context) error {
	if len(*r.queriers.Load()) == 0 {
		return nil
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := r.Book.Release(ctx, leaseName, r.Node); err != nil {
			r.Log.WarnContext(ctx, "reconciler's lease not given back", "error", err)
		}
	}()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	var renew time.Time
	for sweep := 0; ; sweep++ {
		held := time.Now().Before(renew)
		if !held {
			var err error
			if held, err = r.Book.Lease(ctx, leaseName, r.Node, time.Now().Add(leaseTime)); err != nil && ctx.Err() == nil {
				r.Log.ErrorContext(ctx, "reconciler has no lease", "error", err)
			}
			renew = time.Time{}
			if held {
				renew = time.Now().Add(leaseTime / 3)
			}
		}
		if held {
			if err := r.sweep(ctx, sweep, time.Now()); err != nil && ctx.Err() == nil {
				r.Log.ErrorContext(ctx, "unpaid orders not read", "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// sweep looks through the unpaid orders and asks for those whose time has come.
func (r *Reconciler) sweep(ctx context.Context, sweep int, now time.Time) error {
	due, err := r.due(ctx, sweep, now)
	if err != nil {
		return err
	}
	var asking sync.WaitGroup
	work := make(chan doorbell.Order)
	results := make(chan failed, len(due)*len(*r.queriers.Load()))
	for range askers {
		asking.Go(func() {
			for o := range work {
				r.ask(ctx, o, now, results)
			}
		})
	}
	for _, o := range due {
		work <- o
	}
	close(work)
	asking.Wait()
	close(results)
	bad := map[string]bool{}
	for f := range results {
		bad[f.provider] = bad[f.provider] || f.asked
		r.plans[f.order].next = now.Add(minPause) // the answer is not known: soon again
	}
	for _, q := range *r.queriers.Load() {
		r.judge(q.Provider(), bad[q.Provider()], now)
	}
	return nil
}

// judge lengthens or ends a provider's pause.
func (r *Reconciler) judge(provider string, failed bool, now time.Time) {
	p := r.pauses[provider]
	switch {
	case failed:
		p.last = min(max(2*p.last, minPause), maxPause)
		p.until = now.Add(p.last)
	case now.After(p.until):
		p = pause{}
	}
	r.pauses[provider] = p
}

// due returns the orders to ask for now and plans when to do so again.
func (r *Reconciler) due(ctx context.Context, sweep int, now time.Time) ([]doorbell.Order, error) {
	var due []doorbell.Order
	var last doorbell.Order
	const page = 500
	left := 0
	for {
		orders, err := r.Book.Unpaid(ctx, now.Add(-r.Until), now.Add(-r.After), last, page)
		if err != nil {
			return nil, err
		}
		for _, o := range orders {
			last = o
			if o.Currency != doorbell.DefaultCurrency { // neither provider takes another one here
				continue
			}
			p := r.plans[o.ID]
			if p == nil {
				if len(r.plans) >= maxPlans {
					left++
					continue
				}
				p = &plan{next: now}
				if sweep == 0 {
					p.next = now.Add(rand.N(firstSpread))
				}
				r.plans[o.ID] = p
			}
			p.seen = sweep
			if !p.next.After(now) {
				due = append(due, o)
			}
		}
		if len(orders) < page {
			break
		}
	}
	if left > 0 {
		r.Log.WarnContext(ctx, "too many unpaid orders to ask for all", "left", left)
	}
	for id, p := range r.plans {
		if p.seen != sweep { // paid, or too old
			delete(r.plans, id)
		}
	}
	// The youngest first: food that is not begun yet. The others stay due.
	slices.SortFunc(due, func(a, b doorbell.Order) int { return b.CreatedAt.Compare(a.CreatedAt) })
	due = due[:min(len(due), maxQuestions)]
	for _, o := range due {
		r.plans[o.ID].next = now.Add(step(now.Sub(o.CreatedAt)))
	}
	return due, nil
}

// step is the time to the next question about an order of this age.
func step(age time.Duration) time.Duration {
	d := min(age/2, maxStep)
	return d + time.Duration(spread*(2*rand.Float64()-1)*float64(d))
}

// failed is a question without an answer, or not asked because of a pause.
type failed struct {
	order    doorbell.OrderID
	provider string
	asked    bool
}

// ask asks every provider that is not paused, until one has the money.
func (r *Reconciler) ask(ctx context.Context, o doorbell.Order, now time.Time, results chan<- failed) {
	for _, q := range *r.queriers.Load() {
		if now.Before(r.pauses[q.Provider()].until) {
			results <- failed{o.ID, q.Provider(), false}
			continue
		}
		r.asked.Add(1)
		n, err := q.Query(ctx, o.Number)
		switch {
		case errors.Is(err, ErrNotPaid), errors.Is(err, ErrClosed):
			continue
		case err != nil:
			if ctx.Err() == nil {
				r.Log.WarnContext(ctx, "provider not asked", "provider", q.Provider(), "number", o.Number, "error", err)
			}
			results <- failed{o.ID, q.Provider(), true}
			continue
		}
		verdict, err := r.Take(context.WithoutCancel(ctx), n)
		if err != nil {
			r.Log.ErrorContext(ctx, "payment found and not kept", "provider", q.Provider(), "number", o.Number, "error", err)
			results <- failed{o.ID, q.Provider(), true}
			continue
		}
		if verdict == doorbell.Settled || verdict == doorbell.PaidAfterCancel {
			r.found.Add(1)
		}
		r.Log.WarnContext(ctx, "payment found by asking", "provider", q.Provider(), "number", o.Number, "transaction", n.Transaction, "verdict", verdict)
		if verdict.Succeeded() {
			return
		}
	}
}
