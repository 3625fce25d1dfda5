package store

import (
	"fmt"
	"testing"

	"doorbell/internal/doorbell"
)

// benchStore has 100 shops with 100 alerts each.
func benchStore(b *testing.B) *Store {
	b.Helper()
	s := openTestSQLite(b, nil)
	err := s.Write(b.Context(), func(tx doorbell.Tx) error {
		for i := range 10_000 {
			if _, err := tx.Append(alertOf(doorbell.ShopID(i%100+1), doorbell.OrderID(i), doorbell.NewOrder)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkAppend is one alert by one caller: the time is the disk's fsync.
func BenchmarkAppend(b *testing.B) {
	s := benchStore(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		appendOne(b, s, alertOf(1, doorbell.OrderID(i), doorbell.NewOrder))
	}
}

// BenchmarkAlertsAfter is what a console reads that comes back.
func BenchmarkAlertsAfter(b *testing.B) {
	s := benchStore(b)
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if alerts, err := s.AlertsAfter(b.Context(), 7, doorbell.Seq(100-n), n); err != nil || len(alerts) != n {
					b.Fatal(len(alerts), err)
				}
			}
		})
	}
}

// BenchmarkPositions is the audit's question, each second.
func BenchmarkPositions(b *testing.B) {
	s := benchStore(b)
	for _, n := range []int{1, 64} {
		shops := make([]doorbell.ShopID, n)
		for i := range shops {
			shops[i] = doorbell.ShopID(i + 1)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, at, err := s.Positions(b.Context(), shops); err != nil || at[1].Head != 100 {
					b.Fatal(at, err)
				}
			}
		})
	}
}

// BenchmarkOpenAlerts is a console's picture.
func BenchmarkOpenAlerts(b *testing.B) {
	s := benchStore(b)
	b.ReportAllocs()
	for b.Loop() {
		if page, err := s.Alerts(b.Context(), doorbell.AlertQuery{Shop: 3, OpenOnly: true, Limit: 50}); err != nil || len(page.Alerts) != 50 {
			b.Fatal(len(page.Alerts), err)
		}
	}
}
