package paysim

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"doorbell/internal/payment"
)

// Stripe is Stripe as one endpoint meets it.
type Stripe struct{ Secret string }

// Name implements Provider.
func (s *Stripe) Name() string { return "stripe" }

// Taken implements Provider.
func (s *Stripe) Taken(status int, _ string) bool { return status/100 == 2 }

// Verifier implements Provider.
func (s *Stripe) Verifier() (payment.Verifier, error) {
	return payment.NewStripe([]string{s.Secret}, true)
}

// Paid implements Provider.
func (s *Stripe) Paid(m Payment) (Callback, error) {
	return s.Event("payment_intent.succeeded", map[string]any{
		"id": m.Transaction, "object": "payment_intent", "status": "succeeded", "amount": m.Minor, "amount_received": m.Minor,
		"currency": "cny", "metadata": map[string]any{"number": m.Number},
	}, m.signedAt())
}

// Refunded implements Provider.
func (s *Stripe) Refunded(m Payment) (Callback, error) {
	return s.Event("charge.refunded", map[string]any{
		"id": "ch_" + m.Transaction, "object": "charge", "payment_intent": m.Transaction, "refunded": true, "amount": m.Minor,
		"amount_refunded": m.Minor, "currency": "cny", "metadata": map[string]any{"number": m.Number},
	}, m.signedAt())
}

// Event signs an event with this object.
func (s *Stripe) Event(kind string, object map[string]any, at time.Time) (Callback, error) {
	body, err := json.Marshal(map[string]any{
		"id": "evt_" + rand.Text(), "object": "event", "type": kind, "created": at.Unix(), "livemode": false, "data": map[string]any{"object": object},
	})
	if err != nil {
		return Callback{}, err
	}
	mac := hmac.New(sha256.New, []byte(s.Secret))
	mac.Write(fmt.Appendf(nil, "%d.%s", at.Unix(), body))
	h := http.Header{}
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Stripe-Signature", fmt.Sprintf("t=%d,v1=%s,v0=00", at.Unix(), hex.EncodeToString(mac.Sum(nil))))
	return Callback{Header: h, Body: body}, nil
}

// Webhook is a system of one's own that signs after Standard Webhooks.
type Webhook struct{ Secret string }

// Name implements Provider.
func (w *Webhook) Name() string { return "webhook" }

// Taken implements Provider.
func (w *Webhook) Taken(status int, _ string) bool { return status/100 == 2 }

// Verifier implements Provider.
func (w *Webhook) Verifier() (payment.Verifier, error) {
	return payment.NewWebhook([]string{w.Secret}, true)
}

// Paid implements Provider.
func (w *Webhook) Paid(m Payment) (Callback, error) { return w.event("order.paid", m) }

// Refunded implements Provider.
func (w *Webhook) Refunded(m Payment) (Callback, error) { return w.event("order.refunded", m) }

func (w *Webhook) event(kind string, m Payment) (Callback, error) {
	body, err := json.Marshal(map[string]any{"type": kind, "timestamp": m.signedAt().UTC(), "data": map[string]any{
		"number": m.Number, "amount": m.Minor, "currency": "CNY", "transactionId": m.Transaction,
	}})
	if err != nil {
		return Callback{}, err
	}
	signer, err := standardwebhooks.NewWebhook(w.Secret)
	if err != nil {
		return Callback{}, err
	}
	id := "msg_" + rand.Text()
	signature, err := signer.Sign(id, m.signedAt(), body)
	if err != nil {
		return Callback{}, err
	}
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set(standardwebhooks.HeaderWebhookID, id)
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(m.signedAt().Unix(), 10))
	h.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return Callback{Header: h, Body: body}, nil
}
