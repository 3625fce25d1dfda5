package e2e

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"doorbell/internal/testservers/databases"
	"doorbell/transport/transporttest"
)

// converged is how long consoles may take to catch up once a fault is over, in make
// test; make long holds the goal, 2 s.
func converged(t *testing.T) time.Duration {
	t.Helper()
	return time.Duration(transporttest.Size(t, "DOORBELL_TEST_CLUSTER_S", 15)) * time.Second
}

// combination is a database and a broker that a cluster runs on.
type combination struct {
	kind databases.Kind
	bus  string
}

var combinations = []combination{
	{databases.Postgres, "nats"},
	{databases.Postgres, "redis"},
	{databases.Postgres, ""},
	{databases.MariaDB, "nats"},
	{databases.MariaDB, "redis"},
	{databases.MariaDB, ""},
}

func (c combination) name() string {
	if c.bus == "" {
		return c.kind.Name + " alone"
	}
	return c.kind.Name + " " + c.bus
}

// faultSizes are how many faults of each kind a run has.
var faultSizes = []struct {
	part     part
	variable string
}{{aNode, "DOORBELL_TEST_NODE_FAULTS"}, {aBroker, "DOORBELL_TEST_BROKER_FAULTS"}, {database, "DOORBELL_TEST_DATABASE_FAULTS"}}

// deal shares the faults of a run out over the combinations: each kind comes up
// before one does twice.
func deal(t *testing.T, rng *rand.Rand) (hands [][]clusterFault) {
	t.Helper()
	hands = make([][]clusterFault, len(combinations))
	for _, size := range faultSizes {
		kinds := slices.DeleteFunc(slices.Clone(clusterFaults), func(f clusterFault) bool { return f.part != size.part })
		takers := []int{}
		for i, c := range combinations {
			if size.part != aBroker || c.bus != "" {
				takers = append(takers, i)
			}
		}
		rng.Shuffle(len(takers), func(i, j int) { takers[i], takers[j] = takers[j], takers[i] })
		for i := range transporttest.Size(t, size.variable, len(kinds)) {
			to := takers[i%len(takers)]
			hands[to] = append(hands[to], kinds[(i+i/len(takers))%len(kinds)])
		}
	}
	for _, hand := range hands {
		rng.Shuffle(len(hand), func(i, j int) { hand[i], hand[j] = hand[j], hand[i] })
	}
	return hands
}

// TestCluster: three nodes whose clocks are a minute apart, under signed callbacks
// and consoles that hop between them, while nodes, the broker and the database are
// killed, frozen and cut off, one at a time and two at once. Nothing that was
// acknowledged is lost, nothing comes twice or out of turn.
func TestCluster(t *testing.T) {
	t.Parallel()
	rng := transporttest.Seeded(t)
	hands := deal(t, rng)
	outer, servers := t, map[string]*databases.Server{}
	for i, c := range combinations {
		if len(hands[i]) == 0 { // the short size has less faults than combinations of them
			continue
		}
		t.Run(strings.ReplaceAll(c.name(), " ", "_"), func(t *testing.T) {
			databases.Require(t, c.kind)
			if servers[c.kind.Name] == nil {
				servers[c.kind.Name] = startDatabase(outer, c.kind, databases.Options{})
			}
			testCluster(t, startCluster(t, servers[c.kind.Name], c.bus), hands[i], rng)
		})
	}
}

func testCluster(t *testing.T, c *cluster, hand []clusterFault, rng *rand.Rand) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.logs())
		}
	})
	w := c.load(rng)
	eventually(t, "a payment is acknowledged", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.acked) > 0
	})
	var took []time.Duration
	for len(hand) > 0 {
		w.catchUp() // before the next one
		n := 1
		if len(hand) > 1 && hand[0].part != hand[1].part && rng.IntN(3) == 0 {
			n = 2
		}
		took = append(took, c.suffer(w, hand[:n], rng))
		hand = hand[n:]
	}
	w.finish()
	slices.Sort(took)
	if len(took) == 0 {
		return
	}
	worst := took[len(took)-1]
	t.Logf("%d faults, consoles caught up within %v, half of them within %v", len(took), worst.Round(time.Millisecond), took[len(took)/2].Round(time.Millisecond))
	if worst > converged(t) {
		t.Errorf("consoles took %v to catch up after a fault, want at most %v", worst, converged(t))
	}
}

// suffer lets faults strike together and returns how long after their end all
// consoles have what the log has.
func (c *cluster) suffer(w *world, faults []clusterFault, rng *rand.Rand) time.Duration {
	c.t.Helper()
	var names []string
	var heals []func()
	for _, f := range faults {
		names = append(names, f.name)
		heal := f.strike(c, rng)
		if f.part == aNode { // last: it starts on the others
			heals = append(heals, heal)
		} else {
			heals = slices.Insert(heals, 0, heal)
		}
		pause(c.t.Context(), lasting(rng))
	}
	began := time.Now()
	for _, heal := range heals {
		heal()
	}
	healed := time.Since(began)
	took := w.catchUp()
	c.t.Logf("%s: healed within %v, converged after %v", strings.Join(names, " and "), healed.Round(time.Millisecond), took.Round(time.Millisecond))
	return took
}
