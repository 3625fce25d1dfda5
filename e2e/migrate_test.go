package e2e

import (
	"strings"
	"syscall"
	"testing"

	"doorbell/internal/testservers/databases"
	"doorbell/transport/transporttest"
)

// TestMigrate moves a server's database to PostgreSQL and to MariaDB while payments
// and consoles go on trying: nothing that was acknowledged is lost, and the consoles go on
// from their cursors, on all transports, without a reset and without an alert twice.
func TestMigrate(t *testing.T) {
	t.Parallel()
	for _, kind := range []databases.Kind{databases.Postgres, databases.MariaDB} {
		t.Run(kind.Name, func(t *testing.T) {
			to, _, err := databases.Need(t, kind).NewDatabase(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s := startServer(t)
			w := loadOn(t, s, 4, 8, transporttest.Seeded(t), func(s *server) string { return s.base })
			eventually(t, "payments are acknowledged", func() bool { return w.count() > 20 })
			s.stop(syscall.SIGTERM)
			before := w.count()
			if said := s.run("migrate", "--to", to); !strings.Contains(said, "Consoles go on where they are") || strings.Contains(said, databases.Password) {
				t.Errorf("migrate says %s", said)
			}
			s.env = append(s.env, "DOORBELL_DATABASE_URL="+to)
			s.start()
			w.catchUp()
			eventually(t, "more payments are acknowledged", func() bool { return w.count() > before+20 })
			w.finish()
			for _, c := range w.consoles {
				if n := c.rewound(); n != 0 {
					t.Errorf("a console was reset %d times", n)
				}
			}
		})
	}
}
