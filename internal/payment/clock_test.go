package payment_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/testrun"
)

// TestTheClockIsSetBack: the clock is set back by three hours and a callback is
// lost: the order rings as soon as with an untouched clock, and an unpaid order is
// queried a bounded number of times.
func TestTheClockIsSetBack(t *testing.T) {
	merchant, sims := merchantAndProviders()
	testrun.Bubble(t, func(t *testing.T) {
		s := openShop(t, sims, merchant)
		defer s.close()
		before := doorbell.Instant(time.Now().Add(3 * time.Hour)) // the time before the setback
		err := s.store.Write(t.Context(), func(tx doorbell.Tx) error {
			for _, number := range []string{"A-1", "A-2"} {
				if _, err := tx.InsertOrder(doorbell.Order{Number: number, Shop: 1, User: 1, Status: doorbell.ToBePaid, CreatedAt: before, Money: doorbell.Money{Minor: 100, Currency: "CNY"}}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s.ledger.Pay("wechat", paysim.Payment{Number: "A-1", Transaction: "T-A-1", Minor: 100})
		ctx, stop := context.WithCancel(t.Context())
		r := payment.NewReconciler(payment.ReconcilerOptions{
			Queriers: s.queriers(ctx), Store: s.store, Take: s.service.TakeNotice, Log: slog.New(slog.DiscardHandler), Node: "one", After: time.Minute, Until: 3 * time.Hour,
		})
		ran := make(chan error, 1)
		go func() { ran <- r.Run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		s.wantRings("A-1", 1)
		time.Sleep(time.Hour)
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		s.wantRings("A-2", 0)
		if n := s.ledger.Asked("A-2"); n < 4 || n > 40 {
			t.Errorf("an unpaid order was queried %d times in an hour", n)
		}
	})
}
