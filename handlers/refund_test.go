package handlers_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/wechat"
	"doorbell/internal/store"
)

// refund sends WeChat's notice that part of a payment of 2850 went back.
func (s *testServer) refund(event, number, transaction, refund string, part int64) reply {
	s.t.Helper()
	content := s.platform.Refund(number, transaction, refund, part)
	content["amount"] = map[string]any{"total": 2850, "refund": part, "payer_total": 2850, "payer_refund": part}
	return s.send("pay/wechat", wechat.Notice{Event: event, Content: content})
}

// wantOrder checks the only order, the number of alerts, and whether the order
// rings.
func (s *testServer) wantOrder(what string, want doorbell.PayStatus, refunded int64, alerts doorbell.Seq, rings bool) {
	s.t.Helper()
	o, err := s.Service.Order(s.t.Context(), 1)
	if err != nil || o.PayStatus != want || o.RefundedAmount != refunded {
		s.t.Errorf("%s: pay status %d and %d refunded (%v), want %d and %d", what, o.PayStatus, o.RefundedAmount, err, want, refunded)
	}
	s.wantHead(alerts)
	page, err := s.Service.Alerts(s.t.Context(), doorbell.AlertQuery{Shop: 1, OpenOnly: true, Limit: 10})
	if err != nil || (len(page.Alerts) > 0) != rings {
		s.t.Errorf("%s: %d alerts ring (%v), want ringing %v", what, len(page.Alerts), err, rings)
	}
}

// TestRefundOfADuplicate: somebody paid twice and the second payment is refunded:
// the order stays paid.
func TestRefundOfADuplicate(t *testing.T) {
	s := newServer(t)
	s.order("A-1", 2850)
	s.pay("A-1", 2850).want(t, "paid", 204, "")
	s.notify("pay/wechat", s.platform.Payment("A-1", "T2", 2850)).want(t, "paid twice", 204, "")
	s.refund("REFUND.SUCCESS", "A-1", "T2", "R1", 2850).want(t, "the second one back", 204, "")
	s.wantOrder("after that", doorbell.Paid, 0, 1, true)
	s.wantLine(doorbell.PaymentNotice, "T2", doorbell.GivenBack)
	s.wantLine(doorbell.RefundNotice, "R1", doorbell.OtherPayment)
	s.refund("REFUND.SUCCESS", "A-1", "TA-1", "R2", 2850).want(t, "the first one back", 204, "")
	s.wantOrder("after both", doorbell.Refunded, 2850, 2, false)
}

// TestRefundOfTheFirstOfTwo: the second payment then pays the order, and the
// kitchen goes on.
func TestRefundOfTheFirstOfTwo(t *testing.T) {
	s := newServer(t)
	s.order("A-1", 2850)
	s.pay("A-1", 2850).want(t, "paid", 204, "")
	s.notify("pay/wechat", s.platform.Payment("A-1", "T2", 2850)).want(t, "paid twice", 204, "")
	s.refund("REFUND.SUCCESS", "A-1", "TA-1", "R1", 2850).want(t, "the first one back", 204, "")
	s.wantOrder("after that", doorbell.Paid, 0, 1, true)
	if o, err := s.Service.Order(t.Context(), 1); err != nil || o.Transaction != "T2" {
		t.Errorf("the order rests on %s (%v), want T2", o.Transaction, err)
	}
	s.wantLine(doorbell.PaymentNotice, "T2", doorbell.Settled)
	s.pay("A-1", 2850).want(t, "the first one told again", 204, "")
	s.wantOrder("after that", doorbell.Paid, 0, 1, true)
	s.refund("REFUND.SUCCESS", "A-1", "T2", "R2", 2850).want(t, "the second one back", 204, "")
	s.wantOrder("after both", doorbell.Refunded, 2850, 2, false)
	s.notify("pay/wechat", s.platform.Payment("A-1", "T3", 2850)).want(t, "paid anew", 204, "")
	s.wantOrder("paid anew", doorbell.Paid, 0, 3, true)
	if findings := s.audit(); len(findings) > 0 {
		t.Errorf("the audit finds %v", findings)
	}
}

// TestRefundInPart: the rest must still be cooked.
func TestRefundInPart(t *testing.T) {
	s := newServer(t)
	s.order("A-1", 2850)
	s.pay("A-1", 2850).want(t, "paid", 204, "")
	for range 2 { // the same refund again counts once
		s.refund("REFUND.SUCCESS", "A-1", "TA-1", "R1", 1).want(t, "0.01 of 28.50", 204, "")
		s.wantOrder("0.01 back", doorbell.Paid, 1, 1, true)
	}
	s.refund("REFUND.SUCCESS", "A-1", "TA-1", "R2", 2800).want(t, "28.00 more", 204, "")
	s.wantOrder("28.01 back", doorbell.Paid, 2801, 1, true)
	// The order and its card say so.
	if got := s.as(s.token(doorbell.RoleConsole, "tab", 1), "GET", "api/v1/alerts?shop=1&state=open", "").body; !strings.Contains(got, `"refundedAmount":2801,"currency":"CNY"`) {
		t.Errorf("the open list: %s", got)
	}
	if got := s.as(s.token(doorbell.RoleService, "backend", 1), "GET", "api/v1/orders/1", ""); got.field("refundedAmount") != "2801" {
		t.Errorf("the order: %s", got.body)
	}
	s.refund("REFUND.SUCCESS", "A-1", "TA-1", "R3", 49).want(t, "the rest", 204, "")
	s.wantOrder("all of it back", doorbell.Refunded, 2850, 2, false)
	s.refund("REFUND.SUCCESS", "A-1", "TA-1", "R3", 49).want(t, "the rest, again", 204, "")
	s.wantOrder("and again", doorbell.Refunded, 2850, 2, false)
}

