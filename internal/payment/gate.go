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

// Gate verifies callbacks on a bounded pool and counts the rejected ones: a flood
// of forgeries costs no disk space and no turn of the writer. A source that sends
// many is not blocked, because the provider may use the same address behind a
// proxy; its callbacks share one place, so that they can't take all.
type Gate struct {
	provider string
	verifier atomic.Pointer[Verifier]
	slots    chan struct{} // for sources with few forgeries
	narrow   chan struct{} // for the others, one place

	mu      sync.Mutex
	counts  map[string]int64
	recent  []Rejected
	sources map[netip.Addr]standing
	swept   time.Time // when expired entries were last removed from a full map
}

// standing counts the forgeries from one source since a time.
type standing struct {
	forgeries int
	since     time.Time
}

// Rejected is a rejected callback; it is kept in memory only.
type Rejected struct {
	Provider string
	Reason   string
	Remote   string
	At       time.Time
}

const (
	// maxRejected is how many rejected callbacks are kept.
	maxRejected = 1000
	// verifyWait is how long a callback may wait for a place: a provider wants an
	// answer within seconds, and calls again.
	verifyWait = 2 * time.Second
	// A source with more forgeries than this within standingTime goes through the
	// narrow lane until that time is over. WeChat's probes come one at a time.
	maxForgeries = 20
	standingTime = time.Minute
	// maxSources bounds the sources that are remembered; further ones count as
	// sources with few forgeries.
	maxSources = 10_000
)

// NewGate limits concurrent verifications by v to the number of cores.
func NewGate(v Verifier) *Gate {
	g := &Gate{
		provider: v.Provider(), slots: make(chan struct{}, 2*runtime.GOMAXPROCS(0)), narrow: make(chan struct{}, 1),
		counts: map[string]int64{}, sources: map[netip.Addr]standing{},
	}
	g.Replace(v)
	return g
}

// Replace replaces the verifier by another one of the same provider, after the
// keys were read again.
func (g *Gate) Replace(v Verifier) { g.verifier.Store(&v) }

// ErrBusy says that no place became free in time.
var ErrBusy = errors.New("too many callbacks are being verified")

// Verify runs the verifier. remote is recorded for a rejected callback.
func (g *Gate) Verify(ctx context.Context, header http.Header, body []byte, remote string) (n doorbell.Notice, err error) {
	return g.VerifyFor(ctx, "", header, body, remote)
}

// Has reports whether a callback's path may name this account.
func (g *Gate) Has(account string) bool {
	group, ok := (*g.verifier.Load()).(*Group)
	return ok && account != "" && group.Has(account)
}

// VerifyFor verifies a callback whose path names an account, or none if empty.
func (g *Gate) VerifyFor(ctx context.Context, account string, header http.Header, body []byte, remote string) (n doorbell.Notice, err error) {
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
	n, err = g.guarded(ctx, account, header, body)
	<-lane
	if f, ok := errors.AsType[*Forgery](err); ok {
		g.Note(f.Reason, remote)
	}
	return n, err
}

// guarded turns a panic into a Forgery: a library that panics on received bytes
// must not end the server.
func (g *Gate) guarded(ctx context.Context, account string, header http.Header, body []byte) (n doorbell.Notice, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("verify %s: %w", g.provider, Forged("malformed"))
		}
	}()
	v := *g.verifier.Load()
	if group, ok := v.(*Group); ok && account != "" {
		return group.VerifyFor(ctx, account, header, body)
	}
	return v.Verify(ctx, header, body)
}

// source returns what forgeries are counted by: the address, or for IPv6 the
// network, because one customer is given a whole network.
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

// Note counts a rejected callback.
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

// blame counts a forgery against its source. Needs g.mu.
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

// Recent returns the last rejected callbacks, oldest first, at most 1,000.
func (g *Gate) Recent() []Rejected {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.recent)
}

// Rejections returns the number of rejected callbacks by reason.
func (g *Gate) Rejections() map[string]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[string]int64, len(g.counts))
	for reason, n := range g.counts {
		out[reason] = n
	}
	return out
}
