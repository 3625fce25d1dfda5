package store

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"doorbell/internal/doorbell"
)

// walFrame is the size of a page in SQLite's write-ahead log.
const walFrame = 4096 + 24

// BenchmarkCommitPages counts the pages that a commit writes, with all indexes of
// alerts and with one left out: these figures do not depend on the machine. The
// shops have 100 alerts each.
func BenchmarkCommitPages(b *testing.B) {
	for _, shops := range []int{1, 250} {
		for _, batch := range []int{1, 64} {
			for _, without := range []string{"", "alerts_order", "alerts_ringing", "alerts_unheard"} {
				b.Run(fmt.Sprintf("shops=%d/batch=%d/without=%s", shops, batch, without), func(b *testing.B) {
					file := filepath.Join(b.TempDir(), "doorbell.db")
					s := openFile(b, file, nil)
					beside, err := sql.Open("sqlite", file)
					if err != nil {
						b.Fatal(err)
					}
					defer beside.Close() //nolint:errcheck // only a benchmark
					order := 0
					commit := func(n int) {
						err := s.Write(b.Context(), func(tx doorbell.Tx) error {
							for range n {
								order++
								if _, err := tx.Append(alertOf(doorbell.ShopID(order%shops+1), doorbell.OrderID(order), doorbell.NewOrder)); err != nil {
									return err
								}
							}
							return nil
						})
						if err != nil {
							b.Fatal(err)
						}
					}
					for range 25 {
						commit(4 * shops)
					}
					if without != "" {
						if _, err := beside.ExecContext(b.Context(), `drop index `+without); err != nil {
							b.Fatal(err)
						}
					}
					written := 0
					for b.Loop() {
						if _, err := beside.ExecContext(b.Context(), `pragma wal_checkpoint(truncate)`); err != nil {
							b.Fatal(err)
						}
						commit(batch)
						info, err := os.Stat(file + "-wal")
						if err != nil {
							b.Fatal(err)
						}
						written += int(info.Size()) / walFrame
					}
					b.ReportMetric(float64(written)/float64(b.N)/float64(batch), "pages/alert")
				})
			}
		}
	}
}
