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
	seen int // the sweep that saw its order last
}

// asking is a question whose time has come.
type asking struct {
	question
	about  doorbell.Order
	at     Querier
	failed bool // the answer is not known
}

// pause is how long a provider that fails is left alone.
type pause struct {
	until time.Time
	last  time.Duration
}

const (
	// sweepEvery is how often the unpaid orders are looked through.
	sweepEvery = 5 * time.Second
	// maxPlans bounds the questions that are planned, some 15 MiB.
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
	r := &Reconciler{ReconcilerOptions: o, plans: map[question]*plan{}, pauses: map[string]pause{}}
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
	var next time.Time // of the lease
	held := false
	for sweep := 0; ; sweep++ {
		if now := time.Now(); !now.Before(next) {
			var err error
			if held, err = r.Book.Lease(ctx, leaseName, r.Node, now.Add(leaseTime)); err != nil && ctx.Err() == nil {
				r.Log.ErrorContext(ctx, "reconciler has no lease", "error", err)
			}
			next = now.Add(leaseTime / 3)
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

// sweep looks through the unpaid orders and asks what is due.
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
				a.failed = !r.ask(ctx, a)
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
			r.plans[a.question].next = now // again, after the pause
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

// due returns what to ask now, and plans when to ask again.
func (r *Reconciler) due(ctx context.Context, sweep int, now time.Time) ([]*asking, error) {
	var due []*asking
	var last doorbell.Order
	const page = 500
	left := 0
	for more := true; more; {
		orders, err := r.Book.Unpaid(ctx, now.Add(-r.Until), now.Add(-r.After), last, page)
		if err != nil {
			return nil, err
		}
		for _, o := range orders {
			last = o
			for _, q := range *r.queriers.Load() {
				switch p := r.plan(o, q, sweep, now); {
				case p == nil:
					left++
				case !p.next.After(now) && !now.Before(r.pauses[q.Provider()].until):
					due = append(due, &asking{question: question{o.ID, q.Provider()}, about: o, at: q})
				}
			}
		}
		more = len(orders) == page
	}
	if left > 0 {
		r.Log.WarnContext(ctx, "too many unpaid orders to ask for all", "left", left)
	}
	for q, p := range r.plans {
		if p.seen != sweep { // paid, or too old
			delete(r.plans, q)
		}
	}
	// The youngest first: food that is not begun yet. The others stay due.
	slices.SortFunc(due, func(a, b *asking) int { return b.about.CreatedAt.Compare(a.about.CreatedAt) })
	due = due[:min(len(due), maxQuestions)]
	for _, a := range due {
		r.plans[a.question].next = now.Add(step(now.Sub(a.about.CreatedAt)))
	}
	return due, nil
}

// plan finds or makes the plan of one question; nil where there is no room for
// it. Neither provider takes another currency here: its plan is never due.
func (r *Reconciler) plan(o doorbell.Order, at Querier, sweep int, now time.Time) *plan {
	q := question{o.ID, at.Provider()}
	p := r.plans[q]
	if p == nil {
		if len(r.plans) >= maxPlans {
			return nil
		}
		p = &plan{next: now}
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

// step is the time to the next question about an order of this age.
func step(age time.Duration) time.Duration {
	d := min(age/2, maxStep)
	return d + time.Duration(spread*(2*rand.Float64()-1)*float64(d))
}

// ask asks, and settles what it finds. It reports whether the answer is known.
func (r *Reconciler) ask(ctx context.Context, a *asking) bool {
	r.asked.Add(1)
	n, err := a.at.Query(ctx, a.about.Number)
	switch {
	case errors.Is(err, ErrNotPaid), errors.Is(err, ErrClosed):
		return true
	case err != nil:
		if ctx.Err() == nil {
			r.Log.WarnContext(ctx, "provider not asked", "provider", a.provider, "number", a.about.Number, "error", err)
		}
		return false
	}
	// Stopping must not leave a payment half told.
	verdict, err := r.Take(context.WithoutCancel(ctx), n)
	if err != nil {
		r.Log.ErrorContext(ctx, "payment found and not kept", "provider", a.provider, "number", a.about.Number, "error", err)
		return false
	}
	if verdict == doorbell.Settled || verdict == doorbell.PaidAfterCancel {
		r.found.Add(1)
	}
	r.Log.WarnContext(ctx, "payment found by asking", "provider", a.provider, "number", a.about.Number, "transaction", n.Transaction, "verdict", verdict)
	return true
}