// TestRefundBeforeItsPayment: nothing changes, and the payment that comes later
// rings; if it was the refunded one, it rings and is cancelled.
func TestRefundBeforeItsPayment(t *testing.T) {
	s := newServer(t)
	s.refund("REFUND.SUCCESS", "A-1", "T0", "R0", 2850).want(t, "of an unknown order", 204, "")
	s.order("A-1", 2850)
	s.refund("REFUND.SUCCESS", "A-1", "T9", "R1", 2850).want(t, "of an unpaid order", 204, "")
	s.wantOrder("before any payment", doorbell.Unpaid, 0, 0, false)
	s.notify("pay/wechat", s.platform.Payment("A-1", "T9", 2850)).want(t, "the payment that was given back", 204, "")
	s.wantOrder("given back before it was told", doorbell.Refunded, 2850, 2, false)
	s.pay("A-1", 2850).want(t, "another payment", 204, "")
	s.wantOrder("paid", doorbell.Paid, 0, 3, true)
	if findings := s.audit(); len(findings) > 0 {
		t.Errorf("the audit finds %v", findings)
	}
}

// TestRefundThatFailed: WeChat Pay could not refund. An anomaly is reported,
// WeChat gets a success, and the order stays unchanged.
func TestRefundThatFailed(t *testing.T) {
	s := newServer(t)
	s.order("A-1", 2850)
	s.pay("A-1", 2850).want(t, "paid", 204, "")
	s.refund("REFUND.ABNORMAL", "A-1", "TA-1", "R1", 2850).want(t, "a refund that failed", 204, "")
	s.wantOrder("after that", doorbell.Paid, 0, 1, true)
	s.wantLine(doorbell.RefundNotice, "R1", doorbell.RefundFailed)
	s.refund("REFUND.SUCCESS", "A-1", "TA-1", "R1", 2850).want(t, "it came off after all", 204, "")
	s.wantOrder("after all", doorbell.Refunded, 2850, 2, false)
	s.refund("REFUND.ABNORMAL", "A-1", "TA-1", "R1", 2850).want(t, "the older notice, late", 204, "")
	s.wantLine(doorbell.RefundNotice, "R1", doorbell.Settled)
	s.wantOrder("after the late one", doorbell.Refunded, 2850, 2, false)
}

// TestRefundsByEveryProvider: a partial refund, twice, and then the rest.
func TestRefundsByEveryProvider(t *testing.T) {
	s, sims := allProviders(t)
	for i, p := range sims.All() {
		id := doorbell.OrderID(i + 1)
		m := paysim.Payment{Number: "R-" + p.Name(), Transaction: "pay-" + p.Name(), Minor: 1000}
		s.order(m.Number, m.Minor)
		s.genuine(p, m)
		for k, want := range []struct {
			status   doorbell.PayStatus
			refunded int64
		}{{doorbell.Paid, 100}, {doorbell.Paid, 400}, {doorbell.Refunded, 1000}} {
			r := paysim.Refund{Payment: m, ID: fmt.Sprintf("r%d-%s", k, p.Name()), SoFar: want.refunded, Part: []int64{100, 300, 600}[k]}
			for range 2 {
				c, err := p.Refunded(r)
				if err != nil {
					t.Fatal(err)
				}
				s.wantTaken(p, "refund", c)
				if o, err := s.Service.Order(t.Context(), id); err != nil || o.PayStatus != want.status || o.RefundedAmount != want.refunded {
					t.Errorf("%s, refund %d: pay status %d and %d refunded (%v), want %+v", p.Name(), k, o.PayStatus, o.RefundedAmount, err, want)
				}
			}
		}
	}
	s.wantHead(8) // each rang once and fell silent once
}

// TestWebhookRefunds: the fields that a shop's own system may omit.
func TestWebhookRefunds(t *testing.T) {
	s, sims := allProviders(t)
	send := func(data string, want int) {
		t.Helper()
		c, err := sims.Webhook.SignBody([]byte(`{"type":"order.refunded","data":{"number":"W-1","transactionId":"T1"`+data+`}}`), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if w := s.deliver("pay/webhook", c); w.Code != want {
			t.Errorf("%s: %d %s, want %d", data, w.Code, w.Body, want)
		}
	}
	s.order("W-1", 2850)
	s.genuine(sims.Webhook, paysim.Payment{Number: "W-1", Transaction: "T1", Minor: 2850})
	send(`,"amount":50`, http.StatusNoContent) // sum so far
	send(`,"amount":70`, http.StatusNoContent)
	send(`,"amount":60`, http.StatusNoContent) // late
	s.wantOrder("without ids", doorbell.Paid, 70, 1, true)
	send(`,"amount":2850,"currency":"USD"`, http.StatusConflict)
	s.wantOrder("in another currency", doorbell.Paid, 70, 1, true)
	send(``, http.StatusNoContent)
	s.wantOrder("without an amount", doorbell.Refunded, 2850, 2, false)
}

// wantLine checks the verdict of one row of the inbox.
func (s *testServer) wantLine(kind doorbell.NoticeKind, transaction string, want doorbell.Verdict) {
	s.t.Helper()
	line, err := s.Store.Received(s.t.Context(), doorbell.Notice{Provider: "wechat", Kind: kind, Transaction: transaction})
	if err != nil || line.Verdict != want {
		s.t.Errorf("%s %s: %s (%v), want %s", kind, transaction, line.Verdict, err, want)
	}
}

// audit returns the findings of doorbell verify.
func (s *testServer) audit() []string {
	s.t.Helper()
	findings, err := store.Verify(s.t.Context(), s.Config.Database.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	return findings
}
