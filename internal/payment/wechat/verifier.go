package wechat

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/validators"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
)

// probePrefix begins the signature of WeChat's probes, which must fail.
const probePrefix = "WECHATPAY/SIGNTEST/"

// Account is a merchant's account at WeChat Pay APIv3. It needs at least one
// certificate or public key; both kinds, and several of each, while a merchant
// migrates.
type Account struct {
	MchID, AppID string
	APIv3Key     string // 32 bytes
	Certificates []*x509.Certificate
	PublicKeys   map[string]*rsa.PublicKey // by PUB_KEY_ID_…
	CheckAmount  bool
	// SubMerchants maps a partner's sub-merchants to their app ids, which may be
	// empty; MchID and AppID are then the partner's. nil: not a partner.
	SubMerchants map[string]string
}

// cipherName is how WeChat Pay encrypts a notice's resource.
const cipherName = "AEAD_AES_256_GCM"

// signatureType is the only supported signature scheme.
const signatureType = "WECHATPAY2-SHA256-RSA2048"

// Verifier verifies WeChat Pay's callbacks with the official SDK.
type Verifier struct {
	account   Account
	validator *validators.WechatPayNotifyValidator
	keys      serials
}

// serials maps the serial of each certificate and public key to its verifier: the
// SDK's own type takes at most one public key.
type serials map[string]auth.Verifier

func bySerial(a Account) serials {
	keys := serials{}
	certificates := core.NewCertificateMapWithList(a.Certificates)
	for _, c := range a.Certificates {
		keys[utils.GetCertificateSerialNumber(*c)] = verifiers.NewSHA256WithRSAVerifier(certificates)
	}
	for id, key := range a.PublicKeys {
		keys[id] = verifiers.NewSHA256WithRSAPubkeyVerifier(id, *key)
	}
	return keys
}

// Verify implements the SDK's auth.Verifier.
func (s serials) Verify(ctx context.Context, serial, message, signature string) error {
	v := s[serial]
	if v == nil {
		return errors.New("unknown serial")
	}
	return v.Verify(ctx, serial, message, signature)
}

// GetSerial implements the SDK's auth.Verifier: it returns the key with which
// WeChat should sign its answers, the newest kind that is configured.
func (s serials) GetSerial(context.Context) (string, error) {
	names := slices.Sorted(maps.Keys(s))
	return names[len(names)-1], nil // PUB_KEY_ID_ sorts after the hexadecimal serials
}

// NewVerifier checks the account.
func NewVerifier(a Account) (*Verifier, error) {
	w := &Verifier{account: a, keys: bySerial(a)}
	if len(w.keys) == 0 {
		return nil, errors.New("no platform certificate and no public key")
	}
	if len(a.APIv3Key) != 32 {
		return nil, fmt.Errorf("the APIv3 key has %d bytes, want 32", len(a.APIv3Key))
	}
	w.validator = validators.NewWechatPayNotifyValidator(w.keys)
	return w, nil
}

// Provider implements payment.Verifier.
func (w *Verifier) Provider() string { return name }

// content is the decrypted resource of a notice, for a payment or a refund, with
// the fields that are needed.
type content struct {
	MchID       string `json:"mchid"`
	AppID       string `json:"appid"`
	SpMchID     string `json:"sp_mchid"`
	SpAppID     string `json:"sp_appid"`
	SubMchID    string `json:"sub_mchid"`
	SubAppID    string `json:"sub_appid"`
	Number      string `json:"out_trade_no"`
	Transaction string `json:"transaction_id"`
	TradeState  string `json:"trade_state"`
	RefundID    string `json:"refund_id"`
	RefundState string `json:"refund_status"`
	Amount      struct {
		Total    int64  `json:"total"`
		Refund   int64  `json:"refund"`
		Currency string `json:"currency"`
	} `json:"amount"`
}

// envelope is a notice as received; its resource is encrypted.
type envelope struct {
	ID        string `json:"id"`
	EventType string `json:"event_type"`
	Resource  *struct {
		Algorithm      string `json:"algorithm"`
		Ciphertext     string `json:"ciphertext"`
		AssociatedData string `json:"associated_data"`
		Nonce          string `json:"nonce"`
	} `json:"resource"`
}

// The events that doorbell acts upon.
const (
	paySuccess     = "TRANSACTION.SUCCESS"
	refundSuccess  = "REFUND.SUCCESS"
	refundAbnormal = "REFUND.ABNORMAL"
)

// Verify implements payment.Verifier.
func (w *Verifier) Verify(ctx context.Context, header http.Header, body []byte) (doorbell.Notice, error) {
	if err := w.precheck(header); err != nil {
		return doorbell.Notice{}, err
	}
	// The SDK reads only the body and the four headers.
	req := &http.Request{Header: header, Body: io.NopCloser(bytes.NewReader(body))}
	if w.validator.Validate(ctx, req) != nil { // the SDK's error holds the body
		return doorbell.Notice{}, payment.Forged("signature")
	}
	var e envelope
	if fault := payment.ReadJSON(body, &e); fault != "" {
		return payment.Unusable(w.Provider(), body, "", fault), nil
	}
	switch e.EventType {
	case paySuccess, refundSuccess, refundAbnormal, "":
	default: // REFUND.CLOSED: nothing was refunded; and other products of WeChat
		return payment.Ignored(w.Provider(), e.ID, body, "an event that neither pays nor refunds an order"), nil
	}
	c, fault := w.open(e)
	if fault != "" {
		return payment.Unusable(w.Provider(), body, c.Number, fault), nil
	}
	return w.read(e.EventType, c, body), nil
}

