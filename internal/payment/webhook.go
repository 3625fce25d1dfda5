package payment

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"doorbell/internal/doorbell"
)

// Webhook verifies callbacks after Standard Webhooks 1.0, for whoever has no
// provider of their own here: headers webhook-id, webhook-timestamp and
// webhook-signature (HMAC-SHA256, base64), and the body
//
//	{"type":"order.paid","data":{"number","amount","currency","transactionId"}}
//
// amount is in the currency's minor unit; currency may be left out (CNY). The
// type order.refunded takes a payment back.
type Webhook struct {
	keys        []*standardwebhooks.Webhook
	checkAmount bool
}

// NewWebhook takes one secret or, while they are rotated, several: base64,
// with or without "whsec_", of 24 to 64 bytes (the specification's bounds).
func NewWebhook(secrets []string, checkAmount bool) (*Webhook, error) {
	w := &Webhook{checkAmount: checkAmount}
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

// Provider implements Verifier.
func (w *Webhook) Provider() string { return "webhook" }

// Verify implements Verifier.
func (w *Webhook) Verify(_ context.Context, header http.Header, body []byte) (doorbell.Notice, error) {
	for _, name := range []string{standardwebhooks.HeaderWebhookID, standardwebhooks.HeaderWebhookTimestamp, standardwebhooks.HeaderWebhookSignature} {
		if err := oneHeader(header, name); err != nil {
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
		return doorbell.Notice{}, forged("timestamp")
	default:
		return doorbell.Notice{}, forged("signature")
	}
	var event struct {
		Type string `json:"type"`
		Data struct {
			Number      string `json:"number"`
			Amount      int64  `json:"amount"`
			Currency    string `json:"currency"`
			Transaction string `json:"transactionId"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &event) != nil {
		return doorbell.Notice{}, forged("malformed")
	}
	n := doorbell.Notice{
		Provider: w.Provider(), Kind: doorbell.PaymentNotice, Transaction: event.Data.Transaction, Number: event.Data.Number,
		Money: money(event.Data.Amount, event.Data.Currency), CheckAmount: w.checkAmount, BodyHash: bodyHash(body),
	}
	switch event.Type {
	case "order.paid":
	case "order.refunded":
		n.Kind, n.CheckAmount = doorbell.RefundNotice, false
	default:
		n.Refusal = "not a success"
	}
	return complete(n), nil
}

// oneHeader: which of two was signed?
func oneHeader(h http.Header, name string) error {
	switch values := h.Values(name); {
	case len(values) > 1:
		return forged("header_twice")
	case len(values) == 0 || values[0] == "":
		return forged("header_missing")
	default:
		return nil
	}
}

// money has the currency as doorbell keeps it.
func money(minor int64, currency string) doorbell.Money {
	if currency == "" {
		currency = doorbell.DefaultCurrency
	}
	return doorbell.Money{Minor: minor, Currency: strings.ToUpper(currency)}
}

// complete gives a genuine notice its line in the inbox whatever it lacks, and
// refuses it where something lacks.
func complete(n doorbell.Notice) doorbell.Notice {
	missing := func(what string) {
		if n.Refusal == "" {
			n.Refusal = what
		}
	}
	if n.Transaction == "" || len(n.Transaction) > 64 {
		missing("no transaction id")
		n.Transaction = "body:" + n.BodyHash[:32]
	}
	if !doorbell.ValidNumber(n.Number) {
		missing("no order number")
		n.Number = ""
	}
	return n
}
