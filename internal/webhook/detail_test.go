package webhook

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
)

// TestNoDetailLeaves: what a customer noted is neither in an event to another
// system nor in the log, from the order to its refund.
func TestNoDetailLeaves(t *testing.T) {
	inBubble(t, []doorbell.Hook{{Name: "all"}}, func(b *bench, start func(string) context.CancelFunc) {
		defer start("one")()
		detail := doorbell.Detail{Lines: []string{"SECRET dish"}, Note: "SECRET note", Table: "SECRET table", Pickup: "SECRET pickup"}
		o, _, err := b.service.CreateOrder(b.t.Context(), doorbell.Order{Number: "A-1", Shop: 1, Money: doorbell.Money{Minor: 100, Currency: "CNY"}, Detail: detail})
		if err != nil {
			t.Fatal(err)
		}
		b.take(b.notice("A-1", doorbell.PaymentNotice, 100))
		raise := doorbell.Raise{Type: doorbell.NewOrder, Shop: 1, Number: "X-1", Detail: detail}
		if _, _, err := b.service.RaiseAlert(b.t.Context(), raise, doorbell.Key{Subject: "s", Shop: 1, Value: "k"}); err != nil {
			t.Fatal(err)
		}
		raise.Note = "SECRET other"
		if _, _, err := b.service.RaiseAlert(b.t.Context(), raise, doorbell.Key{Subject: "s", Shop: 1, Value: "k"}); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("another note by the same key: %v", err)
		}
		if _, err := b.service.AcceptOrder(b.t.Context(), o.ID, "till"); err != nil {
			t.Fatal(err)
		}
		b.take(b.notice("A-1", doorbell.RefundNotice, 100))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		told := b.to["all"].received()
		if len(told) < 6 {
			t.Errorf("%d events, want those of the whole life", len(told))
		}
		for _, m := range told {
			if bytes.Contains(m.body, []byte("SECRET")) {
				t.Errorf("told a system: %s", m.body)
			}
		}
		if strings.Contains(b.logs.String(), "SECRET") {
			t.Errorf("in the log: %s", b.logs.String())
		}
	})
}
