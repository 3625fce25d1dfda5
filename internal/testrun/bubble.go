package testrun

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

var bubbles struct {
	sync.Mutex
	n, procs int
}

// Bubble runs a test in virtual time, as synctest.Test does, on one processor. On two, a
// timer that is due at once runs in the race detector's context of the whole bubble,
// and two of them at the same time end the process (golang/go#78156, Go 1.26).
func Bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	bubbles.Lock()
	if bubbles.n++; bubbles.n == 1 {
		bubbles.procs = runtime.GOMAXPROCS(1)
	}
	bubbles.Unlock()
	defer func() {
		bubbles.Lock()
		defer bubbles.Unlock()
		if bubbles.n--; bubbles.n == 0 {
			runtime.GOMAXPROCS(bubbles.procs)
		}
	}()
	synctest.Test(t, f)
}
