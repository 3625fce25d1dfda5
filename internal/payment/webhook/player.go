package webhook

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"doorbell/internal/payment"
	"doorbell/internal/payment/paysim"
)

// Player is a shop's own system that signs by Standard Webhooks.
type Player struct{ Secret string }

// Name implements paysim.Player.
func (w *Player) Name() string { return name }

// Taken implements paysim.Player.
func (w *Player) Taken(status int, _ string) bool { return status/100 == 2 }

// Verifiers implements paysim.Player.
func (w *Player) Verifiers(checkAmount bool) ([]payment.Named, error) {
	v, err := NewVerifier([]string{w.Secret}, checkAmount)
	return []payment.Named{{Verifier: v}}, err
}

// Paid implements paysim.Player.
func (w *Player) Paid(m paysim.Payment) (paysim.Callback, error) {
	return w.event("order.paid", m, map[string]any{"amount": m.Minor})
}

// Refunded implements paysim.Player.
func (w *Player) Refunded(r paysim.Refund) (paysim.Callback, error) {
	r = r.Filled()
	return w.event("order.refunded", r.Payment, map[string]any{"amount": r.Part, "refundId": r.ID})
}

func (w *Player) event(kind string, m paysim.Payment, data map[string]any) (paysim.Callback, error) {
	data["number"], data["currency"], data["transactionId"] = m.Number, "CNY", m.Transaction
	body, err := json.Marshal(map[string]any{"type": kind, "timestamp": m.SignedAt().UTC(), "data": data})
	if err != nil {
		return paysim.Callback{}, err
	}
	return w.SignBody(body, m.SignedAt())
}

// SignBody signs a given body.
func (w *Player) SignBody(body []byte, at time.Time) (paysim.Callback, error) {
	signer, err := standardwebhooks.NewWebhook(w.Secret)
	if err != nil {
		return paysim.Callback{}, err
	}
	id := "msg_" + rand.Text()
	signature, err := signer.Sign(id, at, body)
	if err != nil {
		return paysim.Callback{}, err
	}
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set(standardwebhooks.HeaderWebhookID, id)
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	h.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return paysim.Callback{Header: h, Body: body}, nil
}

// NewKeys creates the keys that a Player signs with.
func NewKeys() (map[string]string, error) {
	secret := (rand.Text() + rand.Text())[:32]
	return map[string]string{name: base64.StdEncoding.EncodeToString([]byte(secret))}, nil
}

// PlayerOf returns the player that signs with these keys.
func PlayerOf(keys map[string]string) (*Player, error) { return &Player{Secret: keys[name]}, nil }
