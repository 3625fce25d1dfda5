package webhook

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
)

// Verifier verifies callbacks signed by Standard Webhooks 1.0, for shops whose
// provider is not supported: the headers webhook-id, webhook-timestamp and
// webhook-signature (HMAC-SHA256, base64), and the body
//
//	{"type":"order.paid","data":{"number","amount","currency","transactionId"}}
//
// amount is in the currency's minor unit; currency may be left out (CNY). The type
// order.refunded refunds a payment:
//
//	{"type":"order.refunded","data":{"number","transactionId","refundId","amount","currency"}}
//
// transactionId is the payment's. With a refundId, amount is the amount of that
// refund, and a payment's refunds add up. Without amount, the whole payment is
// refunded. Without refundId, amount is the sum of all refunds so far.
type Verifier struct {
	keys        []*standardwebhooks.Webhook
	checkAmount bool
}

// NewVerifier takes one secret, or several while they are rotated: base64 of 24 to
// 64 bytes (the specification's bounds), with or without "whsec_".
func NewVerifier(secrets []string, checkAmount bool) (*Verifier, error) {
	w := &Verifier{checkAmount: checkAmount}
	for i, secret := range secrets {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(raw) < 24 || len(raw) > 64 {
			return nil, fmt.Errorf("secret %d is not base64 of 24 to 64 bytes", i+1)
		}
		key, err := standardwebhooks.NewWebhookRaw(raw)
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		w.keys = append(w.keys, key)
	}
	if len(w.keys) == 0 {
		return nil, errors.New("no secret")
	}
	return w, nil
}

// Provider implements payment.Verifier.
func (w *Verifier) Provider() string { return name }

// Verify implements payment.Verifier.
func (w *Verifier) Verify(_ context.Context, header http.Header, body []byte) (doorbell.Notice, error) {
	for _, name := range []string{standardwebhooks.HeaderWebhookID, standardwebhooks.HeaderWebhookTimestamp, standardwebhooks.HeaderWebhookSignature} {
		if err := payment.OneHeader(header, name); err != nil {
			return doorbell.Notice{}, err
		}
	}
	err := errors.New("no key")
	for _, key := range w.keys {
		if err = key.Verify(body, header); err == nil {
			break
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, standardwebhooks.ErrMessageTooOld), errors.Is(err, standardwebhooks.ErrMessageTooNew), errors.Is(err, standardwebhooks.ErrInvalidHeaders):
		return doorbell.Notice{}, payment.Forged("timestamp")
	default:
		return doorbell.Notice{}, payment.Forged("signature")
	}
	var event struct {
		Type string `json:"type"`
		Data struct {
			Number      string `json:"number"`
			Amount      *int64 `json:"amount"`
			Currency    string `json:"currency"`
			Transaction string `json:"transactionId"`
			Refund      string `json:"refundId"`
		} `json:"data"`
	}
	if fault := payment.ReadJSON(body, &event); fault != "" {
		return payment.Unusable(w.Provider(), body, event.Data.Number, fault), nil
	}
	data := event.Data
	n := doorbell.Notice{
		Provider: w.Provider(), Kind: doorbell.PaymentNotice, Transaction: data.Transaction, Number: data.Number,
		CheckAmount: w.checkAmount, BodyHash: payment.BodyHash(body),
	}
	amount := int64(0)
	if data.Amount != nil {
		amount = *data.Amount
	}
	n.Money = payment.Money(amount, data.Currency)
	switch event.Type {
	case "order.paid":
	case "order.refunded":
		n.Kind, n.CheckAmount, n.Payment, n.Basis = doorbell.RefundNotice, false, data.Transaction, doorbell.RefundsSoFar
		switch {
		case data.Amount == nil:
			n.Basis = doorbell.AllOfIt
		case data.Refund != "":
			n.Basis = doorbell.ThisRefund
		}
		if n.Transaction = data.Refund; n.Transaction == "" && data.Transaction != "" {
			n.Transaction = payment.RefundName(data.Transaction, string(n.Basis), amount)
		}
		return payment.Complete(n, payment.Fields{Transaction: "data.refundId", Payment: "data.transactionId", Number: "data.number", Amount: "data.amount", Currency: "data.currency"}), nil
	default:
		return payment.Unusable(w.Provider(), body, event.Data.Number, "type: want order.paid or order.refunded"), nil
	}
	return payment.Complete(n, payment.Fields{Transaction: "data.transactionId", Number: "data.number", Amount: "data.amount", Currency: "data.currency"}), nil
}
