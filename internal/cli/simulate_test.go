package cli

import (
	"testing"
	"time"
)

// TestOrderNumbers: all orders of one run have 18 digits, and no two the same last
// four, which are what the board shows large.
func TestOrderNumbers(t *testing.T) {
	for _, first := range []int{0, 7, endings - 1} {
		seen := map[string]bool{}
		for _, n := range orderNumbers(1000, time.UnixMilli(1764550000123), first) {
			if len(n) != 18 || n[:13] != "1764550000123" {
				t.Fatalf("number %s: want the time and five digits", n)
			}
			if tail := n[14:]; seen[tail] {
				t.Fatalf("two orders end in %s", tail)
			} else {
				seen[tail] = true
			}
		}
	}
}
