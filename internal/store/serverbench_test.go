package store

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testservers/databases"
)

// callers is how many callers write at once, each to a shop of its own.
const callers = 64

// BenchmarkBeside compares the rate of 64 callers with that of the bare engine, in
// the same run, with commits that wait for the disk. The bare rate is one inserted
// row of an alert per transaction, on as many connections as the store uses (on
// SQLite one, 64 rows per transaction). "one-shop" is the rate of a single shop,
// whose head is locked until each commit, so that its alerts come one after the
// other.
func BenchmarkBeside(b *testing.B) {
	for _, db := range []struct {
		name string
		url  func(b *testing.B) string
	}{
		{"sqlite", func(b *testing.B) string { return "sqlite://" + filepath.Join(b.TempDir(), "d.db") }},
		{"postgres", func(b *testing.B) string { return durable(b, databases.Postgres) }},
		{"mariadb", func(b *testing.B) string { return durable(b, databases.MariaDB) }},
	} {
		b.Run(db.name, func(b *testing.B) { benchBeside(b, db.url(b)) })
	}
}

func durable(b *testing.B, kind databases.Kind) string {
	b.Helper()
	_, url := ownServer(b, kind, databases.Options{Durable: true})
	return url
}

func benchBeside(b *testing.B, url string) {
	s := openURL(b, url, nil)
	if err := s.run(b.Context(), `create table bare (shop_id bigint not null, seq bigint not null, content varchar(200) not null, primary key (shop_id, seq))`); err != nil {
		b.Fatal(err)
	}
	var order atomic.Int64
	store := func() error {
		id := order.Add(1)
		return s.WriteUrgent(b.Context(), func(tx doorbell.Tx) error {
			_, err := tx.Append(alertOf(doorbell.ShopID(id%callers+1), doorbell.OrderID(id), doorbell.NewOrder))
			return err
		})
	}
	hot := func() error {
		return s.WriteUrgent(b.Context(), func(tx doorbell.Tx) error {
			_, err := tx.Append(alertOf(1000, doorbell.OrderID(order.Add(1)), doorbell.NewOrder))
			return err
		})
	}
	floor, hands, per := s.bare(b, url), len(crew), float64(1)
	if !onServer(url) {
		hands, per = 1, callers
	}
	const turns = 3
	var bare, mine, one float64
	b.ResetTimer()
	for range turns { // alternating, so that a busy machine slows all of them
		bare += rate(b, hands, floor) * per
		mine += rate(b, callers, store)
		one += rate(b, callers, hot)
	}
	b.ReportMetric(bare/turns, "bare/s")
	b.ReportMetric(mine/turns, "store/s")
	b.ReportMetric(one/turns, "one-shop/s")
	b.ReportMetric(mine/bare, "of-bare")
	b.ReportMetric(0, "ns/op")
	if w, ok := s.writer.(*poolWriter); ok {
		b.ReportMetric(float64(w.deadlocks.Load()), "deadlocks")
	}
}

// bare returns one insert that waits for the disk; on SQLite 64 of them.
func (s *Store) bare(b *testing.B, url string) func() error {
	b.Helper()
	insert := s.dialect.rebind(`insert into bare (shop_id, seq, content) values (?, ?, ?)`)
	var n atomic.Int64
	if s.dialect == sqliteDialect {
		db, err := openSQLitePool(sqliteDSN(s.database), 1)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = db.Close() })
		stmt, err := db.PrepareContext(b.Context(), insert)
		if err != nil {
			b.Fatal(err)
		}
		return func() error {
			tx, err := db.BeginTx(b.Context(), nil)
			if err != nil {
				return err
			}
			for range callers {
				i := n.Add(1)
				if _, err := tx.StmtContext(b.Context(), stmt).ExecContext(b.Context(), i%callers, i, "order"); err != nil { //nolint:sqlclosecheck // with its pool
					return err
				}
			}
			return tx.Commit()
		}
	}
	v, err := serverOf(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	db := v.pool(true, len(crew)) // the store's own are in use by its writers
	b.Cleanup(func() { _ = db.Close() })
	stmt, err := db.PrepareContext(b.Context(), insert) // prepared on each connection
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = stmt.Close() })
	return func() error {
		i := n.Add(1)
		_, err := stmt.ExecContext(b.Context(), i%callers, i, "order")
		return err
	}
}

// rate returns the calls per second of so many callers.
func rate(b *testing.B, callers int, call func() error) float64 {
	b.Helper()
	const measured = 2 * time.Second
	var done atomic.Int64
	end := time.Now().Add(measured)
	var calling sync.WaitGroup
	for range callers {
		calling.Go(func() {
			for time.Now().Before(end) {
				if err := call(); err != nil {
					b.Error(fmt.Errorf("a call: %w", err))
					return
				}
				done.Add(1)
			}
		})
	}
	calling.Wait()
	return float64(done.Load()) / measured.Seconds()
}
