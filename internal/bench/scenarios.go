//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// firstShop keeps the load away from existing shops: nobody uses such high ids.
const firstShop = 900_000_001

// underWay is how many alerts may be under way where a scenario runs at full
// speed: the shops' systems do not wait for the consoles, but their rate is
// bounded.
const underWay = 64

// scenario is one kind of load.
type scenario struct {
	name, help string
	floor      bool // the floor supports it
	once       bool // it does not depend on the transport
	peer       bool // a server that only forwards supports it
	run        func(ctx context.Context, s *site) error
}

func (s scenario) over(transports []string) []string {
	if s.once {
		return transports[:1]
	}
	return transports
}

var scenarios = []scenario{
	{"fanout", "one shop, 1000 consoles, 20 alerts a second: CPU per delivery, latency", true, false, true, fanout},
	{"flat", "the same as fast as it goes, 64 alerts under way", true, false, false, flat},
	{"shops", "250 shops of 4 consoles, as fast as it goes: CPU per 1000 alerts", true, false, false, shops},
	{"idle", "5000 consoles that hear nothing: memory of each", false, false, false, idle},
	{"others", "100 consoles of one shop, beside 100 and then 10000 of others: CPU per delivery", false, false, false, others},
	{"storm", "3000 consoles cut at once, all come back and catch up", false, false, false, storm},
	{"resume", "1000 consoles, 150 alerts, all cut for a second in the middle", false, false, false, resume},
	{"flood", "1000 consoles of one shop, publishers that wait for their answer only: 3000 alerts, then 20000", true, false, false, flood},
	{"absent", "500 consoles of one shop, away for 1000 alerts and then for 10000, all back at once; other shops' latency meanwhile", false, false, false, absent},
	{"restart", "15000 consoles in 1000 shops, back at once after a restart, 100 alerts behind", false, false, false, restart},
	{"callbacks", "signed payment callbacks: as fast as it goes against the bare writer, and 200 a second beside 5000 consoles", false, true, false, callbacks},
}

func fanout(ctx context.Context, s *site) error {
	consoles := sized(s.Consoles, 1000)
	if err := s.connect(ctx, consoles, sized(s.Shops, 1)); err != nil {
		return err
	}
	n, err := s.steady(ctx, sized(s.Rate, 20), sized(s.Duration, 10*time.Second))
	if err != nil {
		return err
	}
	return s.settle(ctx, n)
}

// steady sends alerts at a rate, waits until they have arrived and reports their
// cost and latency.
func (s *site) steady(ctx context.Context, rate int, d time.Duration) (deliveries int64, err error) {
	if err := s.warmUp(ctx); err != nil {
		return 0, err
	}
	load := s.newLoad(1)
	before := s.fleet.received.Load()
	alerts := max(1, int(float64(rate)*d.Seconds()))
	c, err := s.during(func() error {
		if err := load.atRate(ctx, alerts, rate); err != nil {
			return err
		}
		return s.fleet.await(ctx, "the alerts", func() bool { return s.fleet.received.Load() >= before+load.deliveries() })
	})
	if err != nil {
		return 0, err
	}
	n := load.deliveries()
	s.report("server_cpu_per_delivery", "µs", micros(c.server)/float64(n))
	s.report("client_cpu_per_delivery", "µs", micros(c.client)/float64(n))
	// The latency since the order system's request includes the commit, the disk and
	// the answer. The latency since the first console shows what the server and the
	// network add.
	p50, behind50 := s.fleet.latencyAt(0.50)
	p99, behind99 := s.fleet.latencyAt(0.99)
	s.report("latency_p50", "ms", millis(p50))
	s.report("latency_p99", "ms", millis(p99))
	s.report("answer_p99", "ms", millis(load.calls.quantile(0.99)))
	s.report("first_to_each_p50", "ms", millis(behind50))
	s.report("first_to_each_p99", "ms", millis(behind99))
	return before + n, nil
}

// warmUp sends a few uncounted alerts, so that memory, tables and statements are
// ready.
func (s *site) warmUp(ctx context.Context) error {
	load := s.newLoad(1)
	if err := load.flatOut(ctx, max(20, 2*s.shops)); err != nil {
		return err
	}
	n := s.fleet.received.Load
	if err := s.fleet.await(ctx, "the first alerts", func() bool { return n() >= load.deliveries() }); err != nil {
		return err
	}
	s.fleet.resetLatency()
	return nil
}

