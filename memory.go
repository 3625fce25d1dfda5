package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"
)

const (
	// gcPercent is how much garbage may lie beside what is in use. Most of what
	// this program holds are connections that are idle, and each alert makes
	// little garbage: half of Go's default costs no CPU that can be measured.
	gcPercent = 50
	// crowd is how many consoles have to come or go for it to be worth the
	// while, and calm how long nobody may have done so.
	crowd = 500
	calm  = time.Second
)

// boundGarbage sets the collector, unless the environment does (GOGC,
// GOMEMLIMIT).
func boundGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// giveBack returns memory to the system when a crowd has come or gone: what a
// storm of handshakes took would stay in the process for minutes.
func (a *app) giveBack(ctx context.Context) error {
	tick := time.NewTicker(calm)
	defer tick.Stop()
	last, given := 0, 0
	for {
		select {
		case <-tick.C:
			n := a.hub.Count()
			if apart(n, given) >= crowd && apart(n, last) < crowd/100 {
				debug.FreeOSMemory()
				given = n
			}
			last = n
		case <-ctx.Done():
			return nil
		}
	}
}

func apart(a, b int) int { return max(a-b, b-a) }
