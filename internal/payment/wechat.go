package payment

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
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
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/notify"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"

	"doorbell/internal/doorbell"
)

// probePrefix begins the signature of WeChat's probes, which must fail.
const probePrefix = "WECHATPAY/SIGNTEST/"

// clockSkew is how far a callback's timestamp may be off (WeChat Pay's rule).
const clockSkew = 300 * time.Second

// Account is a merchant's side of WeChat Pay APIv3. At least one certificate
// or public key is needed; both kinds at once, and several of each, while a
// merchant migrates.
type Account struct {
	MchID, AppID string
	APIv3Key     string // 32 bytes
	Certificates []*x509.Certificate
	PublicKeys   map[string]*rsa.PublicKey // by PUB_KEY_ID_…
	CheckAmount  bool
}

// WeChat verifies WeChat Pay's callbacks by the official SDK.
type WeChat struct {
	account Account
	handler *notify.Handler
	keys    serials
}

// serials has a verifier for each certificate and public key, by its serial:
// the SDK's own takes one public key at most.
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

// GetSerial implements the SDK's auth.Verifier: what WeChat is to sign its
// answers with, the newest kind that we can read.
func (s serials) GetSerial(context.Context) (string, error) {
	names := slices.Sorted(maps.Keys(s))
	return names[len(names)-1], nil // PUB_KEY_ID_ sorts behind the hexadecimal serials
}

// NewWeChat checks the account.
func NewWeChat(a Account) (*WeChat, error) {
	w := &WeChat{account: a, keys: bySerial(a)}
	if len(w.keys) == 0 {
		return nil, errors.New("neither a platform certificate nor a public key")
	}
	if len(a.APIv3Key) != 32 {
		return nil, fmt.Errorf("the APIv3 key has %d bytes, want 32", len(a.APIv3Key))
	}
	var err error
	w.handler, err = notify.NewRSANotifyHandler(a.APIv3Key, w.keys)
	return w, err
}

// Provider implements Verifier.
func (w *WeChat) Provider() string { return "wechat" }

// content is what a notice's resource holds, as far as we need it: of a
// payment or of a refund.
type content struct {
	MchID       string `json:"mchid"`
	AppID       string `json:"appid"`
	Number      string `json:"out_trade_no"`
	Transaction string `json:"transaction_id"`
	TradeState  string `json:"trade_state"`
	RefundID    string `json:"refund_id"`
	RefundState string `json:"refund_status"`
	Amount      struct {
		Total    int64  `json:"total"`
		Currency string `json:"currency"`
	} `json:"amount"`
}

// Verify implements Verifier.
func (w *WeChat) Verify(ctx context.Context, header http.Header, body []byte) (doorbell.Notice, error) {
	if err := w.precheck(header); err != nil {
		return doorbell.Notice{}, err
	}
	// The SDK reads the body and the four headers, nothing else.
	req := &http.Request{Header: header, Body: io.NopCloser(bytes.NewReader(body))}
	var c content
	parsed, err := w.handler.ParseNotifyRequest(ctx, req, &c)
	switch {
	case err == nil:
	case parsed != nil: // signed, but not decrypted or not read; the SDK's text holds the body
		return doorbell.Notice{}, forged("undecipherable")
	case strings.HasPrefix(err.Error(), "invalid notification"):
		return doorbell.Notice{}, forged("signature")
	default:
		return doorbell.Notice{}, forged("malformed")
	}
	if parsed.Resource == nil || !json.Valid([]byte(parsed.Resource.Plaintext)) {
		return doorbell.Notice{}, forged("malformed")
	}
	return w.read(parsed.EventType, c, body), nil
}

// precheck turns away what needs no cryptography, and gives it its reason.
func (w *WeChat) precheck(h http.Header) error {
	for _, name := range []string{"Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"} {
		if len(h.Values(name)) > 1 {
			return forged("header_twice") // which one was signed?
		}
		if h.Get(name) == "" {
			return forged("header_missing")
		}
	}
	if strings.HasPrefix(h.Get("Wechatpay-Signature"), probePrefix) {
		return forged("probe")
	}
	seconds, err := strconv.ParseInt(h.Get("Wechatpay-Timestamp"), 10, 64)
	if err != nil {
		return forged("timestamp")
	}
	if age := time.Since(time.Unix(seconds, 0)); age > clockSkew || age < -clockSkew {
		return forged("timestamp")
	}
	if w.keys[h.Get("Wechatpay-Serial")] == nil {
		return forged("unknown_serial")
	}
	return nil
}

// read makes a notice of what a genuine callback says.
func (w *WeChat) read(event string, c content, body []byte) doorbell.Notice {
	n := doorbell.Notice{
		Provider: w.Provider(), Kind: doorbell.PaymentNotice, Transaction: c.Transaction, Number: c.Number,
		Money:       doorbell.Money{Minor: c.Amount.Total, Currency: c.Amount.Currency},
		CheckAmount: w.account.CheckAmount, BodyHash: bodyHash(body),
	}
	if strings.HasPrefix(event, "REFUND.") {
		n.Kind, n.Transaction, n.CheckAmount = doorbell.RefundNotice, c.RefundID, false
	}
	n.Refusal = w.refusal(event, c, n)
	if len(n.Transaction) > 64 || n.Transaction == "" {
		n.Transaction = "body:" + n.BodyHash[:32] // still a line of its own in the inbox
	}
	if !doorbell.ValidNumber(n.Number) {
		n.Number = ""
	}
	return n
}

// refusal is why a genuine callback is not acted upon; empty when it is.
func (w *WeChat) refusal(event string, c content, n doorbell.Notice) string {
	refund := n.Kind == doorbell.RefundNotice
	switch {
	case c.MchID != w.account.MchID:
		return "other merchant"
	case !refund && c.AppID != w.account.AppID: // a refund notice has no appid
		return "other app"
	case !refund && event != "TRANSACTION.SUCCESS", refund && event != "REFUND.SUCCESS":
		return "not a success"
	case !refund && c.TradeState != "SUCCESS", refund && c.RefundState != "SUCCESS":
		return "not a success"
	case n.Transaction == "" || len(n.Transaction) > 64:
		return "no transaction id"
	case !doorbell.ValidNumber(n.Number):
		return "no order number"
	default:
		return ""
	}
}
