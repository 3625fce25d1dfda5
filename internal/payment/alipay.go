package payment

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

	"github.com/smartwalle/alipay/v3"
	"github.com/smartwalle/nsign"

	"doorbell/internal/doorbell"
)

// AlipayAccount is a merchant's side of Alipay. At least one public key or
// certificate of Alipay's is needed, several of each while they are replaced.
type AlipayAccount struct {
	AppID, SellerID string
	PublicKeys      []*rsa.PublicKey
	Certificates    []*x509.Certificate // alipayCertPublicKey_RSA2.crt
	CheckAmount     bool
}

// Alipay verifies Alipay's asynchronous notices: a form, signed with RSA2 over
// its sorted parameters as they are after decoding. Their text is ambiguous,
// because an & in a value is not escaped: see unambiguous. A notice carries no
// time that could be checked, so an old one verifies for ever; it settles
// nothing twice.
type Alipay struct {
	account AlipayAccount
	client  *alipay.Client
}

// NewAlipay checks the account.
func NewAlipay(a AlipayAccount) (*Alipay, error) {
	if a.AppID == "" || a.SellerID == "" {
		return nil, errors.New("no app_id or no seller_id")
	}
	client, err := alipayClient(a, nsign.New(), "") // verifies only: what it could sign with is nobody's
	return &Alipay{account: a, client: client}, err
}

// alipayClient is the library's client with all of the account's keys. It is
// never told that it is in production: there it asks Alipay for every
// certificate whose number stands in a callback, forged or not.
func alipayClient(a AlipayAccount, signer nsign.Signer, gateway string, options ...alipay.OptionFunc) (*alipay.Client, error) {
	if len(a.PublicKeys)+len(a.Certificates) == 0 {
		return nil, errors.New("neither a public key nor a certificate of Alipay's")
	}
	options = append(options, alipay.WithSandboxGateway(gateway))
	for _, c := range a.Certificates {
		key, ok := c.PublicKey.(*rsa.PublicKey)
		if !ok {
			return nil, errors.New("a certificate without an RSA key")
		}
		options = append(options, alipay.WithVerifier(certificateNumber(c), anyOf{verifierOf(key)}))
	}
	if len(a.PublicKeys) > 0 { // last: what a notice without a certificate's number is held against
		var keys anyOf
		for _, key := range a.PublicKeys {
			keys = append(keys, verifierOf(key))
		}
		options = append(options, alipay.WithVerifier("public keys", keys))
	}
	return alipay.NewWithSigner(a.AppID, signer, false, options...)
}

func verifierOf(key *rsa.PublicKey) alipay.Verifier {
	return nsign.New(nsign.WithMethod(nsign.NewRSAMethod(crypto.SHA256, nil, key)), nsign.WithEncoder(alipay.Encoder{}))
}

// anyOf passes what one of its keys passes.
type anyOf []alipay.Verifier

// VerifyValues implements alipay.Verifier.
func (a anyOf) VerifyValues(values url.Values, signature []byte, opts ...nsign.SignOption) (err error) {
	for _, v := range a {
		if err = v.VerifyValues(values, signature, opts...); err == nil {
			return nil
		}
	}
	return err
}

// VerifyBytes implements alipay.Verifier.
func (a anyOf) VerifyBytes(data, signature []byte, opts ...nsign.SignOption) (err error) {
	for _, v := range a {
		if err = v.VerifyBytes(data, signature, opts...); err == nil {
			return nil
		}
	}
	return err
}

// Provider implements Verifier.
func (a *Alipay) Provider() string { return "alipay" }

// Verify implements Verifier.
func (a *Alipay) Verify(ctx context.Context, _ http.Header, body []byte) (doorbell.Notice, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return doorbell.Notice{}, forged("malformed")
	}
	if form.Get("sign") == "" || form.Get("sign_type") != "RSA2" {
		return doorbell.Notice{}, forged("signature_missing")
	}
	if err := unambiguous(form); err != nil {
		return doorbell.Notice{}, err
	}
	if err := a.client.VerifySign(ctx, form); err != nil { // the library's text may hold what was sent
		if errors.Is(err, alipay.ErrAliPublicKeyNotFound) {
			return doorbell.Notice{}, forged("unknown_serial")
		}
		return doorbell.Notice{}, forged("signature")
	}
	return complete(a.read(form, body)), nil
}

// decisive are the parameters that we act upon.
var decisive = []string{"app_id", "seller_id", "out_trade_no", "trade_no", "total_amount", "trade_status", "refund_fee"}

var parameterName = regexp.MustCompile(`^[0-9a-z_]{1,64}$`)

// unambiguous holds that the signed text can be read in one way only, as far
// as we read it. a=1&b=2 is signed alike for a of "1" and b of "2" and for a of
// "1&b=2" alone: whoever may choose an order's subject could pay a cent for an
// order of their own and send the signed text on, cut at other places, as the
// payment of another. A parameter cut elsewhere leaves the true one inside of
// some value, and there it is looked for.
func unambiguous(form url.Values) error {
	for name, values := range form {
		if !parameterName.MatchString(name) || len(values) != 1 {
			return forged("ambiguous")
		}
		for _, d := range decisive {
			if strings.Contains(values[0], "&"+d+"=") {
				return forged("ambiguous")
			}
		}
	}
	return nil
}

func (a *Alipay) read(form url.Values, body []byte) doorbell.Notice {
	n := doorbell.Notice{
		Provider: a.Provider(), Kind: doorbell.PaymentNotice, Transaction: form.Get("trade_no"), Number: form.Get("out_trade_no"),
		CheckAmount: a.account.CheckAmount, BodyHash: bodyHash(body),
	}
	total, err := fen(form.Get("total_amount"))
	n.Money = money(total, doorbell.DefaultCurrency)
	status, refund := form.Get("trade_status"), form.Get("refund_fee")
	if refund != "" {
		n.Kind, n.CheckAmount = doorbell.RefundNotice, false
	}
	switch {
	case form.Get("app_id") != a.account.AppID:
		n.Refusal = "other app"
	case form.Get("seller_id") != a.account.SellerID:
		n.Refusal = "other merchant"
	case err != nil:
		n.Refusal = "no amount"
	case refund != "" && status != "TRADE_CLOSED":
		n.Refusal = "refunded in part"
	case refund == "" && status != "TRADE_SUCCESS" && status != "TRADE_FINISHED":
		n.Refusal = "not a success"
	}
	return n
}

// fen reads an amount in yuan with at most two decimals, as Alipay writes it.
func fen(yuan string) (int64, error) {
	whole, cents, _ := strings.Cut(yuan, ".")
	if len(whole) == 0 || len(whole) > 12 || len(cents) > 2 || strings.Trim(whole+cents, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not an amount in yuan", yuan)
	}
	return strconv.ParseInt(whole+(cents + "00")[:2], 10, 64)
}
