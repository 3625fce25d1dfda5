package store

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"doorbell/internal/doorbell"
)

// growthShops share the log of BenchmarkGrowth.
const growthShops = 1000

// grown creates a store whose log has n alerts, of which the last hundred of each
// shop ring, as after years without pruning.
func grown(b *testing.B, n int) *Store {
	b.Helper()
	s := openTestSQLite(b, nil)
	for _, query := range []string{
		`with recursive i (n) as (select 0 union all select n + 1 from i where n + 1 < ` + strconv.Itoa(n) + `)
			insert into alerts (` + alertColumns + `, ringing) select n % 1000 + 1, n / 1000 + 1, 1, 'order', n + 1, '17323456' || n,
			'订单号：17323456' || n, 0, 'pay:wechat', 1700000000000 + n, n + 1, n / 1000 + 101 > ` + strconv.Itoa(n/growthShops) + ` from i`,
		`insert into shop_heads (shop_id, last_seq) select shop_id, max(seq) from alerts group by shop_id`,
		`pragma wal_checkpoint(truncate)`,
	} {
		if _, err := s.writes.ExecContext(b.Context(), query); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// BenchmarkGrowth measures what a console and an order system read in logs of ten
// thousand alerts and, by DOORBELL_BENCH_LOG, up to ten million: no read may slow
// down.
func BenchmarkGrowth(b *testing.B) {
	most, err := strconv.Atoi(os.Getenv("DOORBELL_BENCH_LOG"))
	if err != nil {
		most = 100_000
	}
	for n := 10_000; n <= most; n *= 10 {
		b.Run(fmt.Sprintf("alerts=%d", n), func(b *testing.B) { benchGrown(b, n) })
	}
}

func benchGrown(b *testing.B, n int) {
	s := grown(b, n)
	head := doorbell.Seq(n / growthShops)
	shop := func(i int) doorbell.ShopID { return doorbell.ShopID(i*7919%growthShops + 1) } // spread: no page stays hot
	page := func(i int, q doorbell.AlertQuery) error {
		q.Shop = shop(i)
		got, err := s.Alerts(b.Context(), q)
		if err == nil && len(got.Alerts) == 0 {
			err = fmt.Errorf("no alerts were read of shop %d", q.Shop)
		}
		return err
	}
	for _, c := range []struct {
		name string
		ask  func(i int) error
	}{
		{"resume", func(i int) error {
			got, err := s.AlertsAfter(b.Context(), shop(i), max(0, head-10), 16)
			if err == nil && len(got) != 10 {
				err = fmt.Errorf("%d alerts, want 10", len(got))
			}
			return err
		}},
		{"where", func(i int) error {
			_, _, err := s.Positions(b.Context(), []doorbell.ShopID{shop(i)})
			return err
		}},
		{"open", func(i int) error { return page(i, doorbell.AlertQuery{OpenOnly: true, Limit: 10}) }},
		{"history", func(i int) error { return page(i, doorbell.AlertQuery{Before: head/2 + 2, Limit: 10}) }},
		{"append", func(i int) error {
			return s.Write(b.Context(), func(tx doorbell.Tx) error {
				_, err := tx.Append(alertOf(shop(i)+growthShops, doorbell.OrderID(n+i+1), doorbell.NewOrder))
				return err
			})
		}},
		{"accept", func(i int) error {
			return s.Write(b.Context(), func(tx doorbell.Tx) error {
				_, err := tx.Ringing(shop(i), doorbell.FromOrder, doorbell.OrderID(i%n+1))
				return err
			})
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if err := c.ask(i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
