package handlers_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/providers"
	"doorbell/internal/payment/wechat"
	"doorbell/internal/store"
)

// wrongField is a genuine callback with a wrong field.
type wrongField struct {
	name, path, says string
	sign             func(*providers.Players) (paysim.Callback, error)
}

// wrongFields returns some for each provider, all about order W-1 and transaction
// T-1.
func wrongFields() []wrongField {
	const gbk = "\xb2\xbb-1"
	webhook := func(body string) func(*providers.Players) (paysim.Callback, error) {
		return func(p *providers.Players) (paysim.Callback, error) {
			return p.Webhook.SignBody([]byte(body), time.Now())
		}
	}
	data := func(edit string) string {
		return `{"type":"order.paid","data":{"number":"W-1","transactionId":"T-1",` + edit + `}}`
	}
	weChat := func(edits ...any) func(*providers.Players) (paysim.Callback, error) {
		return func(p *providers.Players) (paysim.Callback, error) {
			content := p.WeChat.Payment("W-1", "T-1", 100)
			for i := 0; i < len(edits); i += 2 {
				content[edits[i].(string)] = edits[i+1]
			}
			return p.WeChat.Sign(wechat.Notice{Content: content})
		}
	}
	stripe := func(event string, object map[string]any) func(*providers.Players) (paysim.Callback, error) {
		return func(p *providers.Players) (paysim.Callback, error) { return p.Stripe.Event(event, object, time.Now()) }
	}
	return []wrongField{
		{"an amount as text", "pay/webhook", "data.amount: want a whole number, not a string", webhook(data(`"amount":"1000001"`))},
		{"an amount in yuan", "pay/webhook", "data.amount: want a whole number, in the currency's smallest unit", webhook(data(`"amount":1000001.5`))},
		{"a number that is a number", "pay/webhook", "data.number: want text, not a number", webhook(`{"type":"order.paid","data":{"number":1000001,"transactionId":"T-1","amount":100}}`)},
		{"a type that is unknown", "pay/webhook", "type: want order.paid or order.refunded", webhook(`{"type":"order.1000001","data":{"number":"W-1","transactionId":"T-1","amount":100}}`)},
		{"no type", "pay/webhook", "type: want order.paid", webhook(`{"data":{"number":"W-1","transactionId":"T-1","amount":100}}`)},
		{"data as a list", "pay/webhook", "data: want an object, not an array", webhook(`{"type":"order.paid","data":[1000001]}`)},
		{"no transaction", "pay/webhook", "data.transactionId: no transaction id", webhook(`{"type":"order.paid","data":{"number":"W-1","amount":100}}`)},
		{"no number", "pay/webhook", "data.number: no order number", webhook(`{"type":"order.paid","data":{"transactionId":"T-9","amount":100}}`)},
		{"a transaction of 65 bytes", "pay/webhook", "data.transactionId: no transaction id", webhook(`{"type":"order.paid","data":{"number":"W-1","transactionId":"` + strings.Repeat("9", 65) + `","amount":100}}`)},
		{"a transaction with a line feed", "pay/webhook", "data.transactionId: no transaction id", webhook(`{"type":"order.paid","data":{"number":"W-1","transactionId":"T\n1","amount":100}}`)},
		{"a transaction that turns the line around", "pay/webhook", "data.transactionId: no transaction id", webhook(`{"type":"order.paid","data":{"number":"W-1","transactionId":"T\u202e1","amount":100}}`)},
		{"a transaction in GBK", "pay/webhook", "data.transactionId: no transaction id of 1 to 64 printable bytes of UTF-8", webhook(`{"type":"order.paid","data":{"number":"W-1","transactionId":"` + gbk + `","amount":100}}`)},
		{"a transaction with half a pair", "pay/webhook", "data.transactionId: no transaction id of 1 to 64 printable bytes of UTF-8", webhook(`{"type":"order.paid","data":{"number":"W-1","transactionId":"T\ud83d1","amount":100}}`)},
		{"a refund's payment in GBK", "pay/webhook", "data.transactionId: no transaction id of 1 to 64 printable bytes of UTF-8", webhook(`{"type":"order.refunded","data":{"number":"W-1","transactionId":"` + gbk + `","refundId":"R-1","amount":100}}`)},
		{"a currency that is none", "pay/webhook", "data.currency: want a currency of ISO 4217", webhook(data(`"amount":100,"currency":"RMB"`))},
		{"a currency of two", "pay/webhook", "data.currency: want a currency of ISO 4217", webhook(data(`"amount":100,"currency":"Y U"`))},
		{"a negative amount", "pay/webhook", "data.amount: want 0 to 9007199254740991", webhook(data(`"amount":-100`))},
		{"no JSON", "pay/webhook", "body: want JSON", webhook(`type=order.paid&amount=1000001`)},
		{"WeChat, an amount as text", "pay/wechat", "amount.total: want a whole number, not a string", weChat("amount", map[string]any{"total": "1000001", "currency": "CNY"})},
		{"WeChat, a transaction as a number", "pay/wechat", "transaction_id: want text, not a number", weChat("transaction_id", 1000001)},
		{"WeChat, another key", "pay/wechat", "pay.wechat.api_v3_key", func(p *providers.Players) (paysim.Callback, error) {
			return p.WeChat.Sign(wechat.Notice{Content: p.WeChat.Payment("W-1", "T-1", 100), APIv3Key: strings.Repeat("k", 32)})
		}},
		{"WeChat, no resource", "pay/wechat", "resource: is missing", func(p *providers.Players) (paysim.Callback, error) {
			return p.WeChat.Sign(wechat.Notice{NoResource: true})
		}},
		{"Stripe, an amount as text", "pay/stripe", "data.object.amount_received: want a whole number, not a string", stripe("payment_intent.succeeded",
			map[string]any{"id": "T-1", "status": "succeeded", "amount_received": "1000001", "metadata": map[string]any{"number": "W-1"}})},
		{"Alipay, an amount in words", "pay/alipay", "total_amount: want yuan with at most two decimals", func(p *providers.Players) (paysim.Callback, error) {
			form := p.Alipay.Form(paysim.Payment{Number: "W-1", Transaction: "T-2", Minor: 100})
			form.Set("total_amount", "1000001元")
			return p.Alipay.Sign(form)
		}},
	}
}

