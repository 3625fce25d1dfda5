package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"doorbell/internal/testservers"
	"doorbell/internal/testservers/databases"
)

// clusterSize is how many nodes run, and clockApart how far the clocks of the second
// and third are off.
const (
	clusterSize = 3
	clockApart  = time.Minute
)

// cluster is doorbell as several nodes: three processes on one database and one
// broker, each reached by a line of its own, and HAProxy in front of them.
type cluster struct {
	t     *testing.T
	db    *databases.Server
	bus   *testservers.Server // nil: none
	nodes []*node
	size  int     // how many nodes; 0: clusterSize
	front *server // as HAProxy shows them; its commands reach the database itself
}

// node is one process. Its clock is off.
type node struct {
	*server
	db  *line
	bus *line // nil: none
}

// startDatabase is a server of its own, for it is killed.
func startDatabase(t *testing.T, kind databases.Kind, o databases.Options) *databases.Server {
	t.Helper()
	s, err := databases.Start(kind, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// startCluster starts the nodes on an empty database, all at once.
func startCluster(t *testing.T, db *databases.Server, busName string) *cluster {
	t.Helper()
	return startNodes(t, db, busName, clusterSize)
}

func startNodes(t *testing.T, db *databases.Server, busName string, size int) *cluster {
	t.Helper()
	at, _, err := db.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, db: db, size: size}
	switch busName {
	case "nats":
		c.bus = testservers.NATS(t)
	case "redis":
		c.bus = testservers.Redis(t)
	}
	if c.bus != nil {
		c.bus.Start()
	}
	c.addNodes(at, busName)
	return c
}

// addNodes starts the nodes that use the database at a URL.
func (c *cluster) addNodes(at, busName string) {
	c.t.Helper()
	bin, err := jumperBinary()
	if err != nil {
		c.t.Fatal(err)
	}
	data := filepath.Join(c.t.TempDir(), "data")
	u, err := url.Parse(at)
	if err != nil {
		c.t.Fatal(err)
	}
	direct := *u
	var backend strings.Builder
	backend.WriteString("balance roundrobin\n  option redispatch\n  option httpchk GET /readyz\n  default-server check inter 250ms fall 2 rise 1")
	for i := range cmp.Or(c.size, clusterSize) {
		n := &node{}
		n.db, u.Host = c.lines(direct.Host)
		env := []string{
			"DOORBELL_DATA_DIR=" + data, "DOORBELL_DATABASE_URL=" + u.String(),
			"TEST_CLOCK_OFF=" + strconv.Itoa([]int{0, 1, -1}[i]*int(clockApart.Seconds())),
		}
		if c.bus != nil {
			n.bus = newLine(c.t, c.bus.Addr)
			env = append(env, "DOORBELL_BUS_URL="+busName+"://"+n.bus.addr)
		}
		addr := freeAddr(c.t)
		n.server = &server{t: c.t, bin: bin, addr: addr, base: "http://" + addr + "/", dir: c.t.TempDir(), env: env}
		n.launch()
		c.t.Cleanup(func() {
			if n.cmd != nil {
				n.signal(syscall.SIGCONT) // a failure may have left it frozen
			}
			n.stop(syscall.SIGTERM)
		})
		fmt.Fprintf(&backend, "\n  server n%d %s", i, addr)
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		n.revive()
	}
	first := c.nodes[0]
	base := runHAProxy(c.t, "timeout connect 1s\n  timeout check 1s\n  timeout tunnel 1h\n  retries 3", backend.String())
	c.front = &server{
		t: c.t, bin: bin, addr: first.addr, base: base, dir: first.dir,
		env: []string{"DOORBELL_DATA_DIR=" + data, "DOORBELL_DATABASE_URL=" + direct.String()},
	}
}

// revive returns when the node is ready. A node that ends at its start, because the
// database is not there yet, is started again, as systemd does.
func (n *node) revive() {
	n.t.Helper()
	eventually(n.t, "the node is ready", func() bool {
		if n.ended() {
			_ = n.cmd.Wait() // with an error
			n.launch()
		}
		res, err := http.Get(n.base + "readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close() //nolint:errcheck // not read
		return res.StatusCode == http.StatusOK
	})
}

// ended reports whether the process is gone and was not waited for.
func (n *node) ended() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.cmd.Process.Pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

// lines are a node's to each of the database's hosts; the first is returned, and all
// as the node names them.
func (c *cluster) lines(hosts string) (first *line, named string) {
	c.t.Helper()
	var names []string
	for host := range strings.SplitSeq(hosts, ",") {
		l := newLine(c.t, host)
		if names = append(names, l.addr); first == nil {
			first = l
		}
	}
	return first, strings.Join(names, ",")
}

// load puts senders and consoles on the cluster, through HAProxy.
func (c *cluster) load(rng *rand.Rand) *world {
	c.t.Helper()
	return loadOn(c.t, c.front, 4, 8, rng, func(s *server) string { return s.base })
}

// logs is the end of what each node logged, for a failure.
func (c *cluster) logs() string {
	var b strings.Builder
	for i, n := range c.nodes {
		fmt.Fprintf(&b, "node %d:\n%s\n", i, n.log.tail())
	}
	return b.String()
}
