package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/providers"
	"doorbell/transport/transporttest"
)

// payments are callbacks that are ready to be sent.
type payments struct {
	t       *testing.T
	s       *server
	sim     paysim.Player
	url     string
	service string
	client  *http.Client
	next    int
}

func newPayments(t *testing.T, s *server, base string) *payments {
	t.Helper()
	all, err := providers.LoadPlayers(s.data())
	if err != nil {
		t.Fatal(err)
	}
	p := &payments{t: t, s: s, sim: all.WeChat, url: base + "pay/wechat", service: s.token("service", "--shops", "2")}
	p.client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

// sign creates orders of shop 2 and the callbacks that pay them.
func (p *payments) sign(n int) (out []paysim.Callback) {
	p.t.Helper()
	for range n {
		p.next++
		number := fmt.Sprintf("L-%d", p.next)
		if status, answer := p.s.call("POST", "api/v1/orders", p.service, map[string]any{"number": number, "shopId": 2, "userId": 1, "amount": 100}); status != http.StatusCreated {
			p.t.Fatalf("%d %v", status, answer)
		}
		c, err := p.sim.Paid(paysim.Payment{Number: number, Transaction: "t" + number, Minor: 100})
		if err != nil {
			p.t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

// send sends one callback each interval, whatever the answers, and returns the
// sorted answer times.
func (p *payments) send(callbacks []paysim.Callback, each time.Duration) []time.Duration {
	p.t.Helper()
	took := make([]time.Duration, len(callbacks))
	var sending sync.WaitGroup
	tick := time.NewTicker(each)
	defer tick.Stop()
	for i, c := range callbacks {
		<-tick.C
		sending.Go(func() {
			began := time.Now()
			req, err := c.Request(p.url)
			if err == nil {
				var res *http.Response
				if res, err = p.client.Do(req); err == nil {
					err = paysim.Answer(p.sim, res)
				}
			}
			took[i] = time.Since(began)
			if err != nil {
				p.t.Errorf("callback %d: %v", i, err)
			}
		})
	}
	sending.Wait()
	slices.Sort(took)
	return took
}

// TestCallbackLatency: callbacks at 200 a second are verified, committed and
// answered within 100 ms while consoles listen, and within a second while all
// consoles reconnect at once; at pay.addr and at server.addr, and none is refused.
func TestCallbackLatency(t *testing.T) {
	consoles := transporttest.Size(t, "DOORBELL_TEST_LISTENERS", 500)
	slack := transporttest.Size(t, "DOORBELL_TEST_SLACK", 3) // 1 in make long
	bin, err := plainBinary()
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	s := startBinary(t, bin, "DOORBELL_PAY_ADDR="+addr)
	const perSecond = 200
	p := newPayments(t, s, "http://"+addr+"/")
	p.send(p.sign(perSecond), time.Second/perSecond) // warm
	ready := p.sign(4 * perSecond)
	storm := p.sign(2 * perSecond)
	crowd := gather(t, s, consoles)
	inStorm := p.send(storm, time.Second/perSecond)
	s.run("simulate", "--pause", "0s") // shop 1
	eventually(t, "the consoles are connected", func() bool { return crowd.have(1) })
	quiet := p.send(ready, time.Second/perSecond)
	for _, c := range []struct {
		name  string
		took  []time.Duration
		limit time.Duration
	}{{"while consoles listen", quiet, 100 * time.Millisecond}, {"while they connect", inStorm, time.Second}} {
		p50, p99 := c.took[len(c.took)/2], c.took[len(c.took)*99/100]
		t.Logf("%d callbacks a second, %d consoles, %s: p50 %v, p99 %v", perSecond, consoles, c.name, p50, p99)
		if limit := c.limit * time.Duration(slack); p99 > limit {
			t.Errorf("%s: p99 is %v, want at most %v", c.name, p99, limit)
		}
	}
}
