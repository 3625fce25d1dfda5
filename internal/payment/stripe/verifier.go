package stripe

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
)

// Verifier verifies Stripe's webhooks: the header Stripe-Signature holds t=SECONDS
// and one v1=HEX for each secret, HMAC-SHA256 over "SECONDS.BODY"
// (docs.stripe.com/webhooks/signature). The check is implemented here because
// stripe-go would add Stripe's whole API.
//
// checkout.session.completed (paid), checkout.session.async_payment_succeeded and
// payment_intent.succeeded settle an order; charge.refunded refunds it, in whole
// or in part. The order's number is metadata.number.
type Verifier struct{ account Account }

// Account is an endpoint at Stripe. It receives the events of its own account and,
// on a platform, those of the connected accounts.
type Account struct {
	Secrets     []string // several while they are rotated
	Connected   []string // connected accounts (acct_…) whose events are accepted too
	TestMode    bool     // accept events of test mode, which carry no real money
	CheckAmount bool
}

// NewVerifier checks the account.
func NewVerifier(a Account) (*Verifier, error) {
	for _, s := range a.Secrets {
		if len(s) < 16 {
			return nil, errors.New("a signing secret is too short; Stripe's begin with whsec_")
		}
	}
	if len(a.Secrets) == 0 {
		return nil, errors.New("no signing secret")
	}
	return &Verifier{account: a}, nil
}

// Provider implements payment.Verifier.
func (s *Verifier) Provider() string { return name }

// Verify implements payment.Verifier.
func (s *Verifier) Verify(_ context.Context, header http.Header, body []byte) (doorbell.Notice, error) {
	if err := payment.OneHeader(header, "Stripe-Signature"); err != nil {
		return doorbell.Notice{}, err
	}
	if err := s.check(header.Get("Stripe-Signature"), body); err != nil {
		return doorbell.Notice{}, err
	}
	var e event
	if fault := payment.ReadJSON(body, &e); fault != "" {
		return payment.Unusable(s.Provider(), body, e.Data.Object.Metadata["number"], fault), nil
	}
	n := s.read(e, body)
	if n.Decided != "" {
		return n, nil
	}
	names := payment.Fields{Transaction: "data.object.id", Number: "data.object.metadata.number", Amount: "data.object.amount", Currency: "data.object.currency"}
	if n.Kind == doorbell.RefundNotice {
		names.Transaction, names.Payment, names.Number = "id", "data.object.payment_intent", "" // its payment tells it
	}
	return payment.Complete(n, names), nil
}

// check compares the header's signatures with the account's secrets.
func (s *Verifier) check(header string, body []byte) error {
	var stamp string
	var given [][]byte
	for part := range strings.SplitSeq(header, ",") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "t":
			if stamp != "" {
				return payment.Forged("header_twice")
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
		return payment.Forged("timestamp")
	}
	if age := time.Since(time.Unix(seconds, 0)); age > payment.ClockSkew || age < -payment.ClockSkew {
		return payment.Forged("timestamp")
	}
	for _, secret := range s.account.Secrets {
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
	return payment.Forged("signature")
}

// event holds the fields that are needed; its object is a checkout session, a
// payment intent or a charge.
type event struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Live    *bool  `json:"livemode"`
	Account string `json:"account"` // a connected account's; empty: the own account
	Data    struct {
		Object struct {
			ID             string            `json:"id"`
			PaymentIntent  json.RawMessage   `json:"payment_intent"` // an id, or null
			PaymentStatus  string            `json:"payment_status"`
			Status         string            `json:"status"`
			AmountTotal    int64             `json:"amount_total"`
			AmountReceived int64             `json:"amount_received"`
			AmountRefunded int64             `json:"amount_refunded"`
			Refunded       bool              `json:"refunded"`
			Currency       string            `json:"currency"`
			Metadata       map[string]string `json:"metadata"`
		} `json:"object"`
	} `json:"data"`
}

func (s *Verifier) read(e event, body []byte) doorbell.Notice {
	o := e.Data.Object
	n := doorbell.Notice{
		Provider: s.Provider(), Kind: doorbell.PaymentNotice, Number: o.Metadata["number"],
		CheckAmount: s.account.CheckAmount, BodyHash: payment.BodyHash(body),
	}
	var intent string
	_ = json.Unmarshal(o.PaymentIntent, &intent) // events never carry the expanded object
	switch e.Type {
	case "checkout.session.completed", "checkout.session.async_payment_succeeded":
		n.Transaction, n.Money = intent, payment.Money(o.AmountTotal, o.Currency)
		if o.PaymentStatus != "paid" { // the payment is still pending: another event follows
			return payment.Ignored(s.Provider(), e.ID, body, "not a success")
		}
	case "payment_intent.succeeded":
		n.Transaction, n.Money = o.ID, payment.Money(o.AmountReceived, o.Currency)
		if o.Status != "succeeded" {
			return payment.Ignored(s.Provider(), e.ID, body, "not a success")
		}
	case "charge.refunded":
		// All refunds of a charge carry the charge's id: the event's id tells them
		// apart.
		n.Kind, n.Transaction, n.Payment, n.CheckAmount = doorbell.RefundNotice, e.ID, cmp.Or(intent, o.ID), false
		n.Money, n.Basis = payment.Money(o.AmountRefunded, o.Currency), doorbell.RefundsSoFar
		if o.Refunded {
			n.Basis = doorbell.AllOfIt
		}
	default:
		return payment.Ignored(s.Provider(), e.ID, body, "type: no event that pays or refunds an order")
	}
	switch {
	case e.Live != nil && !*e.Live && !s.account.TestMode:
		n.Refusal = "livemode: an event of test mode; see pay.stripe.test_mode"
	case e.Account != "" && !slices.Contains(s.account.Connected, e.Account):
		n.Refusal = "account: none of ours; see pay.stripe.connected"
	}
	if n.Refusal == "" && n.Kind == doorbell.PaymentNotice && n.Number == "" {
		// The event may belong to another business of the same account, or the shop
		// forgot the number: the log warns. If two events tell of one payment, the
		// other one settles it.
		n = payment.Ignored(s.Provider(), e.ID, body, "data.object.metadata.number: no order number")
		n.Unusable = true
	}
	return n
}
