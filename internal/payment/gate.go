package payment

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"doorbell/internal/doorbell"
)

// Gate verifies on a bounded pool and counts what does not pass: a flood of
// forgeries costs neither disk nor the writer its turn. A source that sends
// many is not shut out, for the provider may come from the same address, behind
// a proxy; its callbacks share one place, so that they can't take all of them.
type Gate struct {
	provider string
	verifier atomic.Pointer[Verifier]
	slots    chan struct{} // for sources in good standing
	narrow   chan struct{} // for the others

	mu      sync.Mutex
	counts  map[string]int64
	recent  []Rejected
	sources map[netip.Addr]standing
	swept   time.Time // when the old ones were last taken out of a full map
}

// standing is how many forgeries came from one source since a time.
type standing struct {
	forgeries int
	since     time.Time
}

// Rejected is one callback that did not pass, kept in memory only.
type Rejected struct {
	Provider string
	Reason   string
	Remote   string
	At       time.Time
}

const (
	// maxRejected is how many of them are kept.
	maxRejected = 1000
	// verifyWait is how long a callback may wait for a place: a provider
	// comes again, and wants an answer within seconds.
	verifyWait = 2 * time.Second
	// A source with more forgeries than this in standingTime goes through the
	// narrow lane until the time is over. WeChat's probes are one at a time.
	maxForgeries = 20
	standingTime = time.Minute
	// maxSources bounds the sources that are remembered; those beyond are
	// taken to be in good standing.
	maxSources = 10_000
)

// NewGate bounds the verifications of v that run at once to what the machine
// has cores for.
func NewGate(v Verifier) *Gate {
	g := &Gate{
		provider: v.Provider(), slots: make(chan struct{}, 2*runtime.GOMAXPROCS(0)), narrow: make(chan struct{}, 1),
		counts: map[string]int64{}, sources: map[netip.Addr]standing{},
	}
	g.Replace(v)
	return g
}

// Replace puts another verifier of the same provider in the place of the one
// in use: the keys were read again.
func (g *Gate) Replace(v Verifier) { g.verifier.Store(&v) }

// ErrBusy says that no place came free in time.
var ErrBusy = errors.New("too many callbacks are being verified")

// Verify runs the verifier. remote is for the record of what did not pass.
func (g *Gate) Verify(ctx context.Context, header http.Header, body []byte, remote string) (n doorbell.Notice, err error) {
	lane := g.slots
	if g.suspect(remote, time.Now()) {
		lane = g.narrow
	}
	timer := time.NewTimer(verifyWait)
	defer timer.Stop()
	select {
	case lane <- struct{}{}:
	case <-timer.C:
		return doorbell.Notice{}, ErrBusy
	case <-ctx.Done():
		return doorbell.Notice{}, ctx.Err()
	}
	n, err = g.guarded(ctx, header, body)
	<-lane
	if f, ok := errors.AsType[*Forgery](err); ok {
		g.Note(f.Reason, remote)
	}
	return n, err
}

// guarded turns a panic into a forgery: WeChat's SDK panics on a signed body
// without resource and on a nonce that is not 12 bytes.
func (g *Gate) guarded(ctx context.Context, header http.Header, body []byte) (n doorbell.Notice, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("verify %s: %w", g.provider, forged("malformed"))
		}
	}()
	return (*g.verifier.Load()).Verify(ctx, header, body)
}

// source is who is counted: an address, and of IPv6 the network, which is what
// one customer of a provider is given.
func source(remote string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(remote)
	if err != nil {
		return a, false
	}
	if a = a.Unmap().WithZone(""); a.Is6() {
		p, err := a.Prefix(64)
		return p.Addr(), err == nil
	}
	return a, true
}

func (g *Gate) suspect(remote string, now time.Time) bool {
	from, ok := source(remote)
	if !ok {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.sources[from]
	return s.forgeries > maxForgeries && now.Sub(s.since) < standingTime
}

// Note counts a callback that did not pass.
func (g *Gate) Note(reason, remote string) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counts[reason]++
	if len(g.recent) == maxRejected {
		g.recent = g.recent[1:]
	}
	g.recent = append(g.recent, Rejected{Provider: g.provider, Reason: reason, Remote: remote, At: now})
	if from, ok := source(remote); ok {
		g.blame(from, now)
	}
}

// blame counts against a source. Needs g.mu.
func (g *Gate) blame(from netip.Addr, now time.Time) {
	s, known := g.sources[from]
	if !known && len(g.sources) >= maxSources {
		if now.Sub(g.swept) < time.Second {
			return
		}
		g.swept = now
		for a, old := range g.sources {
			if now.Sub(old.since) >= standingTime {
				delete(g.sources, a)
			}
		}
		if len(g.sources) >= maxSources {
			return
		}
	}
	if now.Sub(s.since) >= standingTime {
		s = standing{since: now}
	}
	s.forgeries++
	g.sources[from] = s
}

// Recent are the last callbacks that did not pass, oldest first, at most 1,000.
func (g *Gate) Recent() []Rejected {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.recent)
}

// Rejections is how many callbacks did not pass, by reason.
func (g *Gate) Rejections() map[string]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[string]int64, len(g.counts))
	for reason, n := range g.counts {
		out[reason] = n
	}
	return out
}
