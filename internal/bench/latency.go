//go:build linux

package bench

import (
	"math"
	"time"
)

// histogram counts durations in logarithmic steps of 5 %: 1 µs to 100 s.
type histogram struct {
	buckets [400]int64
	count   int64
}

const step = 0.05 // of the natural logarithm

func (h *histogram) add(d time.Duration) {
	i := 0
	if us := micros(d); us > 1 {
		i = min(len(h.buckets)-1, int(math.Log(us)/step))
	}
	h.buckets[i]++
	h.count++
}

func (h *histogram) reset() { *h = histogram{} }

// quantile returns the upper end of the bucket of this quantile.
func (h *histogram) quantile(q float64) time.Duration {
	left := int64(q * float64(h.count))
	for i, n := range h.buckets {
		if left -= n; left < 0 {
			return time.Duration(math.Exp(float64(i+1)*step) * float64(time.Microsecond))
		}
	}
	return 0
}
