package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	goosedb "github.com/pressly/goose/v3/database"

	"doorbell/internal/doorbell"
	"doorbell/internal/testservers/databases"
)

// changed returns a changed copy of a URL.
func changed(t *testing.T, databaseURL string, change func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	change(u)
	return u.String()
}

// tryOpen opens a store and closes it again.
func tryOpen(t *testing.T, databaseURL string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := Open(ctx, Options{URL: databaseURL})
	if err == nil {
		err = s.Close()
	}
	return err
}

// TestWrongServers: the error at the start says what is wrong, and never the
// password.
func TestWrongServers(t *testing.T) { onServers(t, testWrongServers) }

func testWrongServers(t *testing.T, db database) {
	good := db.url(t)
	port := closedPort(t)
	for _, c := range []struct {
		name   string
		change func(u *url.URL)
		want   string
	}{
		{"nobody listens", func(u *url.URL) { u.Host = port }, "no server answers there"},
		{"no such host", func(u *url.URL) { u.Host = "nowhere.invalid" }, "no server answers there"},
		{"wrong password", func(u *url.URL) { u.User = url.UserPassword(databases.User, "s3cret-and-wrong") }, "wrong password"},
		{"no such user", func(u *url.URL) { u.User = url.UserPassword("nobody", "s3cret-and-wrong") }, "wrong password, or no such user"},
		{"no such database", func(u *url.URL) { u.Path = "/nothing" }, "there is no such database"},
	} {
		bad := changed(t, good, c.change)
		err := tryOpen(t, bad)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), databases.Password) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: the error tells the password: %v", c.name, err)
		}
		if safe := SafeURL(bad); strings.Contains(safe, databases.User) || strings.Contains(safe, "s3cret") {
			t.Errorf("%s: %s", c.name, safe)
		}
	}
	err := tryOpen(t, good)
	for began := time.Now(); timedOut(err) && time.Since(began) < time.Minute; { // the server has no time for it
		err = tryOpen(t, good)
	}
	if err != nil {
		t.Errorf("the right one: %v", err)
	}
}

func timedOut(err error) bool {
	failed, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && failed.Timeout()
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nobody listens there any more
	return l.Addr().String()
}

// TestTakenNames: another program's tables are not touched.
func TestTakenNames(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		at := db.url(t)
		other := rawDB(t, at)
		for _, query := range []string{`create table orders (shop varchar(10))`, `create table goose_db_version (x int)`} {
			if _, err := other.ExecContext(t.Context(), query); err != nil {
				t.Fatal(err)
			}
		}
		err := tryOpen(t, at)
		if err == nil || !strings.Contains(err.Error(), "another program's tables have names that doorbell needs: orders") {
			t.Errorf("got %v", err)
		}
		if _, err := Verify(t.Context(), at); err == nil || !strings.Contains(err.Error(), "another program's") {
			t.Errorf("verify: %v", err)
		}
		if _, err := other.ExecContext(t.Context(), `drop table orders`); err != nil {
			t.Fatal(err)
		}
		if err := tryOpen(t, at); err != nil { // a table with goose's default name is ignored
			t.Errorf("beside other tables: %v", err)
		}
	})
}

// TestReadOnlyServer: a server that refuses writes is refused at the start. If it
// becomes read-only under a running store, changes are refused, and none is lost
// once it accepts writes again.
func TestReadOnlyServer(t *testing.T) {
	for _, e := range engines {
		t.Run(e.kind.Name, func(t *testing.T) {
			databases.Require(t, e.kind)
			server := e.start(t)
			at := e.url(t)
			s := openURL(t, at, nil)
			appendOne(t, s, alertOf(1, 1, doorbell.NewOrder))
			set := func(on int) {
				t.Helper()
				query := fmt.Sprintf(`set global read_only = %d`, on)
				if e.kind.Name == "postgres" {
					u, _ := url.Parse(at)
					query = fmt.Sprintf(`alter database %s set default_transaction_read_only = %d`, strings.TrimPrefix(u.Path, "/"), on)
				}
				if err := server.Exec(context.WithoutCancel(t.Context()), query); err != nil {
					t.Fatal(err)
				}
			}
			set(1)
			err := tryOpen(t, at)
			if err == nil || !strings.Contains(err.Error(), "takes no writes: it is a replica") {
				t.Errorf("got %v", err)
			}
			set(0)
			if a := appendOne(t, s, alertOf(1, 2, doorbell.NewOrder)); a.Seq != 2 {
				t.Errorf("seq %d, want 2", a.Seq)
			}
		})
	}
}

