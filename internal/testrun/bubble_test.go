package testrun

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestBubble: timers that are due at once, from many goroutines, don't end the process
// under the race detector, and the processors are given back.
func TestBubble(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	for range 20 {
		Bubble(t, func(*testing.T) {
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for range 100 {
						time.AfterFunc(0, func() {})
					}
				})
			}
			all.Wait()
		})
	}
	if now := runtime.GOMAXPROCS(0); now != before {
		t.Errorf("%d processors after, %d before", now, before)
	}
}
