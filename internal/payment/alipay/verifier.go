package alipay

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	sdk "github.com/smartwalle/alipay/v3"
	"github.com/smartwalle/nsign"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
)

// Account is a merchant's account at Alipay. It needs at least one of Alipay's
// public keys or certificates, and several of each while they are replaced.
type Account struct {
	AppID, SellerID string
	PublicKeys      []*rsa.PublicKey
	Certificates    []*x509.Certificate // alipayCertPublicKey_RSA2.crt
	CheckAmount     bool
}

// Verifier verifies Alipay's asynchronous notices: a form, signed with RSA2 over
// its sorted and decoded parameters. The signed text is ambiguous, because an & in
// a value is not escaped: see unambiguous. A notice carries no time that can be
// checked, so an old one stays valid; it settles nothing twice.
type Verifier struct {
	account Account
	client  *sdk.Client
}

// NewVerifier checks the account.
func NewVerifier(a Account) (*Verifier, error) {
	if a.AppID == "" || a.SellerID == "" {
		return nil, errors.New("no app_id or no seller_id")
	}
	client, err := newClient(a, nsign.New(), "") // only verifies, so the signing key is not used
	return &Verifier{account: a, client: client}, err
}

// newClient returns the library's client with all of the account's keys. Its
// production mode stays off: that would ask Alipay for every certificate whose
// number is in a callback, forged or not.
func newClient(a Account, signer nsign.Signer, gateway string, options ...sdk.OptionFunc) (*sdk.Client, error) {
	if len(a.PublicKeys)+len(a.Certificates) == 0 {
		return nil, errors.New("no public key and no certificate of Alipay")
	}
	options = append(options, sdk.WithSandboxGateway(gateway))
	for _, c := range a.Certificates {
		key, ok := c.PublicKey.(*rsa.PublicKey)
		if !ok {
			return nil, errors.New("a certificate without an RSA key")
		}
		options = append(options, sdk.WithVerifier(payment.CertificateNumber(c), anyOf{verifierOf(key)}))
	}
	if len(a.PublicKeys) > 0 { // the last one verifies notices that name no certificate
		var keys anyOf
		for _, key := range a.PublicKeys {
			keys = append(keys, verifierOf(key))
		}
		options = append(options, sdk.WithVerifier("public keys", keys))
	}
	return sdk.NewWithSigner(a.AppID, signer, false, options...)
}

func verifierOf(key *rsa.PublicKey) sdk.Verifier {
	return nsign.New(nsign.WithMethod(nsign.NewRSAMethod(crypto.SHA256, nil, key)), nsign.WithEncoder(sdk.Encoder{}))
}

// anyOf accepts what one of its keys accepts.
type anyOf []sdk.Verifier

// VerifyValues implements sdk.Verifier.
func (a anyOf) VerifyValues(values url.Values, signature []byte, opts ...nsign.SignOption) (err error) {
	for _, v := range a {
		if err = v.VerifyValues(values, signature, opts...); err == nil {
			return nil
		}
	}
	return err
}

// VerifyBytes implements sdk.Verifier.
func (a anyOf) VerifyBytes(data, signature []byte, opts ...nsign.SignOption) (err error) {
	for _, v := range a {
		if err = v.VerifyBytes(data, signature, opts...); err == nil {
			return nil
		}
	}
	return err
}

// Provider implements payment.Verifier.
func (a *Verifier) Provider() string { return name }

// Verify implements payment.Verifier.
func (a *Verifier) Verify(ctx context.Context, _ http.Header, body []byte) (doorbell.Notice, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return doorbell.Notice{}, payment.Forged("malformed")
	}
	if form.Get("sign") == "" || form.Get("sign_type") != "RSA2" {
		return doorbell.Notice{}, payment.Forged("signature_missing")
	}
	if err := unambiguous(form); err != nil {
		return doorbell.Notice{}, err
	}
	if err := a.client.VerifySign(ctx, form); err != nil { // the library's error may hold the received text
		if errors.Is(err, sdk.ErrAliPublicKeyNotFound) {
			return doorbell.Notice{}, payment.Forged("unknown_serial")
		}
		return doorbell.Notice{}, payment.Forged("signature")
	}
	return a.read(form, body), nil
}

