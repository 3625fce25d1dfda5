package databases

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// launch starts the program from a thread that lives as long as the program: when
// the thread ends, the kernel kills the program, so that a killed test leaves none
// behind.
func (s *Server) launch(cmd *exec.Cmd) error {
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the test checks how it ends
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.process, s.ended = cmd.Process, ended
	return nil
}

func (s *Server) signal(sig syscall.Signal) {
	for _, pid := range s.family() {
		_ = syscall.Kill(pid, sig) // it may have ended
	}
}

// family returns the server's processes: PostgreSQL's have sessions of their own.
func (s *Server) family() []int {
	if s.process == nil {
		return nil
	}
	all := []int{s.process.Pid}
	names, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		pid, rest, _ := strings.Cut(string(text), " ")
		_, rest, _ = strings.Cut(rest, ") ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[1] == strconv.Itoa(s.process.Pid) {
			if n, err := strconv.Atoi(pid); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}

// attributes makes the program end with the test, and run as its own user if the
// test runs as root, which PostgreSQL refuses.
func (s *Server) attributes() (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		return attr, nil
	}
	uid, gid, err := s.owner()
	if err != nil {
		return nil, err
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, nil
}

func (s *Server) owner() (uid, gid int, err error) {
	u, err := user.Lookup(s.Kind.user)
	if err != nil {
		return 0, 0, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return uid, gid, errors.Join(err1, err2)
}

// own changes a file's owner to the program's user.
func (s *Server) own(file string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := s.owner()
	if err != nil {
		return err
	}
	return os.Chown(file, uid, gid)
}

// runOnce runs a program to its end.
func (s *Server) runOnce(program string, args ...string) error {
	cmd := exec.Command(s.Kind.find(program), args...) //nolint:gosec,noctx // a test's own
	attr, err := s.attributes()
	if err != nil {
		return err
	}
	attr.Pdeathsig = 0 // set for a thread that may end sooner
	cmd.SysProcAttr, cmd.Dir = attr, s.folder
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, lastLines(string(out)))
	}
	return nil
}

func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
