// Package databases starts real database servers for tests, on free ports and in
// separate folders, so that a test may stop, kill and freeze them. It does not use
// the Debian packages' own services.
package databases

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"doorbell/internal/testservers"
)

// Kind is a database program that can be started.
type Kind struct {
	Name    string // as in a URL's scheme
	Package string // Debian package
	user    string // the user that it runs as if the tests run as root
	find    func(program string) string
	make    func(s *Server) error // creates the data folder
	command func(s *Server) *exec.Cmd
	driver  string
	dsn     func(s *Server, database string) string
	create  string // statement that creates a database, as a format
	drop    string
}

// Name and password of the user in Server.URL, who has all rights.
const (
	User     = "doorbell"
	Password = "pass/w:rd@%" //nolint:gosec // a test's; contains characters that need escaping in a URL
)

// startTime bounds a start; recovery after a kill is part of it.
const startTime = 60 * time.Second

// Options are the arguments of Start.
type Options struct {
	// Durable makes a commit wait for the disk, as in production. Without it the
	// suites run twice as fast, and a killed server still loses nothing, because the
	// kernel has the data.
	Durable bool
	// Settings are further settings of the server, NAME=VALUE.
	Settings []string
	// Space puts the server on a disk of its own with that many bytes, for FillDisk;
	// this needs root.
	Space int64
}

// Server is a started server.
type Server struct {
	Kind    Kind
	Version string
	Port    int

	options Options
	folder  string
	process *os.Process
	ended   chan struct{} // closed when the process is gone
	admin   *sql.DB
	made    atomic.Int64 // number of databases created
}

// Missing returns why a kind can't be started on this machine; empty if it can.
func Missing(k Kind) string {
	for _, program := range k.programs() {
		if k.find(program) == "" {
			return k.Package + " is not installed: there is no " + program
		}
	}
	return ""
}

// Start starts a server in a new folder below the system's temporary folder, whose
// path is short enough for a socket. Close removes the folder.
func Start(k Kind, o Options) (*Server, error) {
	if missing := Missing(k); missing != "" {
		return nil, errors.New(missing)
	}
	folder, err := os.MkdirTemp("", "db-")
	if err != nil {
		return nil, err
	}
	if o.Space > 0 {
		if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, fmt.Sprintf("size=%d", o.Space)); err != nil {
			return nil, errors.Join(fmt.Errorf("mount a small disk: %w", err), os.Remove(folder))
		}
	}
	s := &Server{Kind: k, options: o, folder: folder}
	if err := errors.Join(os.Chmod(folder, 0o755), s.own(folder)); err != nil { //nolint:gosec // another user's program starts in it
		return nil, errors.Join(err, s.remove())
	}
	if err := k.make(s); err != nil {
		return nil, errors.Join(fmt.Errorf("create the data folder of %s: %w", k.Name, err), s.remove())
	}
	if err := s.Start(); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// Start starts a stopped or killed server again. It keeps the port, unless the
// server never ran and another program has taken the port.
func (s *Server) Start() error {
	var err error
	for range 3 {
		if s.Port == 0 {
			if s.Port, err = freePort(); err != nil {
				return err
			}
		}
		if err = s.startOnce(); err == nil {
			return nil
		}
		if s.admin == nil { // it has never run: another program may have taken the port
			s.Port = 0
		}
	}
	return err
}

func (s *Server) startOnce() error {
	cmd := s.Kind.command(s)
	log, err := os.OpenFile(filepath.Join(s.folder, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the child has its own
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.folder, log, log
	cmd.SysProcAttr, err = s.attributes()
	if err != nil {
		return err
	}
	if err := s.launch(cmd); err != nil {
		return err
	}
	if err := s.ready(); err != nil {
		s.Kill()
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("start %s: %w\n%s", s.Kind.Name, err, lastLines(string(text)))
	}
	return nil
}

func (s *Server) ready() error {
	if s.admin == nil {
		db, err := sql.Open(s.Kind.driver, s.Kind.dsn(s, ""))
		if err != nil {
			return err
		}
		db.SetMaxIdleConns(1)
		s.admin = db
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	for {
		err := s.admin.QueryRowContext(ctx, `select version()`).Scan(&s.Version)
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return errors.Join(errors.New("the program ended"), err)
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// NewDatabase creates an empty database and returns its URL and a function that
// removes it.
func (s *Server) NewDatabase(ctx context.Context) (url string, drop func() error, err error) {
	name := fmt.Sprintf("d%d", s.made.Add(1))
	if _, err := s.admin.ExecContext(ctx, fmt.Sprintf(s.Kind.create, name)); err != nil {
		return "", nil, fmt.Errorf("create a database: %w", err)
	}
	drop = func() error {
		_, err := s.admin.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf(s.Kind.drop, name))
		return err
	}
	return s.URL(name), drop, nil
}

// Exec runs a statement as the administrator.
func (s *Server) Exec(ctx context.Context, query string) error {
	_, err := s.admin.ExecContext(ctx, query)
	return err
}

// Stop ends the server as its administrator would, with all connections.
func (s *Server) Stop() error {
	if s.process == nil {
		return nil
	}
	sig := syscall.SIGTERM
	if s.Kind.Name == Postgres.Name {
		sig = syscall.SIGINT // does not wait for its clients
	}
	if err := s.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
		return nil
	case <-time.After(startTime):
		s.Kill()
		return fmt.Errorf("%s did not stop; it was killed", s.Kind.Name)
	}
}

// Kill ends the server as the loss of its machine would, except that the disk's
// cache survives.
func (s *Server) Kill() {
	for _, pid := range s.family() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if s.ended != nil {
		<-s.ended
	}
}

// Freeze stops all of its processes; connections stay open.
func (s *Server) Freeze() {
	s.signal(syscall.SIGSTOP)
	for _, pid := range s.family() {
		_ = testservers.AwaitStopped(pid) // if one did not, the test says so
	}
}

// Thaw continues them.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

// Close ends the server and removes its folder.
func (s *Server) Close() error {
	s.Thaw()
	err := s.admin.Close()
	s.Kill()
	return errors.Join(err, s.remove())
}

// remove removes the server's folder, and the disk below it.
func (s *Server) remove() (err error) {
	if s.options.Space > 0 {
		err = syscall.Unmount(s.folder, syscall.MNT_DETACH)
	}
	return errors.Join(err, os.RemoveAll(s.folder))
}

// write writes a file that the program can read into the folder.
func (s *Server) write(name, text string) (path string, err error) {
	path = filepath.Join(s.folder, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", err
	}
	return path, s.own(path)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close() //nolint:forcetypeassert // it is
}
