package databases

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	for _, k := range []Kind{Postgres, MariaDB} {
		if missing := Missing(k); missing != "" {
			fmt.Fprintln(os.Stderr, "databases: NOT tested: "+missing)
			if os.Getenv("CI") == "true" {
				os.Exit(1)
			}
		}
	}
	os.Exit(m.Run())
}

// TestServers: each server can be stopped, killed and frozen, keeps what was
// committed, and leaves no process behind.
func TestServers(t *testing.T) {
	for _, k := range []Kind{Postgres, MariaDB} {
		t.Run(k.Name, func(t *testing.T) {
			Require(t, k)
			s, err := Start(k, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if _, err := os.Stat(s.folder); err == nil || s.process.Signal(nil) == nil {
					t.Error("it left its folder or its process")
				}
			}()
			t.Log(s.Version)
			_, drop, err := s.NewDatabase(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			db, err := sql.Open(k.driver, k.dsn(s, "d1"))
			if k.Name == Postgres.Name {
				db, err = sql.Open(k.driver, s.URL("d1"))
			}
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close() //nolint:errcheck // a test's
			rows := func() (n int, err error) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err = db.QueryRowContext(ctx, `select count(*) from t`).Scan(&n)
				return n, err
			}
			for _, query := range []string{`create table t (n int)`, `insert into t (n) values (1)`} {
				if _, err := db.ExecContext(t.Context(), query); err != nil {
					t.Fatal(err)
				}
			}
			s.Freeze()
			if n, err := rows(); err == nil {
				t.Errorf("a frozen server answers %d", n)
			}
			s.Thaw()
			if n, err := rows(); err != nil || n != 1 {
				t.Errorf("after the thaw: %d, %v", n, err)
			}
			for name, end := range map[string]func() error{"stop": s.Stop, "kill": func() error { s.Kill(); return nil }} {
				if err := end(); err != nil {
					t.Fatal(err)
				}
				if n, err := rows(); err == nil {
					t.Errorf("after the %s it answers %d", name, n)
				}
				if err := s.Start(); err != nil {
					t.Fatal(err)
				}
				if n, err := rows(); err != nil || n != 1 {
					t.Errorf("after the %s and a start: %d, %v", name, n, err)
				}
			}
			if err := drop(); err != nil {
				t.Error(err)
			}
		})
	}
}
