package payment_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
	"doorbell/internal/payment/wechatsim"
)

// kit plays one provider: it signs a payment of fen, with the right key or
// another one.
type kit struct {
	name     string
	verifier payment.Verifier
	headers  []string // without any of which nothing passes
	sign     func(t *testing.T, rightKey bool, at time.Time, number, transaction string, fen int64) (http.Header, []byte)
}

func secretOf(fill string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(fill, 32)))
}

func webhookKit(t *testing.T) kit {
	t.Helper()
	v, err := payment.NewWebhook([]string{"whsec_" + secretOf("o"), secretOf("k")}, true) // rotating
	if err != nil {
		t.Fatal(err)
	}
	return kit{"webhook", v, []string{"webhook-id", "webhook-timestamp", "webhook-signature"}, func(t *testing.T, right bool, at time.Time, number, transaction string, fen int64) (http.Header, []byte) {
		t.Helper()
		body := encode(t, map[string]any{"type": "order.paid", "data": map[string]any{"number": number, "amount": fen, "transactionId": transaction}})
		return webhookHeader(t, map[bool]string{true: "k", false: "z"}[right], at, body), body
	}}
}

func webhookHeader(t *testing.T, key string, at time.Time, body []byte) http.Header {
	t.Helper()
	signer, err := standardwebhooks.NewWebhook(secretOf(key))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signer.Sign("msg_1", at, body)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	h.Set("webhook-id", "msg_1")
	h.Set("webhook-timestamp", fmt.Sprint(at.Unix()))
	h.Set("webhook-signature", signature+" v1a,ignored")
	return h
}

func stripeKit(t *testing.T) kit {
	t.Helper()
	v, err := payment.NewStripe([]string{"whsec_oldoldoldoldold", "whsec_newnewnewnewnew"}, true)
	if err != nil {
		t.Fatal(err)
	}
	return kit{"stripe", v, []string{"Stripe-Signature"}, func(t *testing.T, right bool, at time.Time, number, transaction string, fen int64) (http.Header, []byte) {
		t.Helper()
		body := encode(t, stripeBody("payment_intent.succeeded", map[string]any{
			"id": transaction, "status": "succeeded", "amount_received": fen, "currency": "cny", "metadata": map[string]any{"number": number},
		}))
		return stripeHeader(map[bool]string{true: "whsec_newnewnewnewnew", false: "whsec_another_secret"}[right], at, body), body
	}}
}

func stripeBody(event string, object map[string]any) map[string]any {
	return map[string]any{"id": "evt_1", "type": event, "data": map[string]any{"object": object}}
}

func stripeHeader(secret string, at time.Time, body []byte) http.Header {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(fmt.Appendf(nil, "%d.%s", at.Unix(), body))
	return http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,v1=%s,v0=00", at.Unix(), hex.EncodeToString(mac.Sum(nil)))}}
}

func wechatKit(t *testing.T) kit {
	t.Helper()
	p, err := wechatsim.New()
	if err != nil {
		t.Fatal(err)
	}
	other, err := wechatsim.New()
	if err != nil {
		t.Fatal(err)
	}
	v, err := payment.NewWeChat(p.Account())
	if err != nil {
		t.Fatal(err)
	}
	return kit{"wechat", v, []string{"Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"}, func(t *testing.T, right bool, at time.Time, number, transaction string, fen int64) (http.Header, []byte) {
		t.Helper()
		signer := map[bool]*wechatsim.Platform{true: p, false: other}[right]
		c, err := signer.Sign(wechatsim.Notice{Content: p.Payment(number, transaction, fen), Time: at})
		if err != nil {
			t.Fatal(err)
		}
		return c.Header, c.Body
	}}
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVerifiers is the contract of Verifier on every provider.
func TestVerifiers(t *testing.T) {
	for _, k := range []kit{wechatKit(t), stripeKit(t), webhookKit(t)} {
		t.Run(k.name, func(t *testing.T) {
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
	if err != nil || n.Refusal != "" || n.Number != "A-1" || n.Transaction != "T-1" || n.Money != want || n.Provider != k.name || n.Kind != doorbell.PaymentNotice || !n.CheckAmount {
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
		header, body := k.sign(t, true, at, "A-1", "T-1", 1250)
		k.wantForged(t, name, header, body)
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
		k.wantForged(t, fmt.Sprintf("tampering %d: %q", i, body), header, body)
	}
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
	k := stripeKit(t)
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
		body := encode(t, stripeBody(c.event, c.object))
		n, err := k.verifier.Verify(t.Context(), stripeHeader("whsec_oldoldoldoldold", time.Now(), body), body)
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
