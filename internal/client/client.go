// Package client follows a doorbell server from Go: over WebSocket, SSE or
// long poll, from a cursor on, every alert once.
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"doorbell/internal/doorbell"
)

// Options of Follow.
type Options struct {
	URL       string // the server, ending in /
	Token     string
	Transport string // ws, sse or poll
	Shops     string // as in the query: 1,2
	After     string // a cursor, 0, or empty for now
	// Alert gets each alert once, in order; Event the rest. Neither is called
	// from two goroutines.
	Alert func(alert []byte)
	Event func(name string, data []byte)
	TLS   *tls.Config // nil: as any client does
}

const (
	firstWait = 500 * time.Millisecond
	maxWait   = 15 * time.Second
	// silence is how long nothing may come: two heartbeats and a half.
	silence = 40 * time.Second
	maxLine = 1 << 20
	// maxAfter bounds what a server may ask for.
	maxAfter = 5 * time.Minute
)

var errStopping = errors.New("the server is stopping")

// follower is one Follow.
type follower struct {
	Options
	client *http.Client
	cursor doorbell.Cursor
	known  bool          // the cursor was told by the server
	wait   time.Duration // the longest that is waited before the next try
	asked  time.Duration // what the server asked for in its bye; 0: nothing
	ended  error         // why the server ends the stream for good; nil: it does not
}

// steady is how long a connection must have stood to count as one that works:
// a server that says hello and cuts must not be dialled anew at once for ever.
const steady = 30 * time.Second

// Follow runs until ctx ends or the server refuses for good. It reconnects
// with jitter, each time later, and resumes where it was.
func Follow(ctx context.Context, o Options) error {
	f := &follower{Options: o, wait: firstWait, client: &http.Client{Transport: Way(o.TLS)}}
	if c, err := doorbell.ParseCursor(o.After); err == nil {
		f.cursor, f.known = c, true
	}
	once := map[string]func(context.Context) error{"ws": f.webSocket, "sse": f.events, "poll": f.poll}[o.Transport]
	if once == nil {
		return fmt.Errorf("transport %q is none of ws, sse, poll", o.Transport)
	}
	for {
		began := time.Now()
		f.asked = 0
		err := once(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to end
		}
		if err = f.final(err); err != nil {
			if _, ok := errors.AsType[*Refused](err); ok {
				return err
			}
		}
		pause := f.pause(err, time.Since(began))
		if err != nil {
			o.Event("offline", fmt.Appendf(nil, "%v; again in %v", err, pause.Round(100*time.Millisecond)))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// pause returns how long to wait before the next try.
func (f *follower) pause(err error, stood time.Duration) time.Duration {
	if err == nil { // a poll that was answered: the next one at once
		f.wait = firstWait
		return 0
	}
	if stood >= steady {
		f.wait = firstWait
	}
	// At least half of it: nobody comes again at once.
	pause := f.wait/2 + rand.N(f.wait/2)
	f.wait = min(2*f.wait, maxWait)
	asked := f.asked
	if l, ok := errors.AsType[*later](err); ok {
		asked = max(asked, l.after)
	}
	return max(pause, asked)
}
