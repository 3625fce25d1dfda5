package alipay

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	sdk "github.com/smartwalle/alipay/v3"
	"github.com/smartwalle/nsign"

	"doorbell/internal/payment"
	"doorbell/internal/payment/paysim"
)

// Player plays Alipay for one seller. It signs as the documentation says,
// independently of the library that verifies.
type Player struct {
	Key             *rsa.PrivateKey
	AppID, SellerID string
}

// Name implements paysim.Player.
func (a *Player) Name() string { return name }

// Taken implements paysim.Player: only these seven bytes are success.
func (a *Player) Taken(status int, body string) bool {
	return status == http.StatusOK && body == "success"
}

// Account returns the merchant's side, as the configuration would have it.
func (a *Player) Account() Account {
	return Account{AppID: a.AppID, SellerID: a.SellerID, PublicKeys: []*rsa.PublicKey{&a.Key.PublicKey}, CheckAmount: true}
}

// Verifiers implements paysim.Player.
func (a *Player) Verifiers(checkAmount bool) ([]payment.Named, error) {
	account := a.Account()
	account.CheckAmount = checkAmount
	v, err := NewVerifier(account)
	return []payment.Named{{Verifier: v}}, err
}

// Form returns the unsigned form of a payment's notice.
func (a *Player) Form(m paysim.Payment) url.Values {
	at := m.SignedAt().Format(time.DateTime)
	return url.Values{
		"notify_time": {at}, "notify_type": {"trade_status_sync"}, "notify_id": {rand.Text()}, "charset": {"utf-8"}, "version": {"1.0"},
		"app_id": {a.AppID}, "auth_app_id": {a.AppID}, "seller_id": {a.SellerID}, "buyer_id": {"2088trialbuyer"},
		"trade_no": {m.Transaction}, "out_trade_no": {m.Number}, "trade_status": {"TRADE_SUCCESS"},
		"total_amount": {yuan(m.Minor)}, "receipt_amount": {yuan(m.Minor)}, "subject": {"外卖 订单 & more"},
		"gmt_create": {at}, "gmt_payment": {at}, "fund_bill_list": {`[{"amount":"` + yuan(m.Minor) + `","fundChannel":"ALIPAYACCOUNT"}]`},
	}
}

func yuan(fen int64) string { return fmt.Sprintf("%d.%02d", fen/100, fen%100) }

// Paid implements paysim.Player.
func (a *Player) Paid(m paysim.Payment) (paysim.Callback, error) { return a.Sign(a.Form(m)) }

// Refunded implements paysim.Player: a notice carries the sum of a trade's
// refunds, and the trade is closed when the whole payment was refunded.
func (a *Player) Refunded(r paysim.Refund) (paysim.Callback, error) {
	r = r.Filled()
	form := a.Form(r.Payment)
	if r.SoFar >= r.Minor {
		form.Set("trade_status", "TRADE_CLOSED")
	}
	form.Set("refund_fee", yuan(r.SoFar))
	form.Set("out_biz_no", r.ID)
	form.Set("gmt_refund", r.SignedAt().Format(time.DateTime))
	return a.Sign(form)
}

// Sign signs a form and returns it as a callback.
func (a *Player) Sign(form url.Values) (paysim.Callback, error) {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if name != "sign" && name != "sign_type" && name != "alipay_cert_sn" {
			parts = append(parts, name+"="+form.Get(name))
		}
	}
	signature, err := a.signature([]byte(strings.Join(parts, "&")))
	if err != nil {
		return paysim.Callback{}, err
	}
	signed := maps.Clone(form)
	signed.Set("sign", signature)
	signed.Set("sign_type", "RSA2")
	h := http.Header{}
	h.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return paysim.Callback{Header: h, Body: []byte(signed.Encode())}, nil
}

func (a *Player) signature(text []byte) (string, error) {
	digest := sha256.Sum256(text)
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.Key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return base64.StdEncoding.EncodeToString(signature), nil
}

// NewPlayer creates a player with a new key.
func NewPlayer() (*Player, error) {
	keys, err := NewKeys()
	if err != nil {
		return nil, err
	}
	return PlayerOf(keys)
}

// NewKeys creates the keys that a Player signs with.
func NewKeys() (map[string]string, error) {
	key, err := paysim.NewKey()
	return map[string]string{name: key}, err
}

// PlayerOf returns the player that signs with these keys.
func PlayerOf(keys map[string]string) (*Player, error) {
	key, err := paysim.ParseKey(keys[name])
	return &Player{Key: key, AppID: "2021000000000001", SellerID: "2088000000000001"}, err
}

// Asked implements paysim.Asked.
func (a *Player) Asked(r *http.Request) bool { return r.URL.Path == "/gateway.do" }

// AnswerQuery implements paysim.Asked: alipay.trade.query.
func (a *Player) AnswerQuery(l *paysim.Ledger, w http.ResponseWriter, r *http.Request) error {
	text, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		return err
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return err
	}
	var question struct {
		Number string `json:"out_trade_no"`
	}
	if form.Get("method") != "alipay.trade.query" || json.Unmarshal([]byte(form.Get("biz_content")), &question) != nil {
		return errors.New("not alipay.trade.query")
	}
	answer := map[string]any{"code": "10000", "msg": "Success"}
	signature, err := base64.StdEncoding.DecodeString(form.Get("sign"))
	merchant := nsign.New(nsign.WithMethod(nsign.NewRSAMethod(crypto.SHA256, nil, l.Merchant)), nsign.WithEncoder(sdk.Encoder{}))
	if err != nil || form.Get("app_id") != a.AppID || merchant.VerifyValues(form, signature, nsign.WithIgnore("sign")) != nil {
		answer = map[string]any{"code": "40002", "msg": "Invalid Arguments", "sub_code": "isv.invalid-signature"}
		return a.answer(w, answer)
	}
	m, state, known, broken := l.Find(name, question.Number, "TRADE_SUCCESS")
	switch {
	case broken:
		answer = map[string]any{"code": "20000", "msg": "Service Currently Unavailable", "sub_code": "aop.ACQ.SYSTEM_ERROR"}
	case !known:
		answer = map[string]any{"code": "40004", "msg": "Business Failed", "sub_code": "ACQ.TRADE_NOT_EXIST", "sub_msg": "交易不存在"}
	default:
		answer["out_trade_no"], answer["trade_no"] = l.About(question.Number), m.Transaction
		answer["trade_status"], answer["total_amount"] = state, yuan(m.Minor)
	}
	return a.answer(w, answer)
}

func (a *Player) answer(w http.ResponseWriter, answer map[string]any) error {
	content, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	signature, err := a.signature(content)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, `{"alipay_trade_query_response":%s,"sign":"%s"}`, content, signature)
	return err
}