func flat(ctx context.Context, s *site) error {
	consoles := sized(s.Consoles, 1000)
	if err := s.connect(ctx, consoles, sized(s.Shops, 1)); err != nil {
		return err
	}
	// Some 2 million deliveries: seconds, for any number of consoles.
	alerts := sized(int(s.Duration.Seconds()*200_000)/consoles, max(200, 2_000_000/consoles))
	return s.flatOut(ctx, alerts, "server_cpu_per_delivery", "deliveries_per_second")
}

func shops(ctx context.Context, s *site) error {
	n := sized(s.Shops, 250)
	if err := s.connect(ctx, sized(s.Consoles, 4*n), n); err != nil {
		return err
	}
	alerts := sized(int(s.Duration.Seconds()*3000), 30_000)
	return s.flatOut(ctx, alerts, "server_cpu_per_1000_alerts", "alerts_per_second")
}

// flatOut sends alerts as fast as they are accepted and reports the two figures.
func (s *site) flatOut(ctx context.Context, alerts int, names ...string) error {
	if err := s.warmUp(ctx); err != nil {
		return err
	}
	load := s.newLoad(underWay)
	before := s.fleet.received.Load()
	c, err := s.during(func() error {
		if err := load.flatOut(ctx, alerts); err != nil {
			return err
		}
		return s.fleet.await(ctx, "the alerts", func() bool { return s.fleet.received.Load() >= before+load.deliveries() })
	})
	if err != nil {
		return err
	}
	n := float64(load.deliveries())
	for _, name := range names {
		switch name {
		case "server_cpu_per_delivery":
			s.report(name, "µs", micros(c.server)/n)
		case "server_cpu_per_1000_alerts":
			s.report(name, "ms", millis(c.server)/float64(alerts)*1000)
		case "deliveries_per_second":
			s.report(name, "/s", n/c.wall.Seconds())
		case "alerts_per_second":
			s.report(name, "/s", float64(alerts)/c.wall.Seconds())
		}
	}
	s.report("client_cpu_per_delivery", "µs", micros(c.client)/n)
	return s.settle(ctx, before+load.deliveries())
}

func idle(ctx context.Context, s *site) error {
	// The first connections allocate what all share.
	if err := s.connect(ctx, 100, 100); err != nil {
		return err
	}
	before, err := settledMemory(ctx, s.target.PID)
	if err != nil {
		return err
	}
	n := sized(s.Consoles, 5000)
	if err := s.connect(ctx, n, sized(s.Shops, n/4+1)); err != nil {
		return err
	}
	after, err := settledMemory(ctx, s.target.PID)
	if err != nil {
		return err
	}
	s.report("memory_per_console", "KiB", float64(after-before)/1024/float64(n))
	s.report("memory", "MiB", float64(after)/(1<<20))
	return nil
}

// others measures the cost of one shop's alerts beside few and beside many
// consoles of other shops. The cost of these consoles alone, their heartbeats, is
// measured first and subtracted.
func others(ctx context.Context, s *site) error {
	many := sized(s.Consoles, 10_000)
	few := max(1, min(100, many/2))
	own := few
	if err := s.connect(ctx, own, 1); err != nil {
		return err
	}
	elsewhere := func(i int) int64 { return firstShop + 1 + int64(i/4) }
	at := func(n int) (float64, error) {
		s.consoles = own + n
		if err := s.fleet.connect(ctx, n-(s.fleet.size()-own), elsewhere); err != nil {
			return 0, err
		}
		return s.ownCost(ctx, 100, sized(s.Duration, 10*time.Second))
	}
	alone, err := at(few)
	if err != nil {
		return err
	}
	s.report("server_cpu_per_delivery", "µs", alone)
	crowded, err := at(many)
	if err != nil {
		return err
	}
	s.against("server_cpu_per_delivery", "µs", crowded, alone)
	return s.settle(ctx, s.fleet.received.Load())
}

// ownCost returns the CPU per delivery to the first shop, less the CPU used when
// nothing is sent.
func (s *site) ownCost(ctx context.Context, rate int, d time.Duration) (float64, error) {
	quiet, err := s.during(func() error { return pause(ctx, d) })
	if err != nil {
		return 0, err
	}
	load := s.newLoad(1)
	load.shops = 1
	before := s.fleet.received.Load()
	c, err := s.during(func() error {
		if err := load.atRate(ctx, int(float64(rate)*d.Seconds()), rate); err != nil {
			return err
		}
		return s.fleet.await(ctx, "the alerts", func() bool { return s.fleet.received.Load() >= before+load.deliveries() })
	})
	perSecond := quiet.server.Seconds() / quiet.wall.Seconds()
	return (c.server.Seconds() - perSecond*c.wall.Seconds()) * 1e6 / float64(load.deliveries()), err
}

