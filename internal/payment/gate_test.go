package payment

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
)

// slow takes a second for each callback, and passes none that says no.
type slow struct{ now, most atomic.Int64 }

func (*slow) Provider() string { return "slow" }

func (s *slow) Verify(_ context.Context, h http.Header, _ []byte) (doorbell.Notice, error) {
	if h.Get("X") == "forged" {
		return doorbell.Notice{}, forged("signature")
	}
	n := s.now.Add(1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	time.Sleep(time.Second)
	s.now.Add(-1)
	return doorbell.Notice{}, nil
}

// TestSuspectsShareOnePlace: who sent many forgeries is verified one at a time,
// until a minute is over; nobody else waits for it.
func TestSuspectsShareOnePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &slow{}
		g := NewGate(v)
		forge := func(from string, n int) {
			for range n {
				if _, err := g.Verify(t.Context(), http.Header{"X": {"forged"}}, nil, from); err == nil {
					t.Error("a forgery passed")
				}
			}
		}
		// most is how many of a source's callbacks are verified at once.
		most := func(from string) int64 {
			v.most.Store(0)
			var all sync.WaitGroup
			for range cap(g.slots) {
				all.Go(func() { _, _ = g.Verify(t.Context(), nil, nil, from) }) // some are too late
			}
			all.Wait()
			return v.most.Load()
		}
		forge("203.0.113.1", maxForgeries)
		if n := most("203.0.113.1"); n != int64(cap(g.slots)) {
			t.Errorf("after %d forgeries %d at once, want all places", maxForgeries, n)
		}
		forge("203.0.113.1", 1)
		forge("2001:db8::1", maxForgeries+1)
		for from, want := range map[string]int64{
			"203.0.113.1": 1, "203.0.113.2": int64(cap(g.slots)), "2001:db8::ffff": 1, "2001:db8:0:1::1": int64(cap(g.slots)), "no address": int64(cap(g.slots)),
		} {
			if n := most(from); n != want {
				t.Errorf("from %s %d at once, want %d", from, n, want)
			}
		}
		time.Sleep(standingTime)
		if n := most("203.0.113.1"); n != int64(cap(g.slots)) {
			t.Errorf("a minute later %d at once, want all places", n)
		}
	})
}

// TestSourcesAreBounded: a flood from everywhere is not remembered for ever.
func TestSourcesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(&slow{})
		for i := range 3 * maxSources {
			if i == 2*maxSources {
				time.Sleep(standingTime)
			}
			g.Note("signature", fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))
		}
		if n := len(g.sources); n == 0 || n > maxSources {
			t.Errorf("%d sources are remembered, want at most %d", n, maxSources)
		}
		if n := len(g.Recent()); n != maxRejected {
			t.Errorf("%d rejected ones are kept, want %d", n, maxRejected)
		}
		time.Sleep(standingTime)
		for i := range maxForgeries + 1 { // there is room again for who comes now
			g.Note(fmt.Sprint(i), "192.0.2.1")
		}
		if !g.suspect("192.0.2.1", time.Now()) {
			t.Error("a source that came after the flood is not known")
		}
	})
}
