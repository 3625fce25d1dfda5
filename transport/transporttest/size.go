package transporttest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Size is how much of a thing a run does: the short size, or what the variable
// says (make long).
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

// Seed is the run's: DOORBELL_TEST_SEED replays one.
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

// Seeded is the run's randomness; a failure prints the seed that replays it.
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
