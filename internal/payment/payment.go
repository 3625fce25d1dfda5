// Package payment verifies providers' callbacks and reads what they tell.
package payment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"doorbell/internal/doorbell"
)

// MaxBody bounds a callback's body: WeChat's are about 1.5 KiB.
const MaxBody = 64 << 10

// Verifier checks and reads one provider's callbacks.
//
//   - It never trusts a byte before the signature holds.
//   - A callback that does not pass is a *Forgery. What it says is for
//     counting; it holds nothing of the body.
//   - A genuine one that is not for us, or is no success, is a Notice with a
//     Refusal.
//   - It never panics, whatever the bytes.
type Verifier interface {
	Provider() string
	Verify(ctx context.Context, header http.Header, body []byte) (doorbell.Notice, error)
}

// Forgery is why a callback did not pass.
type Forgery struct{ Reason string }

func (f *Forgery) Error() string { return "callback not genuine: " + f.Reason }

func forged(reason string) error { return &Forgery{Reason: reason} }

// bodyHash is how a body is told from another in the inbox.
func bodyHash(body []byte) string {
	h := sha256.Sum256(body)
	return hex.EncodeToString(h[:])
}

// Gate verifies on a bounded pool and counts what does not pass: a flood of
// forgeries costs neither disk nor the writer its turn.
type Gate struct {
	verifier Verifier
	slots    chan struct{}

	mu     sync.Mutex
	counts map[string]int64
	recent []Rejected
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
)

// NewGate bounds the verifications of v that run at once to what the machine
// has cores for.
func NewGate(v Verifier) *Gate {
	return &Gate{verifier: v, slots: make(chan struct{}, 2*runtime.GOMAXPROCS(0)), counts: map[string]int64{}}
}

// ErrBusy says that no place came free in time.
var ErrBusy = errors.New("too many callbacks are being verified")

// Verify runs the verifier. remote is for the record of what did not pass.
func (g *Gate) Verify(ctx context.Context, header http.Header, body []byte, remote string) (n doorbell.Notice, err error) {
	timer := time.NewTimer(verifyWait)
	defer timer.Stop()
	select {
	case g.slots <- struct{}{}:
	case <-timer.C:
		return doorbell.Notice{}, ErrBusy
	case <-ctx.Done():
		return doorbell.Notice{}, ctx.Err()
	}
	n, err = g.guarded(ctx, header, body)
	<-g.slots
	if f, ok := errors.AsType[*Forgery](err); ok {
		g.count(f.Reason, remote)
	}
	return n, err
}

// guarded turns a panic into a forgery: WeChat's SDK panics on a signed body
// without resource and on a nonce that is not 12 bytes.
func (g *Gate) guarded(ctx context.Context, header http.Header, body []byte) (n doorbell.Notice, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("verify %s: %w", g.verifier.Provider(), forged("malformed"))
		}
	}()
	return g.verifier.Verify(ctx, header, body)
}

// Note counts a callback that did not get as far as the verifier.
func (g *Gate) Note(reason, remote string) { g.count(reason, remote) }

func (g *Gate) count(reason, remote string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counts[reason]++
	if len(g.recent) == maxRejected {
		g.recent = g.recent[1:]
	}
	g.recent = append(g.recent, Rejected{Provider: g.verifier.Provider(), Reason: reason, Remote: remote, At: time.Now()})
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
