package adopt

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/lease"
)

const (
	// indexEvery is how often new orders are looked for where nothing rings for them.
	indexEvery = 5 * time.Second
	// sweepEvery is how often the orders that have ended are looked at, for an ending
	// can be undone, and old ones are let go.
	sweepEvery = time.Minute
	// chunk is how many rows are read at once, and maxFound bounds what one look finds:
	// the next one goes on.
	chunk    = 512
	maxFound = 4096
	// lively is how long after it was made an order is looked at whose state stands
	// still, and prompt how long one is looked at each time that is not paid.
	lively = 48 * time.Hour
	prompt = time.Hour
)

// WatchOptions are all needed but Every.
type WatchOptions struct {
	Orders *Orders
	// Look tells what became of an order.
	Look func(ctx context.Context, id doorbell.OrderID) error
	// Every is how often their table is looked at; 0: only for the numbers of new
	// orders.
	Every  time.Duration
	Leases lease.Store
	Node   string // this process among others
	Log    *slog.Logger
}

// Watch looks at their table, on one node at a time. Where it has got stands in the
// database (sky_orders): a restart goes on from there.
type Watch struct {
	WatchOptions
	wake    chan struct{}
	swept   time.Time // the last sweep
	looked  time.Time // the last look that found no fault
	warned  bool      // of the zone
	failing bool
}

// NewWatch makes one.
func NewWatch(o WatchOptions) *Watch { return &Watch{WatchOptions: o, wake: make(chan struct{}, 1)} }

// Wake has it look at once.
func (w *Watch) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run looks until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	lease.Keeper{Store: w.Leases, Name: "sky.watch", Holder: w.Node, Log: w.Log}.Run(ctx, w.work)
	return nil
}

