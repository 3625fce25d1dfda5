package doorbell_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/store"
	"doorbell/internal/testrun"
)

// countingStore counts writes.
type countingStore struct {
	*store.Store
	writes int
}

func (s *countingStore) WriteUrgent(ctx context.Context, change func(doorbell.Tx) error) error {
	s.writes++
	return s.Store.WriteUrgent(ctx, change)
}

// TestReplays: a genuine notice that is played again and again is answered as
// ever and costs a write a minute at most; how often it came is still counted.
func TestReplays(t *testing.T) {
	testrun.Bubble(t, func(t *testing.T) {
		db, err := store.Open(t.Context(), store.Options{URL: "sqlite://" + filepath.Join(t.TempDir(), "d.db"), Publish: func([]doorbell.Alert) {}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- db.Run(ctx) }()
		defer func() {
			stop()
			if err := errors.Join(<-ended, db.Close()); err != nil {
				t.Error(err)
			}
		}()
		texts, err := doorbell.ParseTexts(map[doorbell.Type]string{1: "1", 2: "2", 3: "3", 4: "4"})
		if err != nil {
			t.Fatal(err)
		}
		counting := &countingStore{Store: db}
		service := doorbell.NewService(counting, doorbell.Rules{Texts: texts}, slog.New(slog.DiscardHandler))
		money := doorbell.Money{Minor: 100, Currency: "CNY"}
		if _, _, err := service.CreateOrder(ctx, doorbell.Order{Number: "A-1", Shop: 1, Money: money}); err != nil {
			t.Fatal(err)
		}
		n := doorbell.Notice{Provider: "alipay", Kind: doorbell.PaymentNotice, Transaction: "T1", Number: "A-1", Money: money, CheckAmount: true}
		const minutes, each = 5, 200
		for i := range minutes * each {
			verdict, err := service.TakeNotice(ctx, n)
			if want := (map[bool]doorbell.Verdict{true: doorbell.Settled, false: doorbell.Repeated})[i == 0]; err != nil || verdict != want {
				t.Fatalf("notice %d: %s, %v; want %s", i, verdict, err, want)
			}
			time.Sleep(time.Minute / each)
		}
		if most := 1 + 16 + minutes; counting.writes < 1 || counting.writes > most {
			t.Errorf("%d writes for %d notices, want 1 to %d", counting.writes, minutes*each, most)
		}
		time.Sleep(time.Minute)
		if _, err := service.TakeNotice(ctx, n); err != nil {
			t.Fatal(err)
		}
		line, err := db.Received(ctx, n)
		if err != nil || line.Times != minutes*each+1 || line.Verdict != doorbell.Settled {
			t.Errorf("the line: %+v, %v; want it settled, %d times", line, err, minutes*each+1)
		}
		other := n
		other.Number = "B-1" // a replay that was changed is none
		if verdict, err := service.TakeNotice(ctx, other); err != nil || verdict != doorbell.OtherOrder {
			t.Errorf("for another order: %s, %v", verdict, err)
		}
	})
}
