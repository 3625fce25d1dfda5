package transporttest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Size returns a test's size: the short one, or that of the environment variable,
// which make long sets.
func Size(t *testing.T, variable string, short int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// Seed returns the seed of this run; DOORBELL_TEST_SEED replays an earlier one.
func Seed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("DOORBELL_TEST_SEED")
	if text == "" {
		return uint64(time.Now().UnixNano())
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

// Seeded returns this run's source of randomness; a failure prints the seed that replays it.
func Seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := Seed(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("replay with DOORBELL_TEST_SEED=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 1))
}
