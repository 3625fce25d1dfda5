package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"doorbell/transport/transporttest"
)

// fault is one kind of network fault.
type fault struct {
	name, kind, attributes string
	black                  bool // packets are dropped without an error
}

var networkFaults = []fault{
	{"latency", "latency", `"latency":300,"jitter":200`, false},
	{"bandwidth", "bandwidth", `"rate":2`, false},
	{"slow close", "slow_close", `"delay":500`, false},
	{"black hole", "timeout", `"timeout":0`, true},
	{"timeout", "timeout", `"timeout":100`, false},
	{"reset", "reset_peer", `"timeout":50`, false},
	{"slicer", "slicer", `"average_size":7,"size_variation":5,"delay":200`, false},
	{"limit", "limit_data", `"bytes":1500`, false},
	{"down", "", "", false},
}

// TestNetworkFaults disturbs the network between consoles and server at random;
// payments go directly to the server.
func TestNetworkFaults(t *testing.T) {
	t.Parallel()
	rng := transporttest.Seeded(t)
	faults := transporttest.Size(t, "DOORBELL_TEST_FAULTS", 60)
	bin, err := plainBinary()
	if err != nil {
		t.Fatal(err)
	}
	s := startBinary(t, bin)
	zerolog.SetGlobalLevel(zerolog.Disabled) // its toxics log to a logger of their own
	proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop()),
		"consoles", "127.0.0.1:0", s.addr)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	w := loadOn(t, s, 4, 8, rng, func(*server) string { return "http://" + proxy.Listen + "/" })
	worst, worstBlack := time.Duration(0), time.Duration(0)
	for range faults {
		f := networkFaults[rng.IntN(len(networkFaults))]
		f.strike(t, proxy, rng)
		took := w.catchUp()
		if took > time.Second {
			t.Logf("that was after %s", f.name)
		}
		if f.black {
			worstBlack = max(worstBlack, took)
		} else {
			worst = max(worst, took)
		}
	}
	if worst > slowest(t) || worstBlack > 20*time.Second {
		t.Errorf("consoles took %v after a fault and %v after a black hole, want at most %v and 20s", worst, worstBlack, slowest(t))
	}
	w.finish()
	t.Logf("%d faults, consoles caught up within %v, %v after black holes", faults, worst.Round(time.Millisecond), worstBlack.Round(time.Millisecond))
}

// strike applies one fault for a while.
func (f fault) strike(t *testing.T, proxy *toxiproxy.Proxy, rng *rand.Rand) {
	t.Helper()
	hold := time.Duration(50+rng.IntN(400)) * time.Millisecond
	if f.kind == "" {
		proxy.Stop()
		pause(t.Context(), hold)
		if err := proxy.Start(); err != nil {
			t.Fatal(err)
		}
		return
	}
	direction := []string{"downstream", "upstream"}[rng.IntN(2)]
	toxic := fmt.Sprintf(`{"name":"fault","type":%q,"stream":%q,"toxicity":%v,"attributes":{%s}}`,
		f.kind, direction, []float64{0.5, 1}[rng.IntN(2)], f.attributes)
	if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		t.Fatalf("%s: %v", f.name, err)
	}
	pause(t.Context(), hold)
	// toxiproxy removes a toxic from one link after the other, waits up to 5 s for
	// each whose client has left, and accepts no connections meanwhile, so that
	// delay counts from here.
	began := time.Now()
	if err := proxy.Toxics.RemoveToxic(t.Context(), "fault"); err != nil {
		t.Fatalf("heal %s: %v", f.name, err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Logf("toxiproxy took %v to take %s off", took.Round(time.Millisecond), f.name)
	}
}
