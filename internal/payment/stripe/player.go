package stripe

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"doorbell/internal/payment"
	"doorbell/internal/payment/paysim"
)

// Player plays Stripe for one endpoint.
type Player struct{ Secret string }

// Name implements paysim.Player.
func (s *Player) Name() string { return name }

// Taken implements paysim.Player.
func (s *Player) Taken(status int, _ string) bool { return status/100 == 2 }

// Verifiers implements paysim.Player.
func (s *Player) Verifiers(checkAmount bool) ([]payment.Named, error) {
	v, err := NewVerifier(Account{Secrets: []string{s.Secret}, CheckAmount: checkAmount})
	return []payment.Named{{Verifier: v}}, err
}

// Paid implements paysim.Player.
func (s *Player) Paid(m paysim.Payment) (paysim.Callback, error) {
	return s.Event("payment_intent.succeeded", map[string]any{
		"id": m.Transaction, "object": "payment_intent", "status": "succeeded", "amount": m.Minor, "amount_received": m.Minor,
		"currency": "cny", "metadata": map[string]any{"number": m.Number},
	}, m.SignedAt())
}

// Refunded implements paysim.Player.
func (s *Player) Refunded(r paysim.Refund) (paysim.Callback, error) {
	r = r.Filled()
	return s.Event("charge.refunded", map[string]any{
		"id": "ch_" + r.Transaction, "object": "charge", "payment_intent": r.Transaction, "refunded": r.SoFar >= r.Minor, "amount": r.Minor,
		"amount_refunded": r.SoFar, "currency": "cny", "metadata": map[string]any{"number": r.Number},
	}, r.SignedAt())
}

// Event signs an event with this object.
func (s *Player) Event(kind string, object map[string]any, at time.Time) (paysim.Callback, error) {
	body, err := json.Marshal(map[string]any{
		"id": "evt_" + rand.Text(), "object": "event", "type": kind, "created": at.Unix(), "livemode": true, "data": map[string]any{"object": object},
	})
	if err != nil {
		return paysim.Callback{}, err
	}
	return s.SignBody(body, at)
}

// SignBody signs a given body.
func (s *Player) SignBody(body []byte, at time.Time) (paysim.Callback, error) {
	mac := hmac.New(sha256.New, []byte(s.Secret))
	mac.Write(fmt.Appendf(nil, "%d.%s", at.Unix(), body))
	h := http.Header{}
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Stripe-Signature", fmt.Sprintf("t=%d,v1=%s,v0=00", at.Unix(), hex.EncodeToString(mac.Sum(nil))))
	return paysim.Callback{Header: h, Body: body}, nil
}

// NewKeys creates the keys that a Player signs with.
func NewKeys() (map[string]string, error) {
	return map[string]string{name: "whsec_" + rand.Text()}, nil
}

// PlayerOf returns the player that signs with these keys.
func PlayerOf(keys map[string]string) (*Player, error) { return &Player{Secret: keys[name]}, nil }
