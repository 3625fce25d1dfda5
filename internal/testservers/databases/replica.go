package databases

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// Replica makes a streaming replica of a PostgreSQL that runs, and starts it; it
// follows by way of addr, which leads to the server. Close removes it.
func (s *Server) Replica(addr string) (*Server, error) {
	folder, err := os.MkdirTemp("", "db-")
	if err != nil {
		return nil, err
	}
	r := &Server{Kind: s.Kind, options: s.options, folder: folder}
	if err := errors.Join(os.Chmod(folder, 0o755), s.own(folder)); err != nil { //nolint:gosec // another user's program starts in it
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	host, port, err := net.SplitHostPort(addr)
	if err == nil {
		from := fmt.Sprintf("host=%s port=%s user=%s password='%s'", host, port, User, strings.ReplaceAll(Password, `'`, `\'`))
		err = r.runOnce("pg_basebackup", "--dbname="+from, "--pgdata="+r.data(), "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync")
	}
	if err == nil {
		err = r.Start()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return r, nil
}

// Addr is where the server listens.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }
