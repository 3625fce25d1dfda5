package store

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/pressly/goose/v3"

	"doorbell/internal/doorbell"
)

func newOrder(t testing.TB, s *Store, id doorbell.OrderID, number string) (doorbell.Order, error) {
	t.Helper()
	o := doorbell.Order{ID: id, Number: number, Shop: 1, Status: doorbell.ToBePaid, Money: doorbell.Money{Minor: 1, Currency: "CNY"}, CreatedAt: now()}
	err := s.Write(t.Context(), func(tx doorbell.Tx) (err error) {
		o, err = tx.InsertOrder(o)
		return err
	})
	return o, err
}

func testOrderIDs(t *testing.T, db database) {
	s := db.open(t, nil)
	auto := func(number string) doorbell.OrderID {
		t.Helper()
		o, err := newOrder(t, s, 0, number)
		if err != nil {
			t.Fatal(err)
		}
		return o.ID
	}
	given := func(id doorbell.OrderID) {
		t.Helper()
		if _, err := newOrder(t, s, id, fmt.Sprint("given-", id)); err != nil {
			t.Fatal(err)
		}
	}
	if got := auto("A-1"); got != 1 {
		t.Errorf("the first id is %d", got)
	}
	given(doorbell.MaxID)
	given(3)
	given(2)
	if got := auto("A-2"); got != 4 {
		t.Errorf("after 1, with 2, 3 and the highest given: %d, want 4", got)
	}
	for id := doorbell.OrderID(5); id < 105; id++ { // 100 ids in a row are taken
		given(id)
	}
	// The ids that predictable leaps would hit are taken too.
	for leap := doorbell.OrderID(128); leap < doorbell.MaxID-4-nearIDs; leap *= 2 {
		given(4 + leap)
		given(4 + nearIDs + leap) // from the last id that was tried in turn
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[doorbell.OrderID]bool{}
	for i := range 300 { // concurrently
		wg.Go(func() {
			o, err := newOrder(t, s, 0, fmt.Sprint("C-", i))
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[o.ID] || o.ID > 1<<20 {
				t.Errorf("id %d, seen before: %v, %v", o.ID, seen[o.ID], err)
			}
			seen[o.ID] = true
		})
	}
	wg.Wait()
}

// TestOrderIDsAreRepaired: a database whose counter was used up by a chosen id
// issues ids again after the migration, none of them in use; an intact one
// continues where it was.
func TestOrderIDsAreRepaired(t *testing.T) {
	for _, c := range []struct {
		name  string
		given doorbell.OrderID
		want  doorbell.OrderID
	}{
		{"well", 0, 8},
		{"moved, with room left", 1 << 40, 1<<40 + 1},
		{"used up", doorbell.MaxID, 8},
		{"nearly used up", doorbell.MaxID - 3, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "d.db")
			s, err := Open(t.Context(), Options{URL: "sqlite://" + file})
			if err != nil {
				t.Fatal(err)
			}
			// Written by the release before this one: order 7 was pruned, its alerts
			// remain.
			for _, q := range []string{
				`delete from goose_db_version where version_id = 4`, `drop table order_ids`, `drop table probes`,
				`insert into orders (id, number, shop_id, user_id, status, pay_status, amount, currency, created_at) values (5, 'A', 1, 1, 1, 0, 1, 'CNY', 1)`,
				`insert into orders (id, number, shop_id, user_id, status, pay_status, amount, currency, created_at) values (7, 'C', 1, 1, 1, 0, 1, 'CNY', 1)`,
				`insert into alerts (shop_id, seq, type, source, order_id, number, content, test, actor, created_at, ringing) values (1, 1, 1, 'order', 7, 'C', '', 0, '', 1, 0)`,
				`delete from orders where id = 7`,
			} {
				if _, err := s.writes.ExecContext(t.Context(), q); err != nil {
					t.Fatal(err)
				}
			}
			if c.given != 0 {
				if _, err := s.writes.ExecContext(t.Context(), `insert into orders (id, number, shop_id, user_id, status, pay_status, amount, currency, created_at) values (?, 'G', 2, 1, 1, 0, 1, 'CNY', 1)`, c.given); err != nil {
					t.Fatal(err)
				}
			}
			if err := migrateAgain(t, s); err != nil {
				t.Fatal(err)
			}
			start(t, s)
			o, err := newOrder(t, s, 0, "B")
			if err != nil || o.ID != c.want {
				t.Errorf("the next id is %d, %v; want %d", o.ID, err, c.want)
			}
		})
	}
}

// migrateAgain runs the one migration that this test has undone.
func migrateAgain(t *testing.T, s *Store) error {
	t.Helper()
	files, err := sqliteDialect.migrationFiles()
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.writes, files)
	if err != nil {
		return err
	}
	_, err = p.ApplyVersion(t.Context(), 4, true)
	return err
}
