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
	"doorbell/internal/lease"
)

// Store is what the reconciler needs of the store.
type Store interface {
	// Now returns the time by the clock that all nodes share.
	Now() time.Time
	// Unpaid returns the orders without a payment that were created between from and
	// to and follow the given order, oldest first, at most limit.
	Unpaid(ctx context.Context, from, to time.Time, after doorbell.Order, limit int) ([]doorbell.Order, error)
	lease.Store
}

// ReconcilerOptions are all required but Queriers: without any the reconciler does
// nothing.
type ReconcilerOptions struct {
	Queriers []Querier
	Store    Store
	// Take settles a notice as it settles a callback.
	Take func(ctx context.Context, n doorbell.Notice) (doorbell.Verdict, error)
	Log  *slog.Logger
	Node string // this process's name
	// After and Until bound the age of the unpaid orders that are queried.
	After, Until time.Duration
}

// Reconciler queries providers for orders that should have been paid, because a
// payment whose callback was lost must still ring. It queries an order again each
// time its age has grown by half (2, 3, 4.5 … times After), some 18 times in 25
// hours, with random spread so that a restart or a rush of orders makes no wave.
type Reconciler struct {
	ReconcilerOptions
	queriers atomic.Pointer[[]Querier]
	asked    atomic.Int64
	found    atomic.Int64

	plans  map[question]*plan // owned by Run
	pauses map[string]pause   // owned by Run, by provider
}

// question is one order at one provider.
type question struct {
	order    doorbell.OrderID
	provider string
}

// plan is when a question is asked next.
type plan struct {
	next time.Time
	made time.Time
	seen int // number of the last sweep that saw its order
}

// asking is a question that is due.
type asking struct {
	question
	about  doorbell.Order
	at     Querier
	failed bool // the state is unknown
}

// pause is how long a failing provider is not queried.
type pause struct {
	until time.Time
	last  time.Duration
}

const (
	// sweepEvery is the time between two sweeps of the unpaid orders.
	sweepEvery = 5 * time.Second
	// maxPlans bounds the planned questions, some 15 MiB.
	maxPlans = 100_000
	// maxQuestions bounds the queries of one sweep at all providers together: 10 a
	// second. WeChat Pay accepts 600 a second from one merchant.
	maxQuestions = 50
	// askers is the number of concurrent queries.
	askers    = 4
	leaseName = "reconciler"
	// A failing provider is not queried for minPause, then for twice as long each
	// time, up to maxPause.
	minPause = 5 * time.Second
	maxPause = 2 * time.Minute
	// clockSlack is the allowed difference between the clocks of two nodes.
	clockSlack = 5 * time.Second
	// maxStep is the longest time between two queries about an order.
	maxStep = 2 * time.Hour
	// spread is the random part of a step.
	spread = 0.1
	// firstSpread is the time over which the orders found at a start are queried.
	firstSpread = 20 * time.Second
)

// NewReconciler returns a reconciler; only Run starts it.
func NewReconciler(o ReconcilerOptions) *Reconciler {
	r := &Reconciler{ReconcilerOptions: o, plans: map[question]*plan{}, pauses: map[string]pause{}}
	r.Replace(o.Queriers)
	return r
}

// Replace replaces the queriers, after the keys were read again.
func (r *Reconciler) Replace(q []Querier) { r.queriers.Store(&q) }

// Counts returns the number of queries, and how many found a payment whose
// callback had not come.
func (r *Reconciler) Counts() (asked, found int64) { return r.asked.Load(), r.found.Load() }

