package wechat

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"doorbell/internal/payment/paysim"
)

var authorization = regexp.MustCompile(`^WECHATPAY2-SHA256-RSA2048 mchid="([^"]*)",nonce_str="([^"]*)",timestamp="([^"]*)",serial_no="[^"]*",signature="([^"]*)"$`)

// queryPath is the path of queries about an order.
const queryPath = "/v3/pay/transactions/out-trade-no/"

// Asked implements paysim.Asked.
func (p *Player) Asked(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, queryPath) }

// AnswerQuery implements paysim.Asked.
func (p *Player) AnswerQuery(l *paysim.Ledger, w http.ResponseWriter, r *http.Request) error {
	number := strings.TrimPrefix(r.URL.Path, queryPath)
	part := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if part == nil || part[1] != p.MchID || r.URL.Query().Get("mchid") != p.MchID {
		return refuseQuery(w, http.StatusUnauthorized, "SIGN_ERROR")
	}
	signature, err := base64.StdEncoding.DecodeString(part[4])
	digest := sha256.Sum256([]byte("GET\n" + r.URL.RequestURI() + "\n" + part[3] + "\n" + part[2] + "\n\n"))
	if err != nil || rsa.VerifyPKCS1v15(l.Merchant, crypto.SHA256, digest[:], signature) != nil {
		return refuseQuery(w, http.StatusUnauthorized, "SIGN_ERROR")
	}
	m, state, known, broken := l.Find(name, number, "SUCCESS")
	switch {
	case broken:
		return refuseQuery(w, http.StatusInternalServerError, "SYSTEM_ERROR")
	case !known:
		return refuseQuery(w, http.StatusNotFound, "ORDER_NOT_EXIST")
	}
	content := p.Payment(l.About(number), m.Transaction, m.Minor)
	content["trade_state"] = state
	body, err := json.Marshal(content)
	if err != nil {
		return err
	}
	signed, err := p.SignBody(Notice{}, body)
	if err != nil {
		return err
	}
	for name, values := range signed.Header {
		w.Header()[name] = values
	}
	_, err = w.Write(body)
	return err
}

func refuseQuery(w http.ResponseWriter, status int, code string) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err := fmt.Fprintf(w, `{"code":%q,"message":"payer openid oTrial"}`, code)
	return err
}
