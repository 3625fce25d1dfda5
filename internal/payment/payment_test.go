package payment

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slowVerifier rejects every callback after it is released, and counts how many it
// holds.
type slowVerifier struct {
	let  chan struct{}
	now  atomic.Int64
	most atomic.Int64
}

func (*slowVerifier) Provider() string { return "test" }

func (v *slowVerifier) Verify(context.Context, http.Header, []byte) (doorbell.Notice, error) {
	n := v.now.Add(1)
	defer v.now.Add(-1)
	for most := v.most.Load(); n > most && !v.most.CompareAndSwap(most, n); most = v.most.Load() {
	}
	<-v.let
	return doorbell.Notice{}, Forged("signature")
}

// TestGateIsBounded: callbacks of a flood are verified a few at a time, those
// without a place get ErrBusy, and the memory of them is bounded.
func TestGateIsBounded(t *testing.T) {
	testrun.Bubble(t, func(t *testing.T) {
		v := &slowVerifier{let: make(chan struct{})}
		g := NewGate(v)
		places := int64(2 * runtime.GOMAXPROCS(0))
		var busy atomic.Int64
		var wg sync.WaitGroup
		for range places + 10 {
			wg.Go(func() {
				if _, err := g.Verify(t.Context(), nil, nil, "flood"); errors.Is(err, ErrBusy) {
					busy.Add(1)
				}
			})
		}
		time.Sleep(verifyWait + time.Second) // virtual time; those without a place give up
		if busy.Load() != 10 {
			t.Errorf("%d got ErrBusy, want 10", busy.Load())
		}
		close(v.let)
		wg.Wait()
		if v.most.Load() > places {
			t.Errorf("%d were verified at once, want at most %d", v.most.Load(), places)
		}
		for range 1200 {
			g.Note("body_too_large", "flood")
		}
		if n := len(g.Recent()); n != maxRejected {
			t.Errorf("%d are remembered, want %d", n, maxRejected)
		}
		if got := g.Rejections(); got["body_too_large"] != 1200 || got["signature"] != places+10-busy.Load() {
			t.Errorf("counted %v with %d rejected, want all", got, busy.Load())
		}
	})
}
