package store

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
	"doorbell/internal/testservers/databases"
)

// database is one database that the suite runs on.
type database struct {
	name string
	url  func(t testing.TB) string // returns the URL of an empty database
}

// engine is a server that starts when the first test asks for it.
type engine struct {
	kind   databases.Kind
	once   sync.Once
	server *databases.Server
	err    error
}

var engines = []*engine{{kind: databases.Postgres}, {kind: databases.MariaDB}}

func (e *engine) start(t testing.TB) *databases.Server {
	t.Helper()
	e.once.Do(func() { e.server, e.err = databases.Start(e.kind, databases.Options{}) })
	if e.err != nil {
		t.Fatal(e.err)
	}
	return e.server
}

func (e *engine) url(t testing.TB) string {
	t.Helper()
	url, drop, err := e.start(t).NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := drop(); err != nil {
			t.Error(err)
		}
	})
	return url
}

// everywhere returns every database that this machine can start; TestMain reports
// those that it can't.
func everywhere() []database {
	out := []database{{"sqlite", func(t testing.TB) string { return "sqlite://" + filepath.Join(t.TempDir(), "doorbell.db") }}}
	for _, e := range engines {
		if databases.Missing(e.kind) == "" {
			out = append(out, database{e.kind.Name, e.url})
		}
	}
	return out
}

// servers returns the databases without SQLite.
func servers() []database { return everywhere()[1:] }

// onAll runs a test on every database.
func onAll(t *testing.T, test func(t *testing.T, db database)) {
	t.Helper()
	for _, db := range everywhere() {
		t.Run(db.name, func(t *testing.T) { test(t, db) })
	}
}

func (db database) open(t testing.TB, publish func([]doorbell.Alert)) *Store {
	t.Helper()
	return openURL(t, db.url(t), publish)
}

func openURL(t testing.TB, url string, publish func([]doorbell.Alert)) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: url, Publish: publish, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	return s
}

// numbers is SQL for 1 to 100,000 that all databases read.
const numbers = `(select 1 + a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n as i from ` +

	digits + ` a, ` + digits + ` b, ` + digits + ` c, ` + digits + ` d, ` + digits + ` e) numbers`

const digits = `(select 0 as n union all select 1 union all select 2 union all select 3 union all select 4
	union all select 5 union all select 6 union all select 7 union all select 8 union all select 9)`

// run executes a statement that only a test needs.
func (s *Store) run(ctx context.Context, query string, args ...any) error {
	args, err := s.dialect.bound(args)
	if err != nil {
		return err
	}
	_, err = s.writes.ExecContext(ctx, s.dialect.rebind(query), args...)
	return err
}

func TestMain(m *testing.M) {
	dieRestoring()
	var ran, missing []string
	for _, e := range engines {
		if why := databases.Missing(e.kind); why != "" {
			missing = append(missing, e.kind.Name+" ("+why+")")
		} else {
			ran = append(ran, e.kind.Name)
		}
	}
	fmt.Fprintln(os.Stderr, "store: the suite runs on sqlite "+strings.Join(ran, " "))
	if len(missing) > 0 {
		if err := testrun.Report("store: NOT on " + strings.Join(missing, ", ")); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		if os.Getenv("CI") == "true" {
			os.Exit(1)
		}
	}
	code := m.Run()
	for _, e := range engines {
		if e.server != nil {
			if err := e.server.Close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = max(code, 1)
			}
		}
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
