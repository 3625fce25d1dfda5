package server

import (
	"context"
	"slices"
	"testing"
	"time"

	"doorbell/internal/testrun"
)

// TestMemoryIsGivenBack: once for a crowd that came or went, when it has come or
// gone, and not for a few.
func TestMemoryIsGivenBack(t *testing.T) {
	for _, c := range []struct {
		name     string
		consoles []int // at each second
		freed    []int // at which of them
	}{
		{"nobody", []int{0, 0, 0}, nil},
		{"a few", []int{0, 100, 400, 499, 499}, nil},
		{"a crowd", []int{0, 700, 700, 700}, []int{2}},
		{"a crowd that is still coming", []int{0, 700, 1400, 2000, 2000, 2000}, []int{4}},
		{"one by one", []int{0, 300, 499, 501, 502, 503}, []int{3}},
		{"come and gone", []int{700, 700, 700, 0, 0, 0}, []int{1, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			testrun.Bubble(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(len(c.consoles))*calm+calm/2)
				defer cancel()
				var freed []int
				second := -1
				err := giveBack(ctx, func() int { second++; return c.consoles[second] }, func() { freed = append(freed, second) })
				if err != nil || !slices.Equal(freed, c.freed) {
					t.Errorf("given back at %v (%v), want %v", freed, err, c.freed)
				}
			})
		})
	}
}
