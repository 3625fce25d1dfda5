package payment_test

import (
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
	"doorbell/internal/payment/paysim"
)

// kit is one provider as the suite needs it: with the right keys and with
// those of a stranger.
type kit struct {
	paysim.Provider
	stranger paysim.Provider
	verifier payment.Verifier
	headers  []string // without any of which nothing passes
	// ageless: its callbacks carry no time that could be checked.
	ageless bool
	// recoded: its body can be written in several ways that say the same.
	recoded bool
}

func secretOf(fill string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(fill, 32)))
}

// kits has every provider, those with secrets in the middle of a rotation.
func kits(t *testing.T) []kit {
	t.Helper()
	p, err := paysim.New()
	if err != nil {
		t.Fatal(err)
	}
	strangers, err := paysim.New()
	if err != nil {
		t.Fatal(err)
	}
	old, err := paysim.NewAlipay()
	if err != nil {
		t.Fatal(err)
	}
	account := p.Alipay.Account()
	account.PublicKeys = append([]*rsa.PublicKey{&old.Key.PublicKey}, account.PublicKeys...)
	must := func(v payment.Verifier, err error) payment.Verifier {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	return []kit{
		{Provider: p.WeChat, stranger: strangers.WeChat, verifier: must(payment.NewWeChat(p.WeChat.Account())), headers: []string{"Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"}},
		{Provider: p.Alipay, stranger: strangers.Alipay, verifier: must(payment.NewAlipay(account)), ageless: true, recoded: true},
		{Provider: p.Stripe, stranger: strangers.Stripe, verifier: must(payment.NewStripe([]string{"whsec_oldoldoldoldold", p.Stripe.Secret}, true)), headers: []string{"Stripe-Signature"}},
		{Provider: p.Webhook, stranger: strangers.Webhook, verifier: must(payment.NewWebhook([]string{"whsec_" + secretOf("o"), p.Webhook.Secret}, true)), headers: []string{"webhook-id", "webhook-timestamp", "webhook-signature"}},
	}
}

func (k kit) sign(t *testing.T, rightKey bool, at time.Time, number, transaction string, fen int64) (http.Header, []byte) {
	t.Helper()
	signer := k.Provider
	if !rightKey {
		signer = k.stranger
	}
	c, err := signer.Paid(paysim.Payment{Number: number, Transaction: transaction, Minor: fen, At: at})
	if err != nil {
		t.Fatal(err)
	}
	return c.Header, c.Body
}

// TestVerifiers is the contract of Verifier on every provider.
func TestVerifiers(t *testing.T) {
	for _, k := range kits(t) {
		t.Run(k.Name(), func(t *testing.T) {
			t.Run("genuine", func(t *testing.T) { k.genuine(t) })
			t.Run("forged", func(t *testing.T) { k.forged(t) })
			t.Run("tampered", func(t *testing.T) { k.tampered(t) })
		})
	}
}

func (k kit) genuine(t *testing.T) {
	header, body := k.sign(t, true, time.Now(), "A-1", "T-1", 1250)
	n, err := k.verifier.Verify(t.Context(), header, body)
	want := doorbell.Money{Minor: 1250, Currency: "CNY"}
	if err != nil || n.Refusal != "" || n.Number != "A-1" || n.Transaction != "T-1" || n.Money != want || n.Provider != k.Name() || n.Kind != doorbell.PaymentNotice || !n.CheckAmount {
		t.Errorf("got %+v, %v", n, err)
	}
	for _, bad := range []string{"", "a b", strings.Repeat("x", 65), "<b>"} {
		header, body := k.sign(t, true, time.Now(), bad, "T-2", 1)
		if n, err := k.verifier.Verify(t.Context(), header, body); err != nil || n.Refusal == "" {
			t.Errorf("number %q: %+v, %v; want it refused", bad, n, err)
		}
	}
	header, body = k.sign(t, true, time.Now(), "A-1", strings.Repeat("t", 65), 1)
	if n, err := k.verifier.Verify(t.Context(), header, body); err != nil || n.Refusal == "" || len(n.Transaction) > 64 {
		t.Errorf("a transaction id of 65: %+v, %v; want it refused", n, err)
	}
}

func (k kit) forged(t *testing.T) {
	now := time.Now()
	for name, at := range map[string]time.Time{"stale": now.Add(-6 * time.Minute), "ahead": now.Add(6 * time.Minute), "of 1970": time.Unix(1, 0)} {
		if header, body := k.sign(t, true, at, "A-1", "T-1", 1250); !k.ageless {
			k.wantForged(t, name, header, body)
		}
	}
	header, body := k.sign(t, false, now, "A-1", "T-1", 1250)
	k.wantForged(t, "another key", header, body)
	for _, name := range k.headers {
		header, body := k.sign(t, true, now, "A-1", "T-1", 1250)
		header.Del(name)
		k.wantForged(t, "without "+name, header, body)
		header, body = k.sign(t, true, now, "A-1", "T-1", 1250)
		header.Add(name, header.Get(name))
		k.wantForged(t, name+" twice", header, body)
		header, body = k.sign(t, true, now, "A-1", "T-1", 1250)
		header.Set(name, header.Get(name)[1:])
		k.wantForged(t, name+" shortened", header, body)
	}
	if k.headers == nil { // the signature is in the body
		return
	}
	// A signature of one callback under the body of another.
	header, _ = k.sign(t, true, now, "A-1", "T-1", 1250)
	_, body = k.sign(t, true, now, "A-2", "T-2", 1)
	k.wantForged(t, "the body of another", header, body)
}

// tampered changes one byte, cuts, and adds.
func (k kit) tampered(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 500 {
		header, body := k.sign(t, true, time.Now(), "A-1", "T-1", 1250)
		switch i % 4 {
		case 0, 1:
			body[rng.IntN(len(body))] ^= byte(1 + rng.IntN(255))
		case 2:
			body = body[:rng.IntN(len(body))]
		default:
			body = append(body, byte(rng.IntN(256)))
		}
		if k.recoded && k.saysTheSame(t, header, body) {
			continue
		}
		k.wantForged(t, fmt.Sprintf("tampering %d: %q", i, body), header, body)
	}
}

// saysTheSame: a form with %2b for %2B, or an & behind it, is the same form.
func (k kit) saysTheSame(t *testing.T, header http.Header, body []byte) bool {
	t.Helper()
	n, err := k.verifier.Verify(t.Context(), header, body)
	return err == nil && n.Number == "A-1" && n.Transaction == "T-1" && n.Minor == 1250 && n.Refusal == ""
}

func (k kit) wantForged(t *testing.T, name string, header http.Header, body []byte) {
	t.Helper()
	n, err := k.verifier.Verify(t.Context(), header, body)
	f, ok := errors.AsType[*payment.Forgery](err)
	if !ok {
		t.Errorf("%s: %+v, %v; want a forgery", name, n, err)
		return
	}
	if strings.Contains(f.Reason, "A-1") {
		t.Errorf("%s: the reason holds the body: %s", name, f.Reason)
	}
}

// TestStripeEvents: which events mean that money came, or went.
func TestStripeEvents(t *testing.T) {
	const secret = "whsec_of_a_test_endpoint"
	v, err := payment.NewStripe([]string{secret}, true)
	if err != nil {
		t.Fatal(err)
	}
	stripe := paysim.Stripe{Secret: secret}
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
		{"a session whose money is on its way", "checkout.session.completed", map[string]any{"id": "cs_1", "payment_intent": "pi_1", "payment_status": "unpaid", "metadata": meta}, "not a success", doorbell.PaymentNotice, "pi_1", 0, "CNY"},
		{"its money came", "checkout.session.async_payment_succeeded", map[string]any{"id": "cs_1", "payment_intent": "pi_1", "payment_status": "paid", "amount_total": 5, "currency": "eur", "metadata": meta}, "", doorbell.PaymentNotice, "pi_1", 5, "EUR"},
		{"a charge refunded", "charge.refunded", map[string]any{"id": "ch_1", "payment_intent": "pi_1", "refunded": true, "amount": 5, "currency": "eur", "metadata": meta}, "", doorbell.RefundNotice, "ch_1", 5, "EUR"},
		{"in part", "charge.refunded", map[string]any{"id": "ch_1", "refunded": false, "amount": 5, "metadata": meta}, "refunded in part", doorbell.RefundNotice, "ch_1", 5, "CNY"},
		{"a payment that failed", "payment_intent.payment_failed", map[string]any{"id": "pi_1", "metadata": meta}, "not a success", doorbell.PaymentNotice, "", 0, ""},
		{"no metadata", "payment_intent.succeeded", map[string]any{"id": "pi_1", "status": "succeeded"}, "no order number", doorbell.PaymentNotice, "pi_1", 0, "CNY"},
	} {
		signed, err := stripe.Event(c.event, c.object, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		n, err := v.Verify(t.Context(), signed.Header, signed.Body)
		if err != nil || n.Refusal != c.refusal || n.Kind != c.kind || c.transaction != "" && (n.Transaction != c.transaction || n.Minor != c.minor || n.Currency != c.currency) {
			t.Errorf("%s: %+v, %v", c.name, n, err)
		}
	}
}

// TestWebhookSecrets: what is no secret is told at the start.
func TestWebhookSecrets(t *testing.T) {
	for _, bad := range [][]string{nil, {""}, {"whsec_!"}, {base64.StdEncoding.EncodeToString([]byte("short"))}, {secretOf("k"), "x"}} {
		if _, err := payment.NewWebhook(bad, true); err == nil {
			t.Errorf("%q was taken for secrets", bad)
		}
	}
	if _, err := payment.NewStripe([]string{"whsec_"}, true); err == nil {
		t.Error("a secret of six characters was taken")
	}
}
