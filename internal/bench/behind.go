//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// short and long are how many alerts the consoles fall behind by.
const (
	floodShort, floodLong   = 3000, 20_000
	absentShort, absentLong = 1000, 10_000
)

// flood sends more than the consoles can follow. The floor, whose publishers wait
// for its consoles, costs the same for any number, and gets only the short flood.
func flood(ctx context.Context, s *site) error {
	if err := s.connect(ctx, sized(s.Consoles, 1000), sized(s.Shops, 1)); err != nil {
		return err
	}
	if err := s.warmUp(ctx); err != nil {
		return err
	}
	for _, alerts := range []int{floodShort, floodLong} {
		names := []string{fmt.Sprint("_", alerts)}
		if s.target.Console == "" { // the floor
			names = append(names, fmt.Sprint("_", floodLong))
		}
		if err := s.flooded(ctx, alerts, names); err != nil || len(names) > 1 {
			return err
		}
	}
	return s.settle(ctx, s.fleet.received.Load())
}

// flooded runs one flood; names are the suffixes of its figures' names.
func (s *site) flooded(ctx context.Context, alerts int, names []string) error {
	load := s.newLoad(0)
	before := s.fleet.received.Load()
	var answered time.Time
	c, err := s.during(func() error {
		if err := load.flood(ctx, alerts); err != nil {
			return err
		}
		answered = time.Now()
		return s.fleet.await(ctx, "the flood", func() bool { return s.fleet.received.Load() >= before+load.deliveries() })
	})
	if err != nil {
		return err
	}
	behind, n := time.Since(answered), float64(load.deliveries())
	for _, name := range names {
		s.report("deliveries_per_second"+name, "/s", n/c.wall.Seconds())
		s.report("server_cpu_per_delivery"+name, "µs", micros(c.server)/n)
		s.report("client_cpu_per_delivery"+name, "µs", micros(c.client)/n)
		s.report("last_console_behind"+name, "s", behind.Seconds())
	}
	return nil
}

// absent lets all consoles of a shop reconnect at once, after many alerts. A
// witness measures the effect on other shops.
func absent(ctx context.Context, s *site) error {
	n := sized(s.Consoles, 500)
	if err := s.connect(ctx, n, sized(s.Shops, 1)); err != nil {
		return err
	}
	if err := s.warmUp(ctx); err != nil {
		return err
	}
	w, err := newWitness(ctx, s)
	if err != nil {
		return err
	}
	defer w.site.close()
	quiet, err := w.during(ctx, func() error { return pause(ctx, 3*time.Second) })
	if err != nil {
		return err
	}
	due := s.fleet.received.Load()
	for _, alerts := range []int{absentShort, absentLong} {
		s.fleet.cut()
		load := s.newLoad(0)
		load.blind = true // no console is connected now
		if err := load.flatOut(ctx, alerts); err != nil {
			return err
		}
		due += load.deliveries()
		var c cost
		busy, err := w.during(ctx, func() (err error) {
			c, err = s.during(func() error { return s.comeBack(ctx, due) })
			return err
		})
		if err != nil {
			return err
		}
		s.report(fmt.Sprint("caught_up_after_", alerts), "s", c.wall.Seconds())
		s.report(fmt.Sprint("server_cpu_per_delivery_", alerts), "µs", micros(c.server)/float64(load.deliveries()))
		s.report(fmt.Sprint("other_shops_p99_", alerts), "ms", millis(busy))
		s.report(fmt.Sprint("other_shops_p99_more_", alerts), "ms", millis(busy-quiet))
	}
	return s.settle(ctx, due)
}

func (s *site) comeBack(ctx context.Context, due int64) error {
	if err := s.fleet.reconnect(ctx); err != nil {
		return err
	}
	return s.fleet.await(ctx, "what was missed", func() bool { return s.fleet.received.Load() >= due })
}

// restart stops the server and starts it again, and all consoles reconnect at
// once.
func restart(ctx context.Context, s *site) error {
	if s.target.Restart == nil {
		return errors.New("the server can't be restarted from here: leave --url out")
	}
	const missed = 100
	n := sized(s.Consoles, 15_000)
	if err := s.connect(ctx, n, sized(s.Shops, max(1, n/15))); err != nil {
		return err
	}
	if err := s.warmUp(ctx); err != nil {
		return err
	}
	s.fleet.cut()
	load := s.newLoad(0)
	load.blind = true
	due := s.fleet.received.Load()
	if err := load.flatOut(ctx, missed*s.shops); err != nil {
		return err
	}
	for _, c := range s.callers {
		c.close()
	}
	s.callers = nil
	pid, err := s.target.Restart(ctx)
	if err != nil {
		return err
	}
	s.target.PID = pid
	due += load.deliveries()
	c, err := s.during(func() error { return s.comeBack(ctx, due) })
	if err != nil {
		return err
	}
	s.report("all_caught_up_after", "s", c.wall.Seconds())
	s.report("server_cpu_per_delivery", "µs", micros(c.server)/float64(load.deliveries()))
	memory, err := residentMemory(pid)
	if err != nil {
		return err
	}
	s.report("memory_then", "MiB", float64(memory)/(1<<20))
	return s.settle(ctx, due)
}

// witness measures what other shops notice: its consoles are up to date, and its
// alerts come at a steady rate.
type witness struct{ site *site }

// farAway is the distance of the witness's shop ids.
const farAway = 1_000_000

const (
	witnessShops    = 20
	witnessConsoles = 100
	witnessRate     = 100 // alerts a second
)

func newWitness(ctx context.Context, s *site) (*witness, error) {
	w := &witness{&site{round: s.round, target: s.target, away: farAway}}
	if err := w.site.connect(ctx, witnessConsoles, witnessShops); err != nil {
		w.site.close()
		return nil, err
	}
	return w, w.site.warmUp(ctx)
}

// during returns the 99th percentile of the latency while work runs. Every alert
// must arrive.
func (w *witness) during(ctx context.Context, work func() error) (p99 time.Duration, err error) {
	w.site.fleet.resetLatency()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	load := w.site.newLoad(0)
	before := w.site.fleet.received.Load()
	done := make(chan error, 1)
	go func() { done <- load.until(ctx, witnessRate) }()
	err = work()
	stop()
	if err := errors.Join(err, <-done); err != nil {
		return 0, err
	}
	err = w.site.fleet.await(context.WithoutCancel(ctx), "the witness's alerts", func() bool {
		return w.site.fleet.received.Load() >= before+load.deliveries()
	})
	p99, _ = w.site.fleet.latencyAt(0.99)
	return p99, err
}

// until sends alerts at a rate until ctx ends.
func (l *load) until(ctx context.Context, rate int) error {
	for ctx.Err() == nil {
		if err := l.atRate(context.WithoutCancel(ctx), max(1, rate/10), rate); err != nil {
			return err
		}
	}
	return nil
}
