package e2e

import (
	"math/rand/v2"
	"syscall"
	"time"
)

// part is what a fault of a cluster strikes.
type part string

const (
	aNode    part = "node"
	aBroker  part = "broker"
	database part = "database"
)

// clusterFault is one thing that goes wrong. strike returns what ends it.
type clusterFault struct {
	part   part
	name   string
	strike func(c *cluster, rng *rand.Rand) (heal func())
}

func (c *cluster) any(rng *rand.Rand) *node { return c.nodes[rng.IntN(len(c.nodes))] }

// clusterFaults are all kinds.
var clusterFaults = []clusterFault{
	{aNode, "a node killed", func(c *cluster, rng *rand.Rand) func() {
		n := c.any(rng)
		n.stop(syscall.SIGKILL)
		return func() { n.launch(); n.revive() }
	}},
	{aNode, "a node frozen", func(c *cluster, rng *rand.Rand) func() {
		n := c.any(rng)
		n.signal(syscall.SIGSTOP)
		return func() { n.signal(syscall.SIGCONT) }
	}},
	{aBroker, "the broker killed", func(c *cluster, _ *rand.Rand) func() { c.bus.Kill(); return c.bus.Start }},
	{aBroker, "the broker frozen", func(c *cluster, _ *rand.Rand) func() { c.bus.Freeze(); return c.bus.Thaw }},
	{aBroker, "a node cut from the broker", func(c *cluster, rng *rand.Rand) func() { l := c.any(rng).bus; l.Cut(); return l.Heal }},
	{aBroker, "silence between a node and the broker", func(c *cluster, rng *rand.Rand) func() { l := c.any(rng).bus; l.Silence(); return l.Heal }},
	{database, "the database stopped", func(c *cluster, _ *rand.Rand) func() {
		if err := c.db.Stop(); err != nil {
			c.t.Error(err)
		}
		return c.startDatabase
	}},
	{database, "the database killed", func(c *cluster, _ *rand.Rand) func() { c.db.Kill(); return c.startDatabase }},
	{database, "the database frozen", func(c *cluster, _ *rand.Rand) func() { c.db.Freeze(); return c.db.Thaw }},
	{database, "a node cut from the database", func(c *cluster, rng *rand.Rand) func() { l := c.any(rng).db; l.Cut(); return l.Heal }},
	{database, "silence between a node and the database", func(c *cluster, rng *rand.Rand) func() { l := c.any(rng).db; l.Silence(); return l.Heal }},
}

func (c *cluster) startDatabase() {
	c.t.Helper()
	if err := c.db.Start(); err != nil {
		c.t.Fatal(err)
	}
}

// lasting is how long a fault stays: mostly short, sometimes longer than anybody waits
// for a sign of life.
func lasting(rng *rand.Rand) time.Duration {
	if rng.IntN(6) == 0 {
		return time.Duration(3500+rng.IntN(2500)) * time.Millisecond
	}
	return time.Duration(100+rng.IntN(600)) * time.Millisecond
}
