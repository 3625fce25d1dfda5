package payment

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// slow takes a second for each callback and rejects those whose header X is
// "forged".
type slow struct{ now, most atomic.Int64 }

func (*slow) Provider() string { return "slow" }

func (s *slow) Verify(_ context.Context, h http.Header, _ []byte) (doorbell.Notice, error) {
	if h.Get("X") == "forged" {
		return doorbell.Notice{}, Forged("signature")
	}
	n := s.now.Add(1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	time.Sleep(time.Second)
	s.now.Add(-1)
	return doorbell.Notice{}, nil
}

// TestSuspectsShareOnePlace: callbacks of a source that sent many forgeries are
// verified one at a time for a minute; no other source waits for them.
func TestSuspectsShareOnePlace(t *testing.T) {
	testrun.Bubble(t, func(t *testing.T) {
		v := &slow{}
		g := NewGate(v)
		forge := func(from string, n int) {
			for range n {
				if _, err := g.Verify(t.Context(), http.Header{"X": {"forged"}}, nil, from); err == nil {
					t.Error("a forgery passed")
				}
			}
		}
		// most returns how many callbacks of a source are verified at once.
		most := func(from string) int64 {
			v.most.Store(0)
			var all sync.WaitGroup
			for range cap(g.slots) {
				all.Go(func() { _, _ = g.Verify(t.Context(), nil, nil, from) }) // some get no place in time
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

// stumbling panics over a callback, as WeChat Pay's SDK does over a notice without a
// resource.
type stumbling struct{ slow }

func (*stumbling) Verify(context.Context, http.Header, []byte) (doorbell.Notice, error) {
	panic("a nonce of 11 bytes")
}

// TestAPanicIsAForgery: a library that panics over foreign bytes neither ends the
// server nor keeps a place; the callback counts as a forgery.
func TestAPanicIsAForgery(t *testing.T) {
	g := NewGate(&stumbling{})
	for range cap(g.slots) + 1 {
		_, err := g.Verify(t.Context(), nil, nil, "203.0.113.1")
		if f, ok := errors.AsType[*Forgery](err); !ok || f.Reason != "malformed" {
			t.Fatalf("got %v, want a forgery", err)
		}
	}
	if n := g.Rejections()["malformed"]; n != int64(cap(g.slots)+1) {
		t.Errorf("%d are counted, want %d", n, cap(g.slots)+1)
	}
}

// TestSourcesAreBounded: the memory of a flood from many addresses is bounded and
// ends.
func TestSourcesAreBounded(t *testing.T) {
	testrun.Bubble(t, func(t *testing.T) {
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
		for i := range maxForgeries + 1 { // there is room again for new sources
			g.Note(fmt.Sprint(i), "192.0.2.1")
		}
		if !g.suspect("192.0.2.1", time.Now()) {
			t.Error("a source that came after the flood is not remembered")
		}
	})
}
