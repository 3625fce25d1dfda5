package databases

import (
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	_ "github.com/go-sql-driver/mysql" // for the administrator's connection
	_ "github.com/jackc/pgx/v5/stdlib"
)

// Postgres is Debian's PostgreSQL, whose programs are not on the path.
var Postgres = Kind{
	Name: "postgres", Package: "postgresql", user: "postgres", driver: "pgx",
	find: func(program string) string {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + program)
		if len(found) > 0 {
			slices.SortFunc(found, func(a, b string) int { return release(a) - release(b) })
			return found[len(found)-1]
		}
		return onPath(program)
	},
	make: func(s *Server) error {
		pass, err := s.write("password", Password)
		if err != nil {
			return err
		}
		return s.runOnce("initdb", "--pgdata="+s.data(), "--username="+User, "--pwfile="+pass, "--auth=scram-sha-256",
			"--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
	},
	command: func(s *Server) *exec.Cmd {
		settings := []string{"listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=300", "shared_buffers=64MB", "logging_collector=off"}
		if !s.options.Durable {
			settings = append(settings, "fsync=off", "full_page_writes=off")
		}
		args := []string{"-D", s.data(), "-p", strconv.Itoa(s.Port)}
		for _, setting := range append(settings, s.options.Settings...) {
			args = append(args, "-c", setting)
		}
		return exec.Command(s.Kind.find("postgres"), args...) //nolint:gosec // a test's own
	},
	dsn:    func(s *Server, _ string) string { return s.URL("postgres") },
	create: `create database %s`,
	drop:   `drop database if exists %s with (force)`,
}

// MariaDB is Debian's MariaDB. MySQL itself is not packaged there.
var MariaDB = Kind{
	Name: "mysql", Package: "mariadb-server", user: "mysql", driver: "mysql",
	find: onPath,
	make: func(s *Server) error {
		grant := fmt.Sprintf("create user if not exists '%s'@'%%' identified by '%s';\ngrant all privileges on *.* to '%s'@'%%' with grant option;\n", User, Password, User)
		if _, err := s.write("grant.sql", grant); err != nil {
			return err
		}
		return s.runOnce("mariadb-install-db", "--no-defaults", "--datadir="+s.data(), "--auth-root-authentication-method=normal",
			"--skip-test-db", "--skip-name-resolve")
	},
	command: func(s *Server) *exec.Cmd {
		args := []string{
			"--no-defaults", "--datadir=" + s.data(), "--socket=" + filepath.Join(s.folder, "s"), "--pid-file=" + filepath.Join(s.folder, "pid"),
			"--port=" + strconv.Itoa(s.Port), "--bind-address=127.0.0.1", "--skip-name-resolve", "--max-connections=300",
			"--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M", "--performance-schema=off", "--init-file=" + filepath.Join(s.folder, "grant.sql"),
		}
		if !s.options.Durable {
			args = append(args, "--innodb-flush-log-at-trx-commit=2")
		}
		for _, setting := range s.options.Settings {
			args = append(args, "--"+setting)
		}
		return exec.Command(s.Kind.find("mariadbd"), args...) //nolint:gosec // a test's own
	},
	dsn: func(s *Server, database string) string {
		return fmt.Sprintf("%s:%s@tcp(127.0.0.1:%d)/%s", User, Password, s.Port, database)
	},
	create: `create database %s`,
	drop:   `drop database if exists %s`,
}

// programs returns the programs that Start needs.
func (k Kind) programs() []string {
	if k.Name == Postgres.Name {
		return []string{"initdb", "postgres"}
	}
	return []string{"mariadb-install-db", "mariadbd"}
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

// URL returns a database's URL in the form of database.url.
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: s.Kind.Name, User: url.UserPassword(User, Password), Host: "127.0.0.1:" + strconv.Itoa(s.Port), Path: "/" + database}
	return u.String()
}

func release(path string) int {
	n, _ := strconv.Atoi(strings.Split(path, "/")[4])
	return n
}

func onPath(program string) string {
	for _, folder := range []string{"/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"} {
		if found, err := exec.LookPath(filepath.Join(folder, program)); err == nil {
			return found
		}
	}
	return ""
}
