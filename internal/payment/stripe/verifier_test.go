package stripe_test

import (
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment/stripe"
)

// TestStripeEvents: which events mean a payment or a refund.
func TestStripeEvents(t *testing.T) {
	const secret = "whsec_of_a_test_endpoint"
	v, err := stripe.NewVerifier(stripe.Account{Secrets: []string{secret}, CheckAmount: true})
	if err != nil {
		t.Fatal(err)
	}
	player := stripe.Player{Secret: secret}
	meta := map[string]any{"number": "A-1"}
	for _, c := range []struct {
		name, event string
		object      map[string]any
		refusal     string
		kind        doorbell.NoticeKind
		transaction string
		minor       int64
		currency    string
	}{
		{"a session that is paid", "checkout.session.completed", map[string]any{"id": "cs_1", "payment_intent": "pi_1", "payment_status": "paid", "amount_total": 700, "currency": "jpy", "metadata": meta}, "", doorbell.PaymentNotice, "pi_1", 700, "JPY"},
		{"a session whose money is on its way", "checkout.session.completed", map[string]any{"id": "cs_1", "payment_intent": "pi_1", "payment_status": "unpaid", "metadata": meta}, "not a success", doorbell.EventNotice, "", 0, ""},
		{"its money came", "checkout.session.async_payment_succeeded", map[string]any{"id": "cs_1", "payment_intent": "pi_1", "payment_status": "paid", "amount_total": 5, "currency": "eur", "metadata": meta}, "", doorbell.PaymentNotice, "pi_1", 5, "EUR"},
		{"a charge refunded", "charge.refunded", map[string]any{"id": "ch_1", "payment_intent": "pi_1", "refunded": true, "amount": 5, "amount_refunded": 5, "currency": "eur", "metadata": meta}, "", doorbell.RefundNotice, "", 5, "EUR"},
		{"in part", "charge.refunded", map[string]any{"id": "ch_1", "payment_intent": "pi_1", "refunded": false, "amount": 5, "amount_refunded": 2}, "", doorbell.RefundNotice, "", 2, "CNY"},
		{"a payment that failed", "payment_intent.payment_failed", map[string]any{"id": "pi_1", "metadata": meta}, "type: no event that pays or refunds an order", doorbell.EventNotice, "", 0, ""},
		{"no metadata", "payment_intent.succeeded", map[string]any{"id": "pi_1", "status": "succeeded"}, "data.object.metadata.number: no order number", doorbell.EventNotice, "", 0, ""},
	} {
		signed, err := player.Event(c.event, c.object, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		n, err := v.Verify(t.Context(), signed.Header, signed.Body)
		if err != nil || n.Refusal != c.refusal || n.Kind != c.kind || c.transaction != "" && (n.Transaction != c.transaction || n.Minor != c.minor || n.Currency != c.currency) {
			t.Errorf("%s: %+v, %v", c.name, n, err)
		}
	}
}

// TestStripeAccounts: events of test mode, and of unknown accounts, are refused
// unless the settings allow them.
func TestStripeAccounts(t *testing.T) {
	secret := "whsec_0123456789abcdef"
	player := stripe.Player{Secret: secret}
	object := `"data":{"object":{"id":"pi_1","status":"succeeded","amount_received":5,"currency":"eur","metadata":{"number":"A-1"}}}}`
	for _, c := range []struct {
		name, fields string
		edit         func(*stripe.Account)
		refusal      string
	}{
		{"live, our own", `"livemode":true,`, nil, ""},
		{"test mode", `"livemode":false,`, nil, "livemode: an event of test mode; see pay.stripe.test_mode"},
		{"test mode, allowed", `"livemode":false,`, func(a *stripe.Account) { a.TestMode = true }, ""},
		{"a stranger's", `"livemode":true,"account":"acct_2",`, func(a *stripe.Account) { a.Connected = []string{"acct_1"} }, "account: none of ours; see pay.stripe.connected"},
		{"a connected one's", `"livemode":true,"account":"acct_1",`, func(a *stripe.Account) { a.Connected = []string{"acct_1"} }, ""},
	} {
		account := stripe.Account{Secrets: []string{secret}}
		if c.edit != nil {
			c.edit(&account)
		}
		v, err := stripe.NewVerifier(account)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := player.SignBody([]byte(`{"id":"evt_1","type":"payment_intent.succeeded",`+c.fields+object), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if n, err := v.Verify(t.Context(), signed.Header, signed.Body); err != nil || n.Refusal != c.refusal {
			t.Errorf("%s: %q, %v; want %q", c.name, n.Refusal, err, c.refusal)
		}
	}
}

// TestShortSecret: an invalid secret is reported at the start.
func TestShortSecret(t *testing.T) {
	if _, err := stripe.NewVerifier(stripe.Account{Secrets: []string{"whsec_"}, CheckAmount: true}); err == nil {
		t.Error("a secret of six characters was accepted")
	}
}
