package reference_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/server/servertest"
	"doorbell/internal/testrun"
	"doorbell/internal/testservers"
	"doorbell/transport/transporttest"
)

// cutter is a proxy that cuts each stream after some of its bytes, in the middle of a
// line as a network does; other calls pass whole.
type cutter struct {
	net.Listener
	to   string
	cuts atomic.Int64
	mu   sync.Mutex // guards rng
	rng  *rand.Rand
}

func startCutter(t *testing.T, to string) *cutter {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l, to: to, rng: transporttest.Seeded(t)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { c.pass(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() }) // nothing is open any more
	return c
}

func (c *cutter) pass(down net.Conn) {
	defer down.Close() //nolint:errcheck // cut
	up, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer up.Close() //nolint:errcheck // cut
	var stream atomic.Bool
	go func() {
		defer up.Close() //nolint:errcheck // ends the loop below
		asked := make([]byte, 8<<10)
		for {
			n, err := down.Read(asked)
			if err != nil {
				return
			}
			if bytes.Contains(asked[:n], []byte("/events?")) { // also as a later request of the connection
				stream.Store(true)
			}
			_, _ = up.Write(asked[:n]) // if it fails, the next read does, too
		}
	}()
	c.mu.Lock()
	left := 1200 + c.rng.IntN(2000) // the answer's head and hello take some 900
	c.mu.Unlock()
	for answer := make([]byte, 512); left > 0; {
		n, err := up.Read(answer)
		if err != nil {
			return
		}
		if stream.Load() {
			n = min(n, left)
			left -= n
		}
		if _, err := down.Write(answer[:n]); err != nil {
			return
		}
	}
	c.cuts.Add(1)
}

// TestClients: each example creates its order, and prints every alert once and in
// order while its streams are cut again and again, byte for byte as it was committed.
func TestClients(t *testing.T) {
	goClient := filepath.Join(t.TempDir(), "client")
	for _, c := range []struct {
		name string
		make []string // before it runs
		run  []string
	}{
		{"curl", nil, []string{"sh", "clients/curl.sh"}},
		{"go", []string{"go", "build", "-o", goClient, "./clients/go"}, []string{goClient}},
		{"node", nil, []string{"node", "clients/node.mjs"}},
		{"python3", nil, []string{"python3", "clients/python.py"}},
		{"java", nil, []string{"java", "clients/Follow.java"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.name == "java" {
				if _, err := exec.LookPath("javac"); err != nil {
					testrun.Skip(t, "no JDK is installed: the Java client was not run")
				}
			} else {
				testservers.Require(t, c.name)
			}
			if c.make != nil {
				if out, err := exec.CommandContext(t.Context(), c.make[0], c.make[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			follow(t, c.name, c.run)
		})
	}
}

// follow runs one client.
func follow(t *testing.T, name string, run []string) {
	t.Helper()
	const alerts = 40
	s := servertest.Start(t)
	proxy := startCutter(t, strings.Trim(strings.TrimPrefix(s.URL, "http://"), "/"))
	var want []string
	raise := func() {
		n := len(want) + 1
		want = append(want, string(s.Raise(1, doorbell.NewOrder, int64(n), fmt.Sprintf("订单号: %q %d", name, n)).Encode()))
	}
	for range alerts / 3 {
		raise()
	}
	service := s.Token(doorbell.RoleService, "backend", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	client := exec.CommandContext(ctx, run[0], run[1:]...)
	client.Env = append(os.Environ(), "DOORBELL=http://"+proxy.Addr().String(), "SERVICE="+service,
		"CONSOLE="+s.Token(doorbell.RoleConsole, "till", 1), "NUMBER=of-"+name, "CURSOR="+filepath.Join(t.TempDir(), "cursor"))
	client.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // curl and its shell
	client.Cancel = func() error { return syscall.Kill(-client.Process.Pid, syscall.SIGKILL) }
	client.WaitDelay = time.Second
	var told bytes.Buffer
	client.Stderr = &told
	out, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for i := 0; i < alerts; i++ {
		if !lines.Scan() {
			break
		}
		if lines.Text() != want[i] {
			t.Errorf("line %d: %s, want %s", i+1, lines.Text(), want[i])
			break
		}
		if len(want) < alerts { // the others come while it follows
			raise()
		}
		if i == alerts-1 {
			break
		}
	}
	cancel()
	_ = client.Wait() // it was killed
	if t.Failed() || proxy.cuts.Load() < 2 {
		t.Errorf("%d cuts, want some; the client said:\n%s", proxy.cuts.Load(), told.String())
	}
	again := strings.NewReader(`{"number":"of-` + name + `","shopId":1,"amount":1250}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"api/v1/orders", again)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+service)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close() // only its status matters
	if res.StatusCode != http.StatusOK {
		t.Errorf("the client's order, created again: %s, want 200: it made none", res.Status)
	}
}
