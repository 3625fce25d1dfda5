package paysim

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"doorbell/internal/payment"
)

// Alipay is Alipay as one seller meets it. It signs by the letter of its
// documentation, not by the library that verifies.
type Alipay struct {
	Key             *rsa.PrivateKey
	AppID, SellerID string
}

// NewAlipay makes one with a key of its own.
func NewAlipay() (*Alipay, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	return alipayOf(key), nil
}

func alipayOf(key *rsa.PrivateKey) *Alipay {
	return &Alipay{Key: key, AppID: "2021000000000001", SellerID: "2088000000000001"}
}

// Name implements Provider.
func (a *Alipay) Name() string { return "alipay" }

// Taken implements Provider: exactly the seven bytes.
func (a *Alipay) Taken(status int, body string) bool {
	return status == http.StatusOK && body == "success"
}

// Account is the merchant's side, as the configuration would have it.
func (a *Alipay) Account() payment.AlipayAccount {
	return payment.AlipayAccount{AppID: a.AppID, SellerID: a.SellerID, PublicKeys: []*rsa.PublicKey{&a.Key.PublicKey}, CheckAmount: true}
}

// Verifier implements Provider.
func (a *Alipay) Verifier() (payment.Verifier, error) { return payment.NewAlipay(a.Account()) }

// Form is a notice of a payment before it is signed.
func (a *Alipay) Form(m Payment) url.Values {
	at := m.signedAt().Format(time.DateTime)
	return url.Values{
		"notify_time": {at}, "notify_type": {"trade_status_sync"}, "notify_id": {rand.Text()}, "charset": {"utf-8"}, "version": {"1.0"},
		"app_id": {a.AppID}, "auth_app_id": {a.AppID}, "seller_id": {a.SellerID}, "buyer_id": {"2088trialbuyer"},
		"trade_no": {m.Transaction}, "out_trade_no": {m.Number}, "trade_status": {"TRADE_SUCCESS"},
		"total_amount": {yuan(m.Minor)}, "receipt_amount": {yuan(m.Minor)}, "subject": {"外卖 订单 & more"},
		"gmt_create": {at}, "gmt_payment": {at}, "fund_bill_list": {`[{"amount":"` + yuan(m.Minor) + `","fundChannel":"ALIPAYACCOUNT"}]`},
	}
}

func yuan(fen int64) string { return fmt.Sprintf("%d.%02d", fen/100, fen%100) }

// Paid implements Provider.
func (a *Alipay) Paid(m Payment) (Callback, error) { return a.Sign(a.Form(m)) }

// Refunded implements Provider: all of it.
func (a *Alipay) Refunded(m Payment) (Callback, error) {
	form := a.Form(m)
	form.Set("trade_status", "TRADE_CLOSED")
	form.Set("refund_fee", yuan(m.Minor))
	form.Set("gmt_refund", m.signedAt().Format(time.DateTime))
	return a.Sign(form)
}

// Sign makes the callback of a form.
func (a *Alipay) Sign(form url.Values) (Callback, error) {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if name != "sign" && name != "sign_type" && name != "alipay_cert_sn" {
			parts = append(parts, name+"="+form.Get(name))
		}
	}
	signature, err := a.signature([]byte(strings.Join(parts, "&")))
	if err != nil {
		return Callback{}, err
	}
	signed := maps.Clone(form)
	signed.Set("sign", signature)
	signed.Set("sign_type", "RSA2")
	h := http.Header{}
	h.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return Callback{Header: h, Body: []byte(signed.Encode())}, nil
}

func (a *Alipay) signature(text []byte) (string, error) {
	digest := sha256.Sum256(text)
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.Key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return base64.StdEncoding.EncodeToString(signature), nil
}
