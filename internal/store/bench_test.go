package store

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"

	"doorbell/internal/doorbell"
)

// benchStore creates a store of 100 shops with 100 alerts each.
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

// BenchmarkAppend writes one alert at a time from one caller: the time is the
// disk's fsync.
func BenchmarkAppend(b *testing.B) {
	s := benchStore(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		appendOne(b, s, alertOf(1, doorbell.OrderID(i), doorbell.NewOrder))
	}
}

// cpuTime returns the CPU time of this process: on a machine that others use too,
// it is steadier than the clock.
func cpuTime(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkAppend64 writes from 64 callers to 100 shops: the cost of an alert
// where several share a commit.
func BenchmarkAppend64(b *testing.B) {
	s := benchStore(b)
	b.ReportAllocs()
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	var order atomic.Int64
	before := cpuTime(b)
	defer func() { b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op") }()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := order.Add(1)
			appendOne(b, s, alertOf(doorbell.ShopID(i%100+1), doorbell.OrderID(i), doorbell.NewOrder))
		}
	})
}

// BenchmarkAlertsAfter reads what a console reads that comes back.
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

// BenchmarkPositions asks what the audit asks each second.
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

// BenchmarkOpenAlerts reads the snapshot of a console.
func BenchmarkOpenAlerts(b *testing.B) {
	s := benchStore(b)
	b.ReportAllocs()
	for b.Loop() {
		if page, err := s.Alerts(b.Context(), doorbell.AlertQuery{Shop: 3, OpenOnly: true, Limit: 50}); err != nil || len(page.Alerts) != 50 {
			b.Fatal(len(page.Alerts), err)
		}
	}
}