func (w *Watch) work(ctx context.Context) {
	every := w.Every
	if every == 0 {
		every = indexEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	w.looked = time.Time{}
	for ctx.Err() == nil {
		w.once(ctx)
		select {
		case <-tick.C:
		case <-w.wake:
		case <-ctx.Done():
		}
	}
}

// once looks, and logs a failure when it begins and when it is over.
func (w *Watch) once(ctx context.Context) {
	err := w.look(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil && !w.failing:
		w.failing = true
		w.Log.ErrorContext(ctx, "the orders of sky-take-out can't be read; none of them rings until they can", "error", err)
	case err == nil && w.failing:
		w.failing = false
		w.Log.InfoContext(ctx, "the orders of sky-take-out can be read again")
	}
	if err == nil {
		w.looked = time.Now()
	}
}

// look finds what has changed and tells it, each order in a transaction of its own.
func (w *Watch) look(ctx context.Context) error {
	place, err := w.place(ctx)
	if err != nil {
		return err
	}
	found, err := w.newcomers(ctx, place)
	if err != nil {
		return err
	}
	sweep := time.Since(w.swept) >= sweepEvery
	var gone []doorbell.OrderID
	if w.Every > 0 {
		kinds := []watched{livelyRow}
		if sweep {
			kinds = append(kinds, quietRow)
		}
		for _, kind := range kinds {
			changed, missing, err := w.changed(ctx, kind)
			if err != nil {
				return err
			}
			found, gone = append(found, changed...), append(gone, missing...)
		}
	}
	err = w.tell(ctx, append(found, gone...))
	if err == nil && len(gone) > 0 {
		err = w.forget(ctx, gone)
	}
	if sweep {
		err = errors.Join(err, w.sweep(ctx, place))
		w.swept = time.Now()
	}
	return err
}

// tell looks at orders one by one. The next look finds those again that failed: one
// that always fails must not keep the others from ringing, while a database that
// can't write is left alone.
func (w *Watch) tell(ctx context.Context, ids []doorbell.OrderID) error {
	var failed error
	for _, id := range ids {
		err := w.Look(ctx, id)
		if err == nil {
			continue
		}
		failed = fmt.Errorf("order %d: %w", id, err)
		if ctx.Err() != nil || doorbell.CodeOf(err) == doorbell.Unavailable {
			break
		}
	}
	return failed
}

// place is the highest id that was looked at. It makes the first look, and goes back
// where their table did, which was emptied.
func (w *Watch) place(ctx context.Context) (place int64, err error) {
	var highest int64
	for query, to := range map[string]*int64{
		`select coalesce(max(id), -1) from doorbell_sky_orders`: &place, // with a row for id 0 once begun
		`select coalesce(max(id), 0) from orders`:               &highest,
	} {
		if err := w.Orders.Query(ctx, query, nil, func(rows *sql.Rows) error { return rows.Scan(to) }); err != nil {
			return 0, err
		}
	}
	switch {
	case place < 0:
		return highest, w.begin(ctx)
	case highest < place:
		var ids []doorbell.OrderID
		err := w.Orders.Query(ctx, `select id from doorbell_sky_orders where id > ? order by id limit ?`, []any{highest, maxFound}, func(rows *sql.Rows) error {
			ids = append(ids, 0)
			return rows.Scan(&ids[len(ids)-1])
		})
		if err != nil {
			return 0, err
		}
		for _, id := range ids { // what rings for them falls silent
			if err := w.Look(ctx, id); err != nil {
				return 0, err
			}
		}
		return highest, w.forget(ctx, ids)
	}
	return place, nil
}

// glance is what is compared of a row.
type glance struct {
	id        doorbell.OrderID
	number    string
	status    doorbell.Status
	payStatus doorbell.PayStatus
}

func (w *Watch) glances(ctx context.Context, query string, args ...any) (out []glance, err error) {
	err = w.Orders.Query(ctx, query, args, func(rows *sql.Rows) error {
		var g glance
		err := rows.Scan(&g.id, &g.number, &g.status, &g.payStatus)
		out = append(out, g)
		return err
	})
	return out, err
}

// newcomers are the orders that were never looked at. They are found by their ids,
// from some way below the highest known one.
func (w *Watch) newcomers(ctx context.Context, place int64) (ids []doorbell.OrderID, err error) {
	after := doorbell.OrderID(max(place-overlap, 0))
	for len(ids) < maxFound {
		theirs, err := w.glances(ctx, `select id, coalesce(number, ''), status, pay_status from orders where id > ? order by id limit ?`, after, chunk)
		if err != nil || len(theirs) == 0 {
			return ids, err
		}
		last := theirs[len(theirs)-1].id
		known := map[doorbell.OrderID]string{}
		seen, err := w.glances(ctx, `select id, number, status, pay_status from doorbell_sky_orders where id > ? and id <= ?`, after, last)
		if err != nil {
			return ids, err
		}
		for _, g := range seen {
			known[g.id] = g.number
		}
		for _, g := range theirs {
			if number, ok := known[g.id]; !ok || number != g.number {
				ids = append(ids, g.id)
			}
		}
		after = last
		if len(theirs) < chunk {
			break
		}
	}
	return ids, w.checkZone(ctx, ids)
}

// changed are the orders of one kind that stand otherwise than when they were looked
// at, and those that are not there any more.
func (w *Watch) changed(ctx context.Context, kind watched) (ids, gone []doorbell.OrderID, err error) {
	for after := doorbell.OrderID(0); len(ids) < maxFound; {
		seen, err := w.glances(ctx, `select id, number, status, pay_status from doorbell_sky_orders where watched = ? and id > ? order by id limit ?`, kind, after, chunk)
		if err != nil || len(seen) == 0 {
			return ids, gone, err
		}
		args := make([]any, chunk)
		for i := range args { // always as many: one statement serves all
			args[i] = 0
			if i < len(seen) {
				args[i] = seen[i].id
			}
		}
		stand := map[doorbell.OrderID]glance{}
		theirs, err := w.glances(ctx, `select id, coalesce(number, ''), status, pay_status from orders force index (primary) where id in (`+places(chunk)+`)`, args...)
		if err != nil {
			return ids, gone, err
		}
		for _, g := range theirs {
			stand[g.id] = g
		}
		for _, g := range seen {
			if now, there := stand[g.id]; !there {
				gone = append(gone, g.id)
			} else if now != g {
				ids = append(ids, g.id)
			}
		}
		after = seen[len(seen)-1].id
		if len(seen) < chunk {
			break
		}
	}
	return ids, gone, nil
}

// checkZone warns where orders that were made just now have the time of another zone.
func (w *Watch) checkZone(ctx context.Context, ids []doorbell.OrderID) error {
	now := time.Now()
	if w.warned || len(ids) == 0 || w.looked.IsZero() || now.Sub(w.looked) > time.Minute {
		return nil
	}
	return w.Orders.Query(ctx, `select `+columns+` from orders where id = ?`, []any{ids[len(ids)-1]}, func(rows *sql.Rows) error {
		r, err := scanRow(rows.Scan, w.Orders.zone)
		if err != nil || r.ordered.IsZero() || r.status != doorbell.ToBePaid {
			return err
		}
		if apart := now.Sub(r.ordered).Round(time.Hour); apart != 0 {
			w.warned = true
			w.Log.WarnContext(ctx, "an order of sky-take-out that was just made has the time of another zone; set sky.zone to that of its JVM",
				"order", r.id, "order_time", r.ordered.In(w.Orders.zone).Format(timeLayout), "sky_zone", w.Orders.zone.String(), "apart", apart)
		}
		return nil
	})
}