// TestOldReleases: releases that are too old are refused by name.
func TestOldReleases(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{checkPostgres("120022", "12.22", "UTF8"), "this is PostgreSQL 12.22; doorbell needs 13 or later"},
		{checkPostgres("130000", "13.0", "UTF8"), ""},
		{checkPostgres("150018", "15.18", "SQL_ASCII"), "encoding is SQL_ASCII"},
		{mySQL8.check("5.7.44-log"), "this is MySQL 5.7.44-log; doorbell needs 8.0.17 or later"},
		{mySQL8.check("8.0.16"), "needs 8.0.17"},
		{mySQL8.check("8.0.17"), ""},
		{mySQL8.check("8.4.0"), ""},
		{mySQL8.check("9.1.0"), ""},
		{mariaDB.check("10.5.29-MariaDB"), "this is MariaDB 10.5.29-MariaDB; doorbell needs 10.6.0"},
		{mariaDB.check("10.6.0-MariaDB"), ""},
		{mariaDB.check("11.8.2-MariaDB-ubu2404"), ""},
		{mariaDB.check("what"), "version \"what\" can't be parsed"},
	} {
		if c.want == "" && c.err != nil || c.want != "" && (c.err == nil || !strings.Contains(c.err.Error(), c.want)) {
			t.Errorf("got %v, want %q", c.err, c.want)
		}
	}
}

// TestMySQLURLs: URLs are read with their options; an unknown one is named in the
// error.
func TestMySQLURLs(t *testing.T) {
	cfg, err := parseMySQL("mysql://u%40x:p%2Fw@db.example.com/shop?tls=skip-verify")
	if err != nil || cfg.User != "u@x" || cfg.Passwd != "p/w" || cfg.Addr != "db.example.com:3306" || cfg.DBName != "shop" || cfg.TLSConfig != "skip-verify" {
		t.Errorf("%+v, %v", cfg, err)
	}
	if cfg, err := parseMySQL("mysql://u@x/shop?socket=/run/s"); err != nil || cfg.Net != "unix" || cfg.Addr != "/run/s" {
		t.Errorf("%+v, %v", cfg, err)
	}
	for bad, want := range map[string]string{
		"mysql://u:s3cret/x@h/d":    "not a URL",
		"mysql://u:s3cret@h":        "names no database",
		"mysql://u:s3cret@h/d?tsl=": `unknown option "tsl"`,
		"mysql://u@h/d?ca=/none":    "no such file",
	} {
		if _, err := parseMySQL(bad); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %q", bad, err, want)
		}
	}
}

// TestStartsAtOnce: of nodes that start together on an empty database one migrates
// it.
func TestStartsAtOnce(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		at := db.url(t)
		var starting sync.WaitGroup
		epochs := make([]string, 4)
		for i := range epochs {
			starting.Go(func() {
				s, err := Open(t.Context(), Options{URL: at})
				if err != nil {
					t.Error(err)
					return
				}
				if epochs[i], _, err = s.Positions(t.Context(), nil); err != nil {
					t.Error(err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		starting.Wait()
		for _, e := range epochs {
			if e == "" || e != epochs[0] {
				t.Errorf("epochs %q, want one", epochs)
			}
		}
	})
}

// TestStartsAfterOneThatDied: MySQL commits the table of the schema's version before
// its first row, and a node may die between them.
func TestStartsAfterOneThatDied(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		at := db.url(t)
		v, err := serverOf(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		versions, err := goosedb.NewStore(v.dialect.goose, v.dialect.versions)
		if err != nil {
			t.Fatal(err)
		}
		if err := versions.CreateVersionTable(t.Context(), rawDB(t, at)); err != nil {
			t.Fatal(err)
		}
		if err := tryOpen(t, at); err != nil {
			t.Error(err)
		}
	})
}
