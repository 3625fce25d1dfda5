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
	"doorbell/internal/payment/alipay"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/providers"
	"doorbell/internal/payment/stripe"
	"doorbell/internal/payment/webhook"
	"doorbell/internal/payment/wechat"
)

// kit is one provider for the suite: a signer with the right keys and one with a
// stranger's.
type kit struct {
	paysim.Player
	stranger paysim.Player
	verifier payment.Verifier
	headers  []string // all are required
	// ageless says that its callbacks carry no time that can be checked.
	ageless bool
	// recoded says that its body can be written in several equivalent ways.
	recoded bool
}

func secretOf(fill string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(fill, 32)))
}

// kits returns every provider, those with secrets in the middle of a rotation.
func kits(t *testing.T) []kit {
	t.Helper()
	p, err := providers.NewPlayers()
	if err != nil {
		t.Fatal(err)
	}
	strangers, err := providers.NewPlayers()
	if err != nil {
		t.Fatal(err)
	}
	old, err := alipay.NewPlayer()
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
		{Player: p.WeChat, stranger: strangers.WeChat, verifier: must(wechat.NewVerifier(p.WeChat.Account())), headers: []string{"Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"}},
		{Player: p.Alipay, stranger: strangers.Alipay, verifier: must(alipay.NewVerifier(account)), ageless: true, recoded: true},
		{Player: p.Stripe, stranger: strangers.Stripe, verifier: must(stripe.NewVerifier(stripe.Account{Secrets: []string{"whsec_oldoldoldoldold", p.Stripe.Secret}, CheckAmount: true})), headers: []string{"Stripe-Signature"}},
		{Player: p.Webhook, stranger: strangers.Webhook, verifier: must(webhook.NewVerifier([]string{"whsec_" + secretOf("o"), p.Webhook.Secret}, true)), headers: []string{"webhook-id", "webhook-timestamp", "webhook-signature"}},
	}
}

func (k kit) sign(t *testing.T, rightKey bool, at time.Time, number, transaction string, fen int64) (http.Header, []byte) {
	t.Helper()
	signer := k.Player
	if !rightKey {
		signer = k.stranger
	}
	c, err := signer.Paid(paysim.Payment{Number: number, Transaction: transaction, Minor: fen, At: at})
	if err != nil {
		t.Fatal(err)
	}
	return c.Header, c.Body
}

// TestVerifiers tests the contract of Verifier on every provider.
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
	// One callback's signature with another's body.
	header, _ = k.sign(t, true, now, "A-1", "T-1", 1250)
	_, body = k.sign(t, true, now, "A-2", "T-2", 1)
	k.wantForged(t, "the body of another", header, body)
}

// tampered changes, removes and adds a byte.
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

// saysTheSame reports whether a changed form is equivalent: %2b for %2B, or a
// trailing &.
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
