package e2e

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"doorbell/internal/payment/paysim"
	"doorbell/internal/testservers/databases"
	"doorbell/transport/transporttest"
)

// TestOneTwoThreeNodes sends the same payments to one, two and three nodes, with
// consoles at each of them: every console gets every alert once and in order. It
// tells the rate and the nodes' CPU for each payment, which docs/scale.md has from
// a longer run. The nodes share this machine with the database and the load, so
// that the rate can't grow.
func TestOneTwoThreeNodes(t *testing.T) {
	t.Parallel()
	payments := transporttest.Size(t, "DOORBELL_TEST_NODE_PAYMENTS", 100)
	databases.Require(t, databases.Postgres)
	db := startDatabase(t, databases.Postgres, databases.Options{})
	for size := 1; size <= clusterSize; size++ {
		c := startNodes(t, db, "nats", size)
		p := newPayments(t, c.front, c.front.base)
		token := c.front.token("console", "--shops", "2")
		ready := p.sign(payments)
		var streams []transporttest.Stream
		for i := range 2 * clusterSize {
			stream, err := transporttest.DialWebSocket(c.nodes[i%size].base, transporttest.Dial{Token: token, Query: "after=0", Patience: within})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(stream.Close)
			streams = append(streams, stream)
		}
		warm := min(payments/2, 50) // connections are made, statements prepared
		c.pay(p, ready[:warm])
		before, began := c.cpu(), time.Now()
		c.pay(p, ready[warm:])
		rate := float64(payments-warm) / time.Since(began).Seconds()
		for _, stream := range streams {
			for next := int64(1); next <= int64(payments); {
				m, err := stream.Next()
				if err != nil {
					t.Fatalf("%d nodes: a console waits for alert %d: %v", size, next, err)
				}
				if m.Event == "" {
					if m.Seq != next {
						t.Fatalf("%d nodes: a console got %d, want %d", size, m.Seq, next)
					}
					next++
				}
			}
		}
		each := (c.cpu() - before) / time.Duration(payments-warm)
		t.Logf("%d nodes: %.0f payments a second, %v of the nodes' CPU for each", size, rate, each.Round(10*time.Microsecond))
	}
}

// pay sends the callbacks by sixteen callers.
func (c *cluster) pay(p *payments, ready []paysim.Callback) {
	c.t.Helper()
	next := make(chan paysim.Callback)
	var sending sync.WaitGroup
	for range 16 {
		sending.Go(func() {
			for callback := range next {
				req, err := callback.Request(p.url)
				if err != nil {
					c.t.Error(err)
					continue
				}
				res, err := p.client.Do(req)
				if err == nil {
					err = paysim.Answer(p.sim, res)
				}
				if err != nil {
					c.t.Error(err)
				}
			}
		})
	}
	for _, callback := range ready {
		next <- callback
	}
	close(next)
	sending.Wait()
}

// cpu returns the time that the nodes' processes have used, in steps of 10 ms.
func (c *cluster) cpu() (sum time.Duration) {
	c.t.Helper()
	for _, n := range c.nodes {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(n.cmd.Process.Pid) + "/stat")
		if err != nil {
			c.t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		for _, field := range strings.Fields(rest)[11:13] { // in user mode, and in the kernel
			ticks, err := strconv.Atoi(field)
			if err != nil {
				c.t.Fatal(err)
			}
			sum += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return sum
}
