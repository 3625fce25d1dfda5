package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"doorbell/transport/transporttest"
)

// jumper lets a process's clock be set: a Go program reads it without libc, so
// the time package is built with an offset, and main with what sets it.
const jumper = `package main

import (
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func init() {
	if n, err := strconv.ParseInt(os.Getenv("TEST_CLOCK_OFF"), 10, 64); err == nil {
		time.SetJump(n)
	}
	c := make(chan os.Signal, 8)
	signal.Notify(c, syscall.SIGUSR2)
	go func() {
		for range c {
			b, err := os.ReadFile("clock")
			if err != nil {
				panic(err)
			}
			n, err := strconv.ParseInt(string(b), 10, 64)
			if err != nil {
				panic(err)
			}
			time.SetJump(n)
			if err := os.Remove("clock"); err != nil {
				panic(err)
			}
		}
	}()
}
`

// jumperBinary is the program with a clock that can be set, by jump, and is set at
// its start by the seconds of TEST_CLOCK_OFF.
var jumperBinary = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(filepath.Dir(binary), "jumper")
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	const reads = "sec, nsec, mono := runtimeNow()\n"
	if n := strings.Count(string(text), reads); n == 0 {
		return "", fmt.Errorf("%s reads the clock in another way", original)
	}
	patched := strings.ReplaceAll(string(text), reads, reads+"\tsec += jump.Load()\n")
	patched = strings.Replace(patched, "import (\n", "import (\n\t\"sync/atomic\"\n", 1) +
		"\nvar jump atomic.Int64\n\n// SetJump moves the wall clock by seconds.\nfunc SetJump(seconds int64) { jump.Store(seconds) }\n"
	main, err := filepath.Abs("../clockjump_overlay.go")
	if err != nil {
		return "", err
	}
	overlay := map[string]map[string]string{"Replace": {original: filepath.Join(dir, "time.go"), main: filepath.Join(dir, "main.go")}}
	list, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	for file, content := range map[string]string{"time.go": patched, "main.go": jumper, "overlay.json": string(list)} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			return "", err
		}
	}
	bin := filepath.Join(dir, "doorbell")
	if out, err := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", bin, "..").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return bin, nil
})

// jump sets the server's clock off by d.
func (s *server) jump(d time.Duration) {
	s.t.Helper()
	file := filepath.Join(s.dir, "clock")
	if err := os.WriteFile(file, fmt.Append(nil, int64(d.Seconds())), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "the clock is set", func() bool { return !exists(file) })
}

// TestClockJumps: the server's clock jumps back and forth under load. While it
// is wrong by more than WeChat Pay's five minutes no callback can be told from
// a replay, so they are refused, loudly, and taken when they come again.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	rng := transporttest.Seeded(t)
	bin, err := jumperBinary()
	if err != nil {
		t.Fatal(err)
	}
	s := startBinary(t, bin)
	w := loadOn(t, s, 4, 8, rng, func(s *server) string { return s.base })
	jumps := transporttest.Size(t, "DOORBELL_TEST_JUMPS", 30)
	for range jumps {
		off := time.Duration(rng.Int64N(int64(8*time.Minute))) - 4*time.Minute
		if rng.IntN(2) == 0 {
			off = time.Duration(rng.Int64N(int64(40*24*time.Hour))) - 20*24*time.Hour
		}
		s.jump(off)
		pause(t.Context(), time.Duration(50+rng.IntN(200))*time.Millisecond)
		w.catchUp()
	}
	// What a wrong clock does is seen: an hour off, an alert says so.
	s.jump(time.Hour)
	var alert struct{ Time time.Time }
	_, answer := s.call("POST", "api/v1/alerts", w.service, map[string]any{"type": 2, "shopId": 1, "orderId": 1})
	if err := json.Unmarshal([]byte(toJSON(t, answer)), &alert); err != nil || time.Until(alert.Time) < 50*time.Minute {
		t.Errorf("an alert of a server an hour ahead is of %v: the clock did not jump", alert.Time)
	}
	eventually(t, "callbacks are refused as too old, and the log says so", func() bool {
		return strings.Contains(s.log.String(), "callback rejected")
	})
	s.jump(0)
	w.finish()
	t.Logf("%d jumps of the clock, between 20 days back and 20 days ahead", jumps)
}
