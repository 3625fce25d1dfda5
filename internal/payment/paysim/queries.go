package paysim

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"github.com/smartwalle/alipay/v3"
	"github.com/smartwalle/nsign"
)

// Ledger is what WeChat Pay and Alipay know of a merchant's orders, served as
// they serve it: GET /v3/pay/transactions/out-trade-no/NUMBER and
// POST /gateway.do. Questions must be signed by the merchant's key, answers
// are signed by the provider's.
type Ledger struct {
	WeChat   *WeChat
	Alipay   *Alipay
	Merchant *rsa.PublicKey

	mu     sync.Mutex
	paid   map[string]Payment // by provider/number
	states map[string]string  // by provider/number, where it is not a success
	asked  map[string]int     // by number
	broken int                // so many questions meet an error first
	mixUp  string             // answers are about this order, whatever was asked
}

// Pay notes that a customer paid at this provider.
func (l *Ledger) Pay(provider string, m Payment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paid == nil {
		l.paid, l.states = map[string]Payment{}, map[string]string{}
	}
	l.paid[provider+"/"+m.Number] = m
}

// SetState gives a payment a state of the provider's other than success.
func (l *Ledger) SetState(provider, number, state string) {
	l.Pay(provider, Payment{Number: number, Transaction: "T-" + number, Minor: 1})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.states[provider+"/"+number] = state
}

// Break lets the next questions meet an error.
func (l *Ledger) Break(questions int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = questions
}

// MixUp makes every answer be about this order.
func (l *Ledger) MixUp(number string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mixUp = number
}

// about is the order that an answer is about.
func (l *Ledger) about(number string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mixUp != "" {
		return l.mixUp
	}
	return number
}

// Asked is how often an order was asked for, at all providers together.
func (l *Ledger) Asked(number string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked[number]
}

// find looks a payment up and counts the question.
func (l *Ledger) find(provider, number, success string) (m Payment, state string, known, broken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked == nil {
		l.asked = map[string]int{}
	}
	l.asked[number]++
	if l.broken > 0 {
		l.broken--
		return m, "", false, true
	}
	m, known = l.paid[provider+"/"+number]
	if state = l.states[provider+"/"+number]; state == "" {
		state = success
	}
	return m, state, known, false
}

// ServeHTTP implements http.Handler.
func (l *Ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var err error
	if number, ok := strings.CutPrefix(r.URL.Path, "/v3/pay/transactions/out-trade-no/"); ok {
		err = l.wechat(w, r, number)
	} else {
		err = l.alipay(w, r)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

var authorization = regexp.MustCompile(`^WECHATPAY2-SHA256-RSA2048 mchid="([^"]*)",nonce_str="([^"]*)",timestamp="([^"]*)",serial_no="[^"]*",signature="([^"]*)"$`)

func (l *Ledger) wechat(w http.ResponseWriter, r *http.Request, number string) error {
	part := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if part == nil || part[1] != l.WeChat.MchID || r.URL.Query().Get("mchid") != l.WeChat.MchID {
		return refuseWeChat(w, http.StatusUnauthorized, "SIGN_ERROR")
	}
	signature, err := base64.StdEncoding.DecodeString(part[4])
	digest := sha256.Sum256([]byte("GET\n" + r.URL.RequestURI() + "\n" + part[3] + "\n" + part[2] + "\n\n"))
	if err != nil || rsa.VerifyPKCS1v15(l.Merchant, crypto.SHA256, digest[:], signature) != nil {
		return refuseWeChat(w, http.StatusUnauthorized, "SIGN_ERROR")
	}
	m, state, known, broken := l.find("wechat", number, "SUCCESS")
	switch {
	case broken:
		return refuseWeChat(w, http.StatusInternalServerError, "SYSTEM_ERROR")
	case !known:
		return refuseWeChat(w, http.StatusNotFound, "ORDER_NOT_EXIST")
	}
	content := l.WeChat.Payment(l.about(number), m.Transaction, m.Minor)
	content["trade_state"] = state
	body, err := json.Marshal(content)
	if err != nil {
		return err
	}
	signed, err := l.WeChat.SignBody(Notice{}, body)
	if err != nil {
		return err
	}
	for name, values := range signed.Header {
		w.Header()[name] = values
	}
	_, err = w.Write(body)
	return err
}

func refuseWeChat(w http.ResponseWriter, status int, code string) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err := fmt.Fprintf(w, `{"code":%q,"message":"payer openid oTrial"}`, code)
	return err
}

func (l *Ledger) alipay(w http.ResponseWriter, r *http.Request) error {
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
	merchant := nsign.New(nsign.WithMethod(nsign.NewRSAMethod(crypto.SHA256, nil, l.Merchant)), nsign.WithEncoder(alipay.Encoder{}))
	if err != nil || form.Get("app_id") != l.Alipay.AppID || merchant.VerifyValues(form, signature, nsign.WithIgnore("sign")) != nil {
		answer = map[string]any{"code": "40002", "msg": "Invalid Arguments", "sub_code": "isv.invalid-signature"}
		return l.answerAlipay(w, answer)
	}
	m, state, known, broken := l.find("alipay", question.Number, "TRADE_SUCCESS")
	switch {
	case broken:
		answer = map[string]any{"code": "20000", "msg": "Service Currently Unavailable", "sub_code": "aop.ACQ.SYSTEM_ERROR"}
	case !known:
		answer = map[string]any{"code": "40004", "msg": "Business Failed", "sub_code": "ACQ.TRADE_NOT_EXIST", "sub_msg": "交易不存在"}
	default:
		answer["out_trade_no"], answer["trade_no"] = l.about(question.Number), m.Transaction
		answer["trade_status"], answer["total_amount"] = state, yuan(m.Minor)
	}
	return l.answerAlipay(w, answer)
}

func (l *Ledger) answerAlipay(w http.ResponseWriter, answer map[string]any) error {
	content, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	signature, err := l.Alipay.signature(content)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, `{"alipay_trade_query_response":%s,"sign":"%s"}`, content, signature)
	return err
}
