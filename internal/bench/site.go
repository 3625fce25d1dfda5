//go:build linux

package bench

import (
	"context"
	"fmt"
	"time"
)

// site is a target with its consoles and callers.
type site struct {
	*round
	target  Target
	fleet   *fleet
	callers []*caller
	figures []Figure
	faults  int
	seqs    map[int64]int64 // for a target without numbers

	consoles, shops int
	away            int64 // offset of its shops from firstShop
}

func (s *site) close() {
	if s.fleet != nil {
		s.fleet.close()
	}
	for _, c := range s.callers {
		c.close()
	}
}

// sized returns the requested size, or the scenario's default.
func sized[T ~int | ~int64](asked, own T) T {
	if asked > 0 {
		return asked
	}
	return own
}

// connect connects n consoles, spread over the shops from firstShop on, and waits
// until each knows its position.
func (s *site) connect(ctx context.Context, n, shops int) error {
	if s.fleet == nil {
		f, err := newFleet(s.target, s.transport)
		if err != nil {
			return err
		}
		s.fleet = f
	}
	shops = min(shops, n) // every shop needs a console
	s.consoles, s.shops = s.consoles+n, max(s.shops, shops)
	return s.fleet.connect(ctx, n, func(i int) int64 { return s.shop(int64(i % shops)) })
}

// shop returns the site's i-th shop.
func (s *site) shop(i int64) int64 { return firstShop + s.away + i }

// report records a figure of this site.
func (s *site) report(name, unit string, value float64) {
	s.figures = append(s.figures, Figure{
		Run: s.number, Scenario: s.scenario.name, Transport: s.transport, Consoles: s.consoles, Shops: s.shops, Name: name, Unit: unit, Value: value,
	})
}

// against records a figure with a baseline other than the floor.
func (s *site) against(name, unit string, value, baseline float64) {
	s.report(name, unit, value)
	s.figures[len(s.figures)-1].Ratio = value / baseline
}

// settle waits until every console has every alert of its shop, and records the
// faults.
func (s *site) settle(ctx context.Context, deliveries int64) error {
	err := s.fleet.await(ctx, "the last alert", func() bool { return s.fleet.received.Load() >= deliveries })
	lost, doubled, reordered, cut := s.fleet.faultsOf(deliveries)
	s.report("lost", "alerts", float64(lost))
	s.report("doubled", "alerts", float64(doubled))
	s.report("reordered", "alerts", float64(reordered))
	s.faults += int(lost + doubled + reordered)
	if cut > 0 {
		return fmt.Errorf("the server ended %d consoles' connections", cut)
	}
	return err
}

// cost is the resources that the two processes used in a time span.
type cost struct {
	wall, server, client time.Duration
}

// during runs work and measures its cost.
func (s *site) during(work func() error) (c cost, err error) {
	before, err := processCPU(s.target.PID)
	if err != nil {
		return c, err
	}
	own, start := ownCPU(), time.Now()
	if err := work(); err != nil {
		return c, err
	}
	c.wall, c.client = time.Since(start), ownCPU()-own
	after, err := processCPU(s.target.PID)
	c.server = after - before
	return c, err
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
