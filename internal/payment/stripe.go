package payment

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"doorbell/internal/doorbell"
)

// Stripe verifies Stripe's webhooks: the header Stripe-Signature holds
// t=SECONDS and one v1=HEX for each secret, HMAC-SHA256 over "SECONDS.BODY"
// (docs.stripe.com/webhooks/signature). The scheme is written out here:
// stripe-go would bring every call of Stripe's API along.
//
// checkout.session.completed (paid), checkout.session.async_payment_succeeded
// and payment_intent.succeeded settle an order; charge.refunded, when all of it
// is, takes it back. The order's number is metadata.number.
type Stripe struct {
	secrets     []string
	checkAmount bool
}

// NewStripe takes the endpoint's signing secret, or several while they are
// rotated.
func NewStripe(secrets []string, checkAmount bool) (*Stripe, error) {
	for _, s := range secrets {
		if len(s) < 16 {
			return nil, errors.New("a signing secret is too short; Stripe's begin with whsec_")
		}
	}
	if len(secrets) == 0 {
		return nil, errors.New("no signing secret")
	}
	return &Stripe{secrets: secrets, checkAmount: checkAmount}, nil
}

// Provider implements Verifier.
func (s *Stripe) Provider() string { return "stripe" }

// Verify implements Verifier.
func (s *Stripe) Verify(_ context.Context, header http.Header, body []byte) (doorbell.Notice, error) {
	if err := oneHeader(header, "Stripe-Signature"); err != nil {
		return doorbell.Notice{}, err
	}
	if err := s.check(header.Get("Stripe-Signature"), body); err != nil {
		return doorbell.Notice{}, err
	}
	var event stripeEvent
	if json.Unmarshal(body, &event) != nil {
		return doorbell.Notice{}, forged("malformed")
	}
	return complete(s.read(event, body)), nil
}

// check holds the header's signatures against our secrets.
func (s *Stripe) check(header string, body []byte) error {
	var stamp string
	var given [][]byte
	for part := range strings.SplitSeq(header, ",") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "t":
			if stamp != "" {
				return forged("header_twice")
			}
			stamp = value
		case "v1":
			if sum, err := hex.DecodeString(value); err == nil && len(given) < 16 {
				given = append(given, sum)
			}
		}
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return forged("timestamp")
	}
	if age := time.Since(time.Unix(seconds, 0)); age > clockSkew || age < -clockSkew {
		return forged("timestamp")
	}
	for _, secret := range s.secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(stamp + "."))
		mac.Write(body)
		want := mac.Sum(nil)
		for _, sum := range given {
			if hmac.Equal(sum, want) {
				return nil
			}
		}
	}
	return forged("signature")
}

// stripeEvent is what is needed of an event: its object is a checkout session,
// a payment intent or a charge.
type stripeEvent struct {
	Type string `json:"type"`
	Data struct {
		Object struct {
			ID             string            `json:"id"`
			PaymentIntent  json.RawMessage   `json:"payment_intent"` // an id, or null
			PaymentStatus  string            `json:"payment_status"`
			Status         string            `json:"status"`
			AmountTotal    int64             `json:"amount_total"`
			AmountReceived int64             `json:"amount_received"`
			Amount         int64             `json:"amount"`
			Refunded       bool              `json:"refunded"`
			Currency       string            `json:"currency"`
			Metadata       map[string]string `json:"metadata"`
		} `json:"object"`
	} `json:"data"`
}

func (s *Stripe) read(e stripeEvent, body []byte) doorbell.Notice {
	o := e.Data.Object
	n := doorbell.Notice{
		Provider: s.Provider(), Kind: doorbell.PaymentNotice, Number: o.Metadata["number"],
		CheckAmount: s.checkAmount, BodyHash: bodyHash(body),
	}
	var intent string
	_ = json.Unmarshal(o.PaymentIntent, &intent) // an expanded object is not sent in events
	switch e.Type {
	case "checkout.session.completed", "checkout.session.async_payment_succeeded":
		n.Transaction, n.Money = intent, money(o.AmountTotal, o.Currency)
		if o.PaymentStatus != "paid" { // the money is still on its way: another event follows
			n.Refusal = "not a success"
		}
	case "payment_intent.succeeded":
		n.Transaction, n.Money = o.ID, money(o.AmountReceived, o.Currency)
		if o.Status != "succeeded" {
			n.Refusal = "not a success"
		}
	case "charge.refunded":
		n.Kind, n.Transaction, n.Money, n.CheckAmount = doorbell.RefundNotice, o.ID, money(o.Amount, o.Currency), false
		if !o.Refunded {
			n.Refusal = "refunded in part"
		}
	default:
		n.Refusal = "not a success"
	}
	return n
}
