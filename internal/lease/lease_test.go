package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/testrun"
)

// memory is a database of one lease.
type memory struct {
	mu     sync.Mutex
	holder string
	until  time.Time
	down   bool
	slow   time.Duration // how long an answer takes
}

func (b *memory) Lease(_ context.Context, _, holder string, until time.Time) (bool, error) {
	b.mu.Lock()
	slow := b.slow
	b.mu.Unlock()
	time.Sleep(slow)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return false, errors.New("the database is down")
	}
	if b.holder != "" && b.holder != holder && !b.until.Before(time.Now()) {
		return false, nil
	}
	b.holder, b.until = holder, until
	return true, nil
}

func (b *memory) Release(_ context.Context, _, holder string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.holder == holder {
		b.holder = ""
	}
	return nil
}

// shift notes who works.
type shift struct {
	mu      sync.Mutex
	working string
	twice   int
	began   int
}

func (s *shift) work(name string) func(context.Context) {
	return func(ctx context.Context) {
		s.mu.Lock()
		if s.working != "" {
			s.twice++
		}
		s.working = name
		s.began++
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		s.working = ""
		s.mu.Unlock()
	}
}

func (s *shift) who() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.working
}

// TestOneWorksAtATime: five keepers come and go over an hour while the database
// is down, or slow, at times of chance. Never do two work, and whenever it is
// well for a while somebody does.
func TestOneWorksAtATime(t *testing.T) {
	testrun.Bubble(t, func(t *testing.T) {
		b, s := &memory{}, &shift{}
		ctx, stopAll := context.WithCancel(t.Context())
		var running sync.WaitGroup
		start := func(i int) context.CancelFunc {
			ctx, stop := context.WithCancel(ctx)
			k := Keeper{Store: b, Name: "work", Holder: fmt.Sprint(i), Log: slog.New(slog.DiscardHandler)}
			running.Go(func() { k.Run(ctx, s.work(k.Holder)) })
			return stop
		}
		stops := map[int]context.CancelFunc{}
		for i := range 5 {
			stops[i] = start(i)
		}
		next := 5
		for range 200 {
			switch rand.N(4) {
			case 0: // one goes, another comes
				for i, stop := range stops {
					stop()
					delete(stops, i)
					break
				}
				stops[next] = start(next)
				next++
			case 1:
				b.mu.Lock()
				b.down = true
				b.mu.Unlock()
			case 2:
				b.mu.Lock()
				b.slow = rand.N(2 * Time)
				b.mu.Unlock()
			}
			time.Sleep(rand.N(30 * time.Second))
			b.mu.Lock()
			b.down, b.slow = false, 0
			b.mu.Unlock()
			if rand.N(3) == 0 {
				time.Sleep(4 * Time)
				if s.who() == "" {
					t.Error("nobody works")
				}
			}
		}
		stopAll()
		running.Wait()
		if s.twice > 0 || s.began < 2 {
			t.Errorf("two worked %d times; %d began", s.twice, s.began)
		}
	})
}

// TestALeaseGivenBack: the next one begins as soon as it looks.
func TestALeaseGivenBack(t *testing.T) {
	testrun.Bubble(t, func(t *testing.T) {
		b, s := &memory{}, &shift{}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		begin := func(ctx context.Context, name string) {
			running.Go(func() {
				Keeper{Store: b, Name: "work", Holder: name, Log: slog.New(slog.DiscardHandler)}.Run(ctx, s.work(name))
			})
			time.Sleep(time.Second)
		}
		first, stopFirst := context.WithCancel(ctx)
		begin(first, "one")
		begin(ctx, "two")
		if s.who() != "one" {
			t.Fatalf("%q works, want one", s.who())
		}
		stopFirst()
		time.Sleep(renewEvery)
		synctest.Wait()
		if s.who() != "two" {
			t.Errorf("%q works, want two", s.who())
		}
		stop()
		running.Wait()
	})
}