func storm(ctx context.Context, s *site) error {
	n := sized(s.Consoles, 3000)
	if err := s.connect(ctx, n, sized(s.Shops, n/4+1)); err != nil {
		return err
	}
	if err := s.warmUp(ctx); err != nil {
		return err
	}
	s.fleet.cut()
	load := s.newLoad(1)
	load.blind = true // no console is connected now
	if err := load.flatOut(ctx, s.shops); err != nil {
		return err
	}
	before := s.fleet.received.Load()
	c, err := s.during(func() error {
		if err := s.fleet.reconnect(ctx); err != nil {
			return err
		}
		return s.fleet.await(ctx, "what was missed", func() bool { return s.fleet.received.Load() >= before+int64(n) })
	})
	if err != nil {
		return err
	}
	s.report("all_back_and_caught_up", "s", c.wall.Seconds())
	s.report("server_cpu_per_console", "µs", micros(c.server)/float64(n))
	return s.settle(ctx, before+int64(n))
}

func resume(ctx context.Context, s *site) error {
	n := sized(s.Consoles, 1000)
	if err := s.connect(ctx, n, sized(s.Shops, 1)); err != nil {
		return err
	}
	if err := s.warmUp(ctx); err != nil {
		return err
	}
	const alerts, third = 150, 50
	before := s.fleet.received.Load()
	load := s.newLoad(1)
	rate := sized(s.Rate, 50)
	if err := load.atRate(ctx, third, rate); err != nil {
		return err
	}
	s.fleet.cut()
	load.blind = true
	if err := load.atRate(ctx, third, third); err != nil { // a second of it
		return err
	}
	start := time.Now()
	if err := s.fleet.reconnect(ctx); err != nil {
		return err
	}
	missed := before + int64((third+third)*n)
	if err := s.fleet.await(ctx, "what was missed", func() bool { return s.fleet.received.Load() >= missed }); err != nil {
		return err
	}
	s.report("caught_up_after", "s", time.Since(start).Seconds())
	load.blind = false
	if err := load.atRate(ctx, third, rate); err != nil {
		return err
	}
	return s.settle(ctx, before+int64(alerts*n))
}

// callbacks pays orders with callbacks; the orders were created and the callbacks
// signed before the clock starts.
func callbacks(ctx context.Context, s *site) error {
	if s.target.Payments == nil {
		return errors.New("the server takes no simulated payments (see pay.trial)")
	}
	n := sized(int(s.Duration.Seconds()*1200), 12_000)
	bare, err := s.BareWriter(ctx, n, maxCallers)
	if err != nil {
		return fmt.Errorf("the bare writer: %w", err)
	}
	sent, err := s.order(ctx, n)
	if err != nil {
		return err
	}
	var took []time.Duration
	c, err := s.during(func() (err error) {
		took, err = s.send(ctx, sent, 0)
		return err
	})
	if err != nil {
		return err
	}
	s.report("bare_writer", "/s", float64(n)/bare.Seconds())
	s.against("callbacks_per_second", "/s", float64(n)/c.wall.Seconds(), float64(n)/bare.Seconds())
	s.report("server_cpu_per_callback", "µs", micros(c.server)/float64(n))
	s.report("flat_out_p99", "ms", millis(quantile(took, 0.99)))
	return s.callbacksBesideConsoles(ctx)
}

// callbacksBesideConsoles pays at the shops of many listening consoles, like a
// platform's evening.
func (s *site) callbacksBesideConsoles(ctx context.Context) error {
	n := sized(s.Consoles, 5000)
	if err := s.connect(ctx, n, sized(s.Shops, n/4+1)); err != nil {
		return err
	}
	rate, d := sized(s.Rate, 200), sized(s.Duration, 10*time.Second)
	sent, err := s.order(ctx, int(float64(rate)*d.Seconds()))
	if err != nil {
		return err
	}
	before := s.fleet.received.Load()
	took, err := s.send(ctx, sent, rate)
	if err != nil {
		return err
	}
	s.report("callback_p50", "ms", millis(quantile(took, 0.50)))
	s.report("callback_p99", "ms", millis(quantile(took, 0.99)))
	paid := load{site: s, shops: s.shops}
	paid.sent.Store(int64(len(sent)))
	return s.settle(ctx, before+paid.deliveries())
}

func quantile(d []time.Duration, q float64) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