// Run queries until ctx ends, while this node holds the lease.
func (r *Reconciler) Run(ctx context.Context) error {
	if len(*r.queriers.Load()) == 0 {
		return nil
	}
	sweep := 0
	lease.Keeper{Store: r.Store, Name: leaseName, Holder: r.Node, Log: r.Log}.Run(ctx, func(ctx context.Context) {
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			if err := r.sweep(ctx, sweep, r.Store.Now()); err != nil && ctx.Err() == nil {
				r.Log.ErrorContext(ctx, "reading the unpaid orders failed", "error", err)
			}
			sweep++
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	return nil
}

// sweep reads the unpaid orders and asks the questions that are due.
func (r *Reconciler) sweep(ctx context.Context, sweep int, now time.Time) error {
	due, err := r.due(ctx, sweep, now)
	if err != nil {
		return err
	}
	work := make(chan *asking)
	var running sync.WaitGroup
	for range min(askers, len(due)) {
		running.Go(func() {
			for a := range work {
				a.failed = ctx.Err() != nil || !r.ask(ctx, a) // without the lease nothing more is asked
			}
		})
	}
	for _, a := range due {
		work <- a
	}
	close(work)
	running.Wait()
	tried, failed := map[string]bool{}, map[string]bool{}
	for _, a := range due {
		tried[a.provider] = true
		if a.failed {
			failed[a.provider] = true
			r.plans[a.question].next = now // asked again after the pause
		}
	}
	for provider := range tried {
		p := pause{}
		if failed[provider] {
			p.last = min(max(2*r.pauses[provider].last, minPause), maxPause)
			p.until = now.Add(p.last)
		}
		r.pauses[provider] = p
	}
	return nil
}

// due returns the questions to ask now, and plans when to ask them again.
func (r *Reconciler) due(ctx context.Context, sweep int, now time.Time) ([]*asking, error) {
	var due []*asking
	var last doorbell.Order
	const page = 500
	left := 0
	from, to := now.Add(-r.Until), now.Add(-r.After)
	for more := true; more; {
		orders, err := r.Store.Unpaid(ctx, from, to, last, page)
		if err != nil {
			return nil, err
		}
		for _, o := range orders {
			last = o
			for _, q := range *r.queriers.Load() {
				if group, ok := q.(*QueryGroup); ok {
					if q, ok = group.For(o.Shop); !ok {
						continue
					}
				}
				switch p := r.plan(o, q, sweep, now); {
				case p == nil:
					left++
				case !p.next.After(now) && !now.Before(r.pauses[q.Provider()].until):
					due = append(due, &asking{question: question{o.ID, q.Provider()}, about: o, at: q})
				}
			}
		}
		more = len(orders) == page
		if ahead := now.Add(clockSlack); !more && from.Before(now) {
			// Orders with a time in the future were created before the clock was set
			// back.
			from, to, more = ahead, now.AddDate(100, 0, 0), true
		}
	}
	if left > 0 {
		r.Log.WarnContext(ctx, "too many unpaid orders to query all", "left", left)
	}
	for q, p := range r.plans {
		if p.seen != sweep { // paid, or too old
			delete(r.plans, q)
		}
	}
	// The youngest first: their food is not begun yet. The others stay due.
	slices.SortFunc(due, func(a, b *asking) int { return b.about.CreatedAt.Compare(a.about.CreatedAt) })
	due = due[:min(len(due), maxQuestions)]
	for _, a := range due {
		p := r.plans[a.question]
		age := now.Sub(a.about.CreatedAt)
		if age < 0 { // the clock was set back since, so the age is unknown
			age = r.After + now.Sub(p.made)
		}
		p.next = now.Add(step(age))
	}
	return due, nil
}

// plan returns the plan of a question and creates it if needed; nil if there is no
// room. An order in a currency that this provider does not take gets a plan that
// is never due.
func (r *Reconciler) plan(o doorbell.Order, at Querier, sweep int, now time.Time) *plan {
	q := question{o.ID, at.Provider()}
	p := r.plans[q]
	if p == nil {
		if len(r.plans) >= maxPlans {
			return nil
		}
		p = &plan{next: now, made: now}
		if sweep == 0 {
			p.next = now.Add(rand.N(firstSpread))
		}
		if o.Currency != doorbell.DefaultCurrency {
			p.next = now.Add(2 * r.Until)
		}
		r.plans[q] = p
	}
	p.seen = sweep
	return p
}

// step returns the time until the next question about an order of this age.
func step(age time.Duration) time.Duration {
	d := min(age/2, maxStep)
	return d + time.Duration(spread*(2*rand.Float64()-1)*float64(d))
}

// ask asks a question and settles the payment that it finds. It reports whether
// the state is known.
func (r *Reconciler) ask(ctx context.Context, a *asking) bool {
	r.asked.Add(1)
	n, err := a.at.Query(ctx, a.about.Number)
	switch {
	case errors.Is(err, ErrNotPaid), errors.Is(err, ErrClosed):
		return true
	case err != nil:
		if ctx.Err() == nil {
			r.Log.WarnContext(ctx, "payment query failed", "provider", a.provider, "number", a.about.Number, "error", err)
		}
		return false
	}
	// Not cancelled at shutdown: a payment that was found must be settled
	// completely.
	verdict, err := r.Take(context.WithoutCancel(ctx), n)
	if err != nil {
		r.Log.ErrorContext(ctx, "storing a queried payment failed", "provider", a.provider, "number", a.about.Number, "error", err)
		return false
	}
	if verdict == doorbell.Settled || verdict == doorbell.PaidAfterCancel {
		r.found.Add(1)
	}
	r.Log.WarnContext(ctx, "payment found by query", "provider", a.provider, "number", a.about.Number, "transaction", n.Transaction, "verdict", verdict)
	return true
}