// decisive are the parameters that doorbell acts upon.
var decisive = []string{"app_id", "seller_id", "out_trade_no", "trade_no", "total_amount", "trade_status", "refund_fee"}

var parameterName = regexp.MustCompile(`^[0-9a-z_]{1,64}$`)

// unambiguous returns an error unless the signed text can be read in one way only,
// in the parameters that matter. a=1&b=2 is signed alike for a of "1" and b of "2"
// and for a of "1&b=2" alone: whoever chooses an order's subject could pay a cent
// for an order of their own and send the signed text on, split at other places, as
// the payment of another order. Such a split leaves the true parameter inside some
// value, and unambiguous looks for it there.
func unambiguous(form url.Values) error {
	for name, values := range form {
		if !parameterName.MatchString(name) || len(values) != 1 {
			return payment.Forged("ambiguous")
		}
		for _, d := range decisive {
			if strings.Contains(values[0], "&"+d+"=") {
				return payment.Forged("ambiguous")
			}
		}
	}
	return nil
}

var fieldNames = payment.Fields{Transaction: "trade_no", Payment: "trade_no", Number: "out_trade_no", Amount: "total_amount", Currency: "trans_currency"}

func (a *Verifier) read(form url.Values, body []byte) doorbell.Notice {
	n := doorbell.Notice{
		Provider: a.Provider(), Kind: doorbell.PaymentNotice, Transaction: form.Get("trade_no"), Number: form.Get("out_trade_no"),
		CheckAmount: a.account.CheckAmount, BodyHash: payment.BodyHash(body),
	}
	total, err := fen(form.Get("total_amount"))
	n.Money = payment.Money(total, doorbell.DefaultCurrency)
	status, refund := form.Get("trade_status"), form.Get("refund_fee")
	var err2 error
	if refund != "" {
		// The notice names no refund: only the sum of refunds tells one from another.
		// out_biz_no is unique within one trade at most, and may be missing.
		n.Kind, n.CheckAmount, n.Payment, n.Basis = doorbell.RefundNotice, false, n.Transaction, doorbell.RefundsSoFar
		n.Minor, err2 = fen(refund)
		if n.Transaction != "" {
			n.Transaction = payment.RefundName(n.Payment, string(n.Basis), n.Minor)
		}
	}
	switch {
	case form.Get("app_id") != a.account.AppID:
		n.Refusal = "other app"
	case form.Get("seller_id") != a.account.SellerID:
		n.Refusal = "other merchant"
	case err != nil:
		n.Refusal, n.Unusable = "total_amount: want yuan with at most two decimals", true
	case err2 != nil:
		n.Refusal, n.Unusable = "refund_fee: want yuan with at most two decimals", true
	case refund == "" && status != "TRADE_SUCCESS" && status != "TRADE_FINISHED":
		return payment.Ignored(a.Provider(), form.Get("notify_id"), body, "not a success")
	}
	return payment.Complete(n, fieldNames)
}

// fen parses an amount in yuan with at most two decimals, as Alipay writes it.
func fen(yuan string) (int64, error) {
	whole, cents, _ := strings.Cut(yuan, ".")
	if len(whole) == 0 || len(whole) > 12 || len(cents) > 2 || strings.Trim(whole+cents, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not an amount in yuan", yuan)
	}
	return strconv.ParseInt(whole+(cents + "00")[:2], 10, 64)
}

// Claims implements payment.Claimer.
func (a *Verifier) Claims() []string { return []string{a.account.AppID} }

// Claim implements payment.Claimer.
func (a *Verifier) Claim(_ http.Header, body []byte) string {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return ""
	}
	return form.Get("app_id")
}