// open decrypts a genuine notice. It does not use the SDK's handler, which panics
// on a notice without a resource and on a nonce that is not 12 bytes, and does not
// tell a wrong key from a field of the wrong type.
func (w *Verifier) open(e envelope) (c content, fault string) {
	resource := e.Resource
	switch {
	case resource == nil:
		return c, "resource: is missing"
	case resource.Algorithm != cipherName:
		return c, "resource.algorithm: want " + cipherName
	case len(resource.Nonce) != 12:
		return c, "resource.nonce: want 12 bytes"
	}
	plain, err := utils.DecryptAES256GCM(w.account.APIv3Key, resource.AssociatedData, resource.Nonce, resource.Ciphertext)
	if err != nil {
		return c, "resource: can't be decrypted; is pay.wechat.api_v3_key the merchant's?"
	}
	fault = payment.ReadJSON([]byte(plain), &c)
	return c, fault
}

// precheck rejects what needs no cryptography to be rejected, with its own reason.
func (w *Verifier) precheck(h http.Header) error {
	for _, name := range []string{"Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"} {
		if len(h.Values(name)) > 1 {
			return payment.Forged("header_twice") // it is unknown which one was signed
		}
		if h.Get(name) == "" {
			return payment.Forged("header_missing")
		}
	}
	if t := h.Get("Wechatpay-Signature-Type"); t != "" && t != signatureType {
		return payment.Forged("signature_type")
	}
	if strings.HasPrefix(h.Get("Wechatpay-Signature"), probePrefix) {
		return payment.Forged("probe")
	}
	seconds, err := strconv.ParseInt(h.Get("Wechatpay-Timestamp"), 10, 64)
	if err != nil {
		return payment.Forged("timestamp")
	}
	if age := time.Since(time.Unix(seconds, 0)); age > payment.ClockSkew || age < -payment.ClockSkew {
		return payment.Forged("timestamp")
	}
	if w.keys[h.Get("Wechatpay-Serial")] == nil {
		return payment.Forged("unknown_serial")
	}
	return nil
}

// read returns the notice of a genuine callback.
func (w *Verifier) read(event string, c content, body []byte) doorbell.Notice {
	n := doorbell.Notice{
		Provider: w.Provider(), Kind: doorbell.PaymentNotice, Transaction: c.Transaction, Number: c.Number,
		Money:       payment.Money(c.Amount.Total, c.Amount.Currency),
		CheckAmount: w.account.CheckAmount, BodyHash: payment.BodyHash(body),
	}
	names := payment.Fields{Transaction: "transaction_id", Payment: "transaction_id", Number: "out_trade_no", Amount: "amount.total", Currency: "amount.currency"}
	if strings.HasPrefix(event, "REFUND.") {
		n.Kind, n.Transaction, n.Payment, n.CheckAmount = doorbell.RefundNotice, c.RefundID, c.Transaction, false
		n.Money, n.Basis = payment.Money(c.Amount.Refund, c.Amount.Currency), doorbell.ThisRefund // refunds carry no currency so far
		names.Transaction, names.Amount = "refund_id", "amount.refund"
	}
	if w.account.SubMerchants != nil && c.SubMchID != "" {
		n.Account = "/" + c.SubMchID
	}
	n.Refusal = w.refusal(event, c)
	n.Unusable = strings.Contains(n.Refusal, ": ") // such a refusal begins with a field name
	n = payment.Complete(n, names)
	if n.Refusal == "" && event == refundAbnormal {
		n.Refusal, n.Decided = "WeChat Pay could not give the money back; look at the refund in its merchant platform", doorbell.RefundFailed
	}
	return n
}

// refusal returns why a genuine callback is not acted upon; empty if it is.
func (w *Verifier) refusal(event string, c content) string {
	refund := strings.HasPrefix(event, "REFUND.")
	if w.account.SubMerchants != nil { // a partner's notice names the partner in other fields
		appID, known := w.account.SubMerchants[c.SubMchID]
		switch {
		case !known:
			return "other sub-merchant"
		case !refund && appID != "" && c.SubAppID != appID:
			return "other app of the sub-merchant"
		}
		c.MchID, c.AppID = c.SpMchID, c.SpAppID
	}
	switch {
	case c.MchID != w.account.MchID:
		return "other merchant"
	case !refund && c.AppID != w.account.AppID: // a refund notice has no appid
		return "other app"
	case event == "":
		return "event_type: is missing"
	case !refund && c.TradeState != "SUCCESS", event == refundSuccess && c.RefundState != "SUCCESS":
		return "not a success"
	default:
		return ""
	}
}

// Claims implements payment.Claimer.
func (w *Verifier) Claims() (serials []string) {
	for serial := range w.keys {
		serials = append(serials, serial)
	}
	return serials
}

// Claim implements payment.Claimer.
func (w *Verifier) Claim(header http.Header, _ []byte) string { return header.Get("Wechatpay-Serial") }
