// Package e2e holds the tests that run the real program: a process of its own,
// real proxies, a real browser.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"doorbell/internal/testrun"
)

// binary is the program, built once with the race detector.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "doorbell-e2e")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "doorbell")
	build := exec.Command("go", "build", "-race", "-o", binary, "..")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: build the program:", err)
		os.Exit(1)
	}
	code := m.Run()
	stopBrowser()
	http.DefaultClient.CloseIdleConnections()
	// toxiproxy keeps the links of clients that left during a fault.
	var toxiproxy []goleak.Option
	for _, f := range []string{"(*ToxicLink).read", "(*ToxicLink).write", "/toxics.(*ToxicStub).Run", "(*ToxicLink).RemoveToxic.func1"} {
		toxiproxy = append(toxiproxy, goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2"+strings.Replace("."+f, "./", "/", 1)))
	}
	if err := goleak.Find(toxiproxy...); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "e2e: left behind:", err)
		code = 1
	}
	_ = os.RemoveAll(dir) // a temporary folder
	os.Exit(code)
}

// within is how long a condition may take; no passing run needs that long.
const within = 30 * time.Second

// eventually waits for a condition. Most of them ask a browser or a process, which takes
// work from what is tested: so it looks less often than testrun.Eventually.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	testrun.Poll(t, 20*time.Millisecond, what, holds)
}

func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // freed for the one who asked
	return ln.Addr().String()
}

// output collects what a process prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// tail returns the end of what was printed, for a failure.
func (o *output) tail() string {
	text := o.String()
	if len(text) > 4000 {
		text = "…" + text[len(text)-4000:]
	}
	return text
}

// server is one doorbell process.
type server struct {
	t    *testing.T
	bin  string
	addr string
	base string
	dir  string
	env  []string
	cmd  *exec.Cmd
	hand *os.File // a listening socket to start with, as systemd hands it over
	out  *output
	log  *output

	stderr *os.File // in the place of log, where a test needs that
}

// startServer runs the program in a folder of its own; env adds settings.
func startServer(t *testing.T, env ...string) *server {
	t.Helper()
	return startBinary(t, binary, env...)
}

func startBinary(t *testing.T, bin string, env ...string) *server {
	t.Helper()
	addr := freeAddr(t)
	s := &server{t: t, bin: bin, addr: addr, base: "http://" + addr + "/", dir: t.TempDir(), env: env}
	s.start()
	t.Cleanup(func() { s.stop(syscall.SIGTERM) })
	return s
}

func (s *server) environ() []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "DOORBELL_SERVER_ADDR=" + s.addr,
	}
	return append(env, s.env...)
}

func (s *server) start() {
	s.t.Helper()
	s.launch()
	s.await()
}

// launch starts the process and does not wait for it.
func (s *server) launch() {
	s.t.Helper()
	s.out, s.log = &output{}, &output{}
	s.cmd = exec.Command(s.bin)
	if s.hand != nil { // LISTEN_PID is known only after the fork
		s.cmd = exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0"`, s.bin)
		s.cmd.ExtraFiles = []*os.File{s.hand}
	}
	s.cmd.Dir, s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = s.dir, s.environ(), s.out, s.log
	if s.stderr != nil {
		s.cmd.Stderr = s.stderr
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// await returns when the server is ready.
func (s *server) await() {
	s.t.Helper()
	eventually(s.t, "the server is ready", func() bool {
		res, err := http.Get(s.base + "readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close() //nolint:errcheck // not read
		return res.StatusCode == http.StatusOK
	})
}

// stop ends the process and checks its exit code.
func (s *server) stop(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	cmd := s.cmd
	s.cmd = nil
	if err := cmd.Process.Signal(sig); err != nil {
		s.t.Errorf("signal the server: %v", err)
	}
	err := cmd.Wait()
	if sig == syscall.SIGTERM && err != nil {
		s.t.Errorf("the server stopped with %v:\n%s", err, s.log.tail())
	}
	if strings.Contains(s.log.String(), "DATA RACE") {
		s.t.Errorf("data race:\n%s", s.log)
	}
}

// run runs another command of the program against this server.
func (s *server) run(args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.bin, args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.environ(), &out, &errs
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("doorbell %v: %v\n%s%s\nserver: %s", args, err, &out, &errs, s.log)
	}
	return strings.TrimSpace(out.String())
}

// data returns the folder of the server's secrets.
func (s *server) data() string {
	for _, e := range s.env {
		if dir, ok := strings.CutPrefix(e, "DOORBELL_DATA_DIR="); ok {
			return dir
		}
		if path, ok := strings.CutPrefix(e, "DOORBELL_DATABASE_URL=sqlite://"); ok {
			return filepath.Dir(path)
		}
	}
	return filepath.Join(s.dir, "data")
}

func (s *server) token(role string, more ...string) string {
	s.t.Helper()
	return s.run(append([]string{"token", "--role", role}, more...)...)
}

// link returns the console's address with a new ticket.
func (s *server) link() string { s.t.Helper(); return s.run("link") }

// call makes an API call and returns the status and the answer.
func (s *server) call(method, path, token string, body any) (int, map[string]any) {
	s.t.Helper()
	var text io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		text = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, text)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil && err != io.EOF {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res.StatusCode, answer
}

// need returns a program's path, or fails the test: the suite does not pass
// without it.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if p := filepath.Join("/usr/sbin", name); exists(p) {
			return p
		}
		t.Fatalf("%s is needed; make deps installs it", name)
	}
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// containsLine reports whether one of text's lines is line.
func containsLine(text, line string) bool {
	for l := range strings.Lines(text) {
		if strings.TrimSuffix(l, "\n") == line {
			return true
		}
	}
	return false
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
