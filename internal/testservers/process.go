// Package testservers starts real servers for tests, on free ports and in separate
// folders, so that a test may kill, freeze and restart them.
package testservers

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"doorbell/internal/testrun"
)

// startWait bounds the start of a server on a busy machine.
const startWait = 30 * time.Second

// Server is one process. Its methods fail the test.
type Server struct {
	Addr string // HOST:PORT
	Dir  string // its files, and output.log

	t    testing.TB
	name string
	args []string
	cmd  *exec.Cmd
	done chan struct{}
}

// Launch starts the program name with args, in which {port} and {dir} are
// replaced, and returns when it accepts connections. The test's end kills it.
func Launch(t testing.TB, name string, args ...string) *Server {
	t.Helper()
	s := Prepare(t, name, args...)
	s.Start()
	return s
}

// Prepare does the same without the start.
func Prepare(t testing.TB, name string, args ...string) *Server {
	t.Helper()
	Require(t, name)
	port := freePort(t)
	s := &Server{Addr: net.JoinHostPort("127.0.0.1", port), Dir: t.TempDir(), t: t, name: name}
	for _, a := range args {
		s.args = append(s.args, fill(a, map[string]string{"{port}": port, "{dir}": s.Dir}))
	}
	t.Cleanup(func() {
		if s.cmd != nil {
			s.Kill()
		}
	})
	return s
}

// Require skips the test if a program is not installed, and reports that; in CI it
// fails.
func Require(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed; make deps installs it", name)
	}
	testrun.Skip(t, "%s is not installed; make deps installs it", name)
}

// Start runs the server, also again after Kill, with its old files.
func (s *Server) Start() {
	s.t.Helper()
	out, err := os.OpenFile(filepath.Join(s.Dir, "output.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()                       //nolint:errcheck // the child has its own
	s.cmd = exec.Command(s.name, s.args...) //nolint:noctx,gosec // a test's own, and it ends with the test
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.Dir, out, out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // killed
		close(done)
	}(s.cmd, s.done)
	s.await()
}

// await waits until the server accepts connections.
func (s *Server) await() {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(startWait)
	for {
		if c, err := (&net.Dialer{Timeout: time.Second}).DialContext(s.t.Context(), "tcp", s.Addr); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-tick.C:
			continue
		case <-s.done:
			s.t.Fatalf("%s ended at its start:\n%s", s.name, s.Output())
		case <-late:
			s.t.Fatalf("%s did not listen within %s:\n%s", s.name, startWait, s.Output())
		}
	}
}

// Output returns what the server wrote.
func (s *Server) Output() string {
	b, err := os.ReadFile(filepath.Join(s.Dir, "output.log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Kill kills the server, even if it is frozen, and waits for its end.
func (s *Server) Kill() {
	s.t.Helper()
	s.signal(syscall.SIGKILL)
	<-s.done
	s.cmd = nil
}

// Freeze stops the server; its sockets stay open.
func (s *Server) Freeze() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	if err := AwaitStopped(s.cmd.Process.Pid); err != nil {
		s.t.Fatal(err)
	}
}

// Thaw lets it continue.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Fatal(err)
	}
}

// freePort returns a port that nobody listens on.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}
