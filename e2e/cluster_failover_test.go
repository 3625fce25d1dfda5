package e2e

import (
	"net/url"
	"syscall"
	"testing"
	"time"

	"doorbell/internal/testservers"
	"doorbell/internal/testservers/databases"
	"doorbell/transport/transporttest"
)

// pair is a primary and its streaming replica, which follows by a line.
type pair struct {
	t       *testing.T
	primary *databases.Server
	replica *databases.Server
	line    *line
}

func startPair(t *testing.T) *pair {
	t.Helper()
	databases.Require(t, databases.Postgres)
	p := &pair{t: t, primary: startDatabase(t, databases.Postgres, databases.Options{})}
	p.line = newLine(t, p.primary.Addr())
	var err error
	if p.replica, err = p.primary.Replica(p.line.addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.replica.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *pair) on(s *databases.Server, queries ...string) {
	p.t.Helper()
	for _, query := range queries {
		if err := s.Exec(p.t.Context(), query); err != nil {
			p.t.Fatalf("%s: %v", query, err)
		}
	}
}

// cluster runs on a new database, whose URL names both servers.
func (p *pair) cluster() *cluster {
	p.t.Helper()
	at, _, err := p.primary.NewDatabase(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	u, err := url.Parse(at)
	if err != nil {
		p.t.Fatal(err)
	}
	u.Host += "," + p.replica.Addr()
	u.RawQuery = "target_session_attrs=read-write"
	c := &cluster{t: p.t, db: p.primary, bus: testservers.NATS(p.t)}
	c.bus.Start()
	c.addNodes(u.String(), "nats")
	return c
}

// failOver kills the primary and makes the replica one.
func (p *pair) failOver() {
	p.t.Helper()
	p.primary.Kill()
	p.on(p.replica, `select pg_promote(true, 60)`)
}

// TestFailoverSynchronous: commits wait for the replica, so that it has all that was
// acknowledged when the primary dies, and a node with it.
func TestFailoverSynchronous(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	c := p.cluster()
	p.on(p.primary, `alter system set synchronous_standby_names = '*'`, `select pg_reload_conf()`)
	w := c.followed()
	c.nodes[1].stop(syscall.SIGKILL)
	p.failOver()
	c.goOn(w, c.nodes[1])
}

// followed puts a load on the cluster and waits until it is under way.
func (c *cluster) followed() *world {
	c.t.Helper()
	c.t.Cleanup(func() {
		if c.t.Failed() {
			c.t.Log(c.logs())
		}
	})
	w := c.load(transporttest.Seeded(c.t))
	w.rewinds.Store(true) // nobody can tell from outside whether a failover lost something
	eventually(c.t, "payments are acknowledged", func() bool { return w.count() > 20 })
	return w
}

// goOn starts nodes again, waits until the consoles are told that the log may have gone back, and for
// more payments, and holds the lists against each other.
func (c *cluster) goOn(w *world, killed ...*node) {
	c.t.Helper()
	for _, n := range killed {
		n.launch()
	}
	for _, n := range killed {
		n.revive()
	}
	began := time.Now()
	eventually(c.t, "every console is told of the new log", func() bool {
		for _, s := range w.consoles {
			if s.rewound() == 0 {
				return false
			}
		}
		return true
	})
	told := time.Since(began)
	took := w.catchUp()
	if took > converged(c.t) {
		c.t.Errorf("consoles took %v to catch up, want at most %v", took, converged(c.t))
	}
	at := w.count()
	eventually(c.t, "more payments are acknowledged", func() bool { return w.count() > at+10 })
	w.finish()
	c.t.Logf("failed over: consoles told after %v, converged %v later", told.Round(time.Millisecond), took.Round(time.Millisecond))
}
