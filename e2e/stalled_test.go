package e2e

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doorbell/transport/transporttest"
)

// latencies are the times from an alert's timestamp to its arrival, during a
// measurement.
type latencies struct {
	mu  sync.Mutex
	on  bool
	all []time.Duration
}

func (l *latencies) note(sent string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.on {
		return
	}
	if at, err := time.Parse(time.RFC3339, sent); err == nil {
		l.all = append(l.all, time.Since(at))
	}
}

// during measures while f runs, and returns the 99th percentile.
func (l *latencies) during(f func()) (p99 time.Duration, n int) {
	l.mu.Lock()
	l.on, l.all = true, nil
	l.mu.Unlock()
	f()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on = false
	if len(l.all) == 0 {
		return 0, 0
	}
	slices.Sort(l.all)
	return l.all[len(l.all)*99/100], len(l.all)
}

// resident returns the process's resident memory in bytes.
func (s *server) resident() int {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	s.t.Fatal("no VmRSS")
	return 0
}

// stallBench is a crowd that reads shop 1, and a log of shop 2 that no socket
// buffer can hold.
type stallBench struct {
	*crowd
	service string
	both    string // a console's token for the two
	raised  map[int]int64
}

// backlog is how many alerts shop 2 has: 400 KiB.
const backlog = 600

func newStallBench(t *testing.T, consoles int) *stallBench {
	t.Helper()
	bin, err := plainBinary()
	if err != nil {
		t.Fatal(err)
	}
	s := startBinary(t, bin)
	b := &stallBench{
		crowd: gather(t, s, consoles), service: s.token("service", "--shops", "1,2"),
		both: s.token("console", "--shops", "1,2"), raised: map[int]int64{},
	}
	b.raise(2, backlog, 0)
	b.raise(1, 1, 0)
	eventually(t, "the healthy ones are connected", func() bool { return b.have(1) })
	return b
}

// raise appends n alerts of 600 bytes to a shop, one each interval.
func (b *stallBench) raise(shop, n int, each time.Duration) {
	b.t.Helper()
	for range n {
		b.raised[shop]++
		body := map[string]any{"type": 1, "shopId": shop, "orderId": b.raised[shop], "content": fmt.Sprintf("%0500d", b.raised[shop])}
		if status, answer := b.s.call("POST", "api/v1/alerts", b.service, body); status != http.StatusCreated {
			b.t.Fatalf("%d %v", status, answer)
		}
		pause(b.t.Context(), each)
	}
}

// stall connects n consoles that request everything and never read.
func (b *stallBench) stall(n int) (streams []transporttest.Stream) {
	b.t.Helper()
	for i := range n {
		stream, err := transporttest.Transports()[i%2].Dial(b.s.base, transporttest.Dial{
			Token: b.both, Query: "after=0", SmallBuffer: true, SID: "stalled",
		})
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(stream.Close)
		streams = append(streams, stream)
	}
	return streams
}

// TestStalledConsoles: consoles that do not read delay nobody, use little of the
// process's memory, are cut in time, and get everything when they reconnect.
func TestStalledConsoles(t *testing.T) {
	const healthy = 900
	b := newStallBench(t, healthy)
	measure := func() time.Duration {
		p99, n := b.latencies.during(func() { b.raise(1, 25, 200*time.Millisecond) })
		if n < 20*healthy {
			t.Fatalf("only %d deliveries were measured", n)
		}
		return p99
	}
	measure() // warm
	alone := measure()
	// The goal is 10 % or 5 ms on an idle machine (make long). Here other tests run
	// at the same time: a console that delays others would do so by seconds.
	percent := transporttest.Size(t, "DOORBELL_TEST_STALLED_PERCENT", 1000)
	limit := alone + max(alone/100, 500*time.Microsecond)*time.Duration(percent)
	total := 0
	for _, n := range []int{1, 10, 100} {
		b.stall(n)
		total += n
		beside := measure()
		t.Logf("p99 of %d consoles alone %v, beside %d stalled ones %v", healthy, alone, n, beside)
		if beside > limit {
			t.Errorf("beside %d stalled consoles p99 is %v, want at most %v (alone: %v)", n, beside, limit, alone)
		}
		began := time.Now()
		eventually(t, "the stalled ones are cut", func() bool { return countSlow(b.s.log.String()) == total })
		t.Logf("%d stalled ones were cut %v after the measurement's end", n, time.Since(began).Round(time.Millisecond))
	}
	if n := b.gaps.Load(); n > 0 {
		t.Errorf("%d alerts came out of turn", n)
	}
	for _, tr := range transporttest.Transports()[:2] {
		back, err := tr.Dial(b.s.base, transporttest.Dial{Token: b.both, Query: "after=0"})
		if err != nil {
			t.Fatal(err)
		}
		at := map[int64]int64{}
		for at[1] < b.raised[1] || at[2] < b.raised[2] {
			m, err := back.Next()
			if err != nil || m.Event == "" && m.Seq != at[m.Shop]+1 {
				t.Fatalf("%s: back with %s, %v; want what follows %v", tr.Name, m.Raw, err, at)
			}
			at[m.Shop] = m.Seq
		}
		back.Close()
	}
}

// TestSlowConsumersMemory: consoles that read just fast enough not to be cut use
// at most 64 KiB of the process each while the log grows.
func TestSlowConsumersMemory(t *testing.T) {
	b := newStallBench(t, 10)
	const slow = 400
	pause(t.Context(), time.Second) // the burst's garbage is on the books by now
	before := b.s.resident()
	streams := b.stall(slow)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for _, stream := range streams {
		readers.Go(func() { trickle(stream, stop) })
	}
	defer readers.Wait()
	defer close(stop)
	peak := 0
	for range 60 {
		b.raise(1, 5, 0)
		b.raise(2, 15, 0)
		peak = max(peak, b.s.resident())
		pause(t.Context(), 100*time.Millisecond)
	}
	each := (peak - before) / slow
	t.Logf("%d consoles that read a trickle: %d KiB each of the process's memory (%d → %d MiB)", slow, each>>10, before>>20, peak>>20)
	if each > 64<<10 {
		t.Errorf("a slow console holds %d KiB, want at most 64", each>>10)
	}
	if n := countSlow(b.s.log.String()); n > slow*3/4 { // some, where the machine is busy
		t.Errorf("%d of them were cut: the test looked at fewer", n)
	}
}

// trickle reads 25 messages each half second: slower than they come, and fast
// enough that its window opens within the write timeout.
func trickle(stream transporttest.Stream, stop <-chan struct{}) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for range 25 {
				if _, err := stream.Next(); err != nil {
					return
				}
			}
		case <-stop:
			return
		}
	}
}
