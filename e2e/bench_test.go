package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// nchan is nginx's module in Debian's libnginx-mod-nchan.
const nchan = "/usr/lib/nginx/modules/ngx_nchan_module.so"

// TestBench runs every scenario of the load tool at a small size against a running
// server, and one against servers that the tool starts itself and beside Nchan: no
// alert is lost, doubled or reordered, and every figure is reported.
func TestBench(t *testing.T) {
	s := startServer(t)
	file := filepath.Join(t.TempDir(), "figures.jsonl")
	run := func(args ...string) {
		s.run(append([]string{"bench", "--consoles", "40", "--duration", "300ms", "--json", file, "--dir", t.TempDir()}, args...)...)
	}
	pid := strconv.Itoa(s.cmd.Process.Pid)
	for _, scenarios := range []string{"fanout,flat", "shops,storm", "others,resume", "callbacks,idle"} {
		run("--url", s.base, "--pid", pid, "--scenario", scenarios)
	}
	need(t, "nginx")
	if !exists(nchan) {
		t.Fatalf("%s is needed; make deps installs it", nchan)
	}
	run("--scenario", "fanout", "--nchan", nchan)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	type figure struct {
		Scenario, Transport, Figure string
		Value, Floor                float64
	}
	seen := map[string]int{}
	for line := range bytes.Lines(text) {
		var f figure
		if err := json.Unmarshal(line, &f); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		seen[f.Scenario+" "+f.Figure]++
		name := strings.TrimPrefix(f.Figure, "nchan_")
		if (name == "lost" || name == "doubled" || name == "reordered") && f.Value != 0 {
			t.Errorf("%s", line)
		}
		if strings.HasPrefix(f.Figure, "deliveries_per") && (f.Value == 0 || f.Floor == 0) {
			t.Errorf("%s: want a value and its floor", line)
		}
	}
	want := map[string]int{ // one for each transport and server
		"fanout server_cpu_per_delivery": 4, "fanout latency_p99": 4, "fanout nchan_latency_p99": 2, "flat deliveries_per_second": 2, "shops server_cpu_per_1000_alerts": 2,
		"idle memory_per_console": 2, "others server_cpu_per_delivery": 4, "storm all_back_and_caught_up": 2, "resume caught_up_after": 2,
		"resume lost": 2, "callbacks callbacks_per_second": 1, "callbacks callback_p99": 1,
	}
	for name, n := range want {
		if seen[name] != n {
			t.Errorf("%s came %d times, want %d", name, seen[name], n)
		}
	}
}
