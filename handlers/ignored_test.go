package handlers_test

import (
	"strings"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/wechat"
	"doorbell/internal/store"
)

// TestIgnoredEvents: a genuine event that is not needed is accepted, so that its
// provider keeps calling; it is counted, and does not ring.
func TestIgnoredEvents(t *testing.T) {
	s, sims := allProviders(t)
	s.order("A-1", 100)
	m := paysim.Payment{Number: "A-1", Transaction: "T1", Minor: 100}
	stripe := func(event string, object map[string]any) func() (paysim.Callback, error) {
		return func() (paysim.Callback, error) { return sims.Stripe.Event(event, object, time.Now()) }
	}
	alipay := func(status string) func() (paysim.Callback, error) {
		return func() (paysim.Callback, error) {
			form := sims.Alipay.Form(m)
			form.Set("trade_status", status)
			return sims.Alipay.Sign(form)
		}
	}
	weChat := func(event string) func() (paysim.Callback, error) {
		return func() (paysim.Callback, error) {
			return sims.WeChat.Sign(wechat.Notice{Event: event, Content: sims.WeChat.Refund("A-1", "T1", "R1", 100)})
		}
	}
	cases := []struct {
		what string
		by   paysim.Player
		sign func() (paysim.Callback, error)
	}{
		{"an event of no use", sims.Stripe, stripe("customer.created", map[string]any{"id": "cus_1"})},
		{"a session whose money is on its way", sims.Stripe, stripe("checkout.session.completed", map[string]any{"id": "cs_1", "payment_status": "unpaid", "metadata": map[string]any{"number": "A-1"}})},
		{"a payment of another business", sims.Stripe, stripe("payment_intent.succeeded", map[string]any{"id": "pi_1", "status": "succeeded", "amount_received": 5})},
		{"a trade that waits", sims.Alipay, alipay("WAIT_BUYER_PAY")},
		{"a trade that was closed unpaid", sims.Alipay, alipay("TRADE_CLOSED")},
		{"a refund that was closed", sims.WeChat, weChat("REFUND.CLOSED")},
		{"another product of WeChat's", sims.WeChat, weChat("PAYSCORE.USER_OPEN_SERVICE")},
	}
	for _, c := range cases {
		signed, err := c.sign()
		if err != nil {
			t.Fatal(err)
		}
		s.wantTaken(c.by, c.what, signed)
	}
	s.wantHead(0)
	lines, err := s.Store.Inbox(t.Context(), store.InboxQuery{Verdict: doorbell.Ignored, Limit: 100})
	if err != nil || len(lines) != len(cases) {
		t.Errorf("%d ignored lines (%v), want %d", len(lines), err, len(cases))
	}
	metrics := s.as(s.token(doorbell.RoleAdmin, "root", 1), "GET", "metrics", "").body
	if want := `doorbell_callbacks_total{provider="stripe",verdict="ignored"} 3`; !strings.Contains(metrics, want) {
		t.Errorf("metrics lack %s", want)
	}
}

// TestOldNoticesChangeNothing: a settled callback stays on record, whatever comes
// later for the same transaction.
func TestOldNoticesChangeNothing(t *testing.T) {
	s, sims := allProviders(t)
	m := paysim.Payment{Number: "A-1", Transaction: "T1", Minor: 100}
	s.order("A-1", 100)
	s.genuine(sims.Alipay, m)
	for name, value := range map[string]string{"trade_status": "WAIT_BUYER_PAY", "app_id": "2021000000000002", "total_amount": "1.00元"} {
		form := sims.Alipay.Form(m)
		form.Set(name, value)
		c, err := sims.Alipay.Sign(form)
		if err != nil {
			t.Fatal(err)
		}
		s.deliver("pay/alipay", c)
		line, err := s.Store.Received(t.Context(), doorbell.Notice{Provider: "alipay", Kind: doorbell.PaymentNotice, Transaction: "T1"})
		if err != nil || line.Verdict != doorbell.Settled || line.Number != "A-1" || line.Minor != 100 {
			t.Errorf("after a late notice with %s %s: %+v, %v; want it settled as it was", name, value, line, err)
		}
	}
	s.wantHead(1)
}

// TestStripeRefundWithoutNumber: the order is found by the payment, the first time
// and again.
func TestStripeRefundWithoutNumber(t *testing.T) {
	s, sims := allProviders(t)
	s.order("A-1", 2850)
	s.genuine(sims.Stripe, paysim.Payment{Number: "A-1", Transaction: "pi_1", Minor: 2850})
	c, err := sims.Stripe.Event("charge.refunded", map[string]any{
		"id": "ch_1", "payment_intent": "pi_1", "amount": 2850, "amount_refunded": 50, "currency": "cny", "refunded": false,
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.wantTaken(sims.Stripe, "refund", c)
		s.wantOrder("in part", doorbell.Paid, 50, 1, true)
	}
}
