package handlers

import (
	"fmt"
	"testing"
	"time"
)

// TestPace: the rate over time is the configured one, and the remembered holders
// are bounded.
func TestPace(t *testing.T) {
	p := perSecond("polls_per_second", 5)
	start := time.Unix(1_000_000, 0)
	allowed := 0
	for i := range 6000 { // a hundred a second for a minute
		if p.wait("a", start.Add(time.Duration(i)*10*time.Millisecond)) == 0 {
			allowed++
		}
	}
	if allowed < 5*60+49 || allowed > 5*60+51 {
		t.Errorf("%d in a minute at 5 a second and 50 at once, want 350", allowed)
	}
	for i := range 3 * maxPaced {
		p.wait(fmt.Sprint(i), start.Add(time.Hour))
	}
	if len(p.next) > maxPaced {
		t.Errorf("%d are remembered, want at most %d", len(p.next), maxPaced)
	}
	if p.wait("new", start.Add(2*time.Hour)) != 0 {
		t.Error("a new one is refused although the others have gone")
	}
}
