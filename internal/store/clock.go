package store

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// clockEvery is how often the database's clock is read on a server.
	clockEvery = 15 * time.Second
	// apart is the difference from which on a node uses the database's clock: clocks
	// that are kept right differ by less, and then nothing is gained.
	apart = 500 * time.Millisecond
	// slowClock is the longest answer that says something about a clock.
	slowClock = 2 * time.Second
)

// clock tells the time that all nodes of a database share.
type clock struct {
	machine func() time.Time
	ahead   atomic.Int64 // of this machine's clock, in milliseconds
}

func (c *clock) now() time.Time { return c.machine().Add(c.lead()) }

func (c *clock) lead() time.Duration { return time.Duration(c.ahead.Load()) * time.Millisecond }

// Now returns the time by the clock that all nodes share: the database's if it is
// on a server, else this machine's. Every time that is stored, and every time that
// a stored one is compared with, comes from it.
func (s *Store) Now() time.Time { return s.clock.now() }

// Ahead returns how far the clock of Now is ahead of this machine's.
func (s *Store) Ahead() time.Duration { return s.clock.lead() }

// readClock compares this machine's clock with the server's.
func (s *Store) readClock(ctx context.Context) error {
	began := s.clock.machine()
	var at int64
	if err := s.reads.one(ctx, `select `+s.dialect.clock).Scan(&at); err != nil {
		return err
	}
	took := s.clock.machine().Sub(began)
	if took < 0 || took > slowClock {
		return nil // says nothing: the next one does
	}
	ahead := instant(at).Sub(began.Add(took / 2))
	if ahead.Abs() < apart+took/2 {
		ahead = 0
	}
	before := s.clock.lead()
	s.clock.ahead.Store(ahead.Milliseconds())
	if (before - ahead).Abs() >= apart {
		s.log.WarnContext(ctx, "this machine's clock differs from the database's, which is used", "ahead", -ahead.Round(time.Millisecond))
	}
	return nil
}

// keepClock reads the server's clock until ctx ends.
func (s *Store) keepClock(ctx context.Context) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := s.readClock(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "the database's clock was not read", "error", err)
		}
	}
}