// TestWrongFieldsAreNamed: a genuine callback with a wrong field gets 400 with the
// field and the reason, is on record, and blocks nothing; 401 is for forgeries.
func TestWrongFieldsAreNamed(t *testing.T) {
	s, sims := allProviders(t)
	s.order("W-1", 100)
	for _, c := range wrongFields() {
		signed, err := c.sign(sims)
		if err != nil {
			t.Fatal(err)
		}
		w := s.deliver(c.path, signed)
		if w.Code != http.StatusBadRequest && c.path != "pay/alipay" || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s, want 400 saying %q", c.name, w.Code, w.Body, c.says)
		}
		if strings.Contains(w.Body.String(), "1000001") || strings.Contains(s.Log.String(), "1000001") {
			t.Errorf("%s: the answer or the log holds what was sent: %s", c.name, w.Body)
		}
		forged, err := c.sign(players(t, strangers))
		if err != nil {
			t.Fatal(err)
		}
		if w := s.deliver(c.path, forged); w.Code != http.StatusUnauthorized {
			t.Errorf("%s, signed by a stranger: %d %s, want 401", c.name, w.Code, w.Body)
		}
	}
	lines, err := s.Store.Inbox(t.Context(), store.InboxQuery{Verdict: doorbell.Refused, Limit: 100})
	if err != nil || len(lines) != len(wrongFields()) {
		t.Errorf("%d refused lines in the inbox (%v), want one each of %d", len(lines), err, len(wrongFields()))
	}
	if n := strings.Count(s.Log.String(), "callback unusable"); n < 12 {
		t.Errorf("%d warnings of unusable callbacks, want one for each", n)
	}
	s.wantHead(0)
	// The sender corrects it: the same transaction pays.
	right, err := sims.Webhook.Paid(paysim.Payment{Number: "W-1", Transaction: "T-1", Minor: 100})
	if err != nil {
		t.Fatal(err)
	}
	if w := s.deliver("pay/webhook", right); w.Code != http.StatusNoContent {
		t.Errorf("mended: %d %s, want 204", w.Code, w.Body)
	}
	s.wantHead(1)
	// A settled callback stays on record, whatever else names its transaction.
	wrong, err := sims.Webhook.SignBody(fmt.Appendf(nil, `{"type":"order.payed","data":{"number":"W-1","amount":100,"transactionId":"T-1"}}`), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.deliver("pay/webhook", wrong)
	line, err := s.Store.Received(t.Context(), doorbell.Notice{Provider: "webhook", Kind: doorbell.PaymentNotice, Transaction: "T-1"})
	if err != nil || line.Verdict != doorbell.Settled {
		t.Errorf("the settled line: %+v, %v", line, err)
	}
}
