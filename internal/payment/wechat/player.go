package wechat

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"time"

	"doorbell/internal/payment"
	"doorbell/internal/payment/paysim"
)

// Player plays WeChat Pay for one merchant: it signs with its own platform key and
// encrypts notices with the merchant's APIv3 key, as the provider does.
type Player struct {
	Key         *rsa.PrivateKey
	KeyID       string // PUB_KEY_ID_…
	Certificate *x509.Certificate
	APIv3Key    string
	MchID       string
	AppID       string
	// SubMchID makes the merchant a partner (服务商) and its payments those of this
	// sub-merchant.
	SubMchID string
}

// TrialPartner is the player's partner account, as it is named in the path of its
// callbacks.
const TrialPartner = "partner"

// TrialSubMerchant is the sub-merchant of Partner.
const TrialSubMerchant = "1900000201"

// Partner returns the same platform for a partner with one sub-merchant.
func (p *Player) Partner() *Player {
	partner := *p
	partner.SubMchID = TrialSubMerchant
	return &partner
}

// asPartner names the merchant of a payment or refund as a partner's notices do.
func (p *Player) asPartner(content map[string]any) map[string]any {
	if p.SubMchID == "" {
		return content
	}
	content["sp_mchid"], content["sub_mchid"] = content["mchid"], p.SubMchID
	if app, ok := content["appid"]; ok {
		content["sp_appid"] = app
	}
	delete(content, "mchid")
	delete(content, "appid")
	return content
}

// apiKey is the name of the APIv3 key among the keys.
const apiKey = name + "_api_v3_key"

// NewPlayer creates a platform with new keys.
func NewPlayer() (*Player, error) {
	keys, err := NewKeys()
	if err != nil {
		return nil, err
	}
	return PlayerOf(keys)
}

// NewKeys creates the keys that a Player signs and encrypts with.
func NewKeys() (map[string]string, error) {
	key, err := paysim.NewKey()
	return map[string]string{name: key, apiKey: (rand.Text() + rand.Text())[:32]}, err
}

// PlayerOf returns the player with these keys.
func PlayerOf(keys map[string]string) (*Player, error) {
	key, err := paysim.ParseKey(keys[name])
	if err != nil {
		return nil, err
	}
	return playerOf(key, keys[apiKey])
}

func playerOf(key *rsa.PrivateKey, apiV3Key string) (*Player, error) {
	serial := new(big.Int).SetBytes(paysim.SerialOf(key))
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "doorbell trial platform"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("create the platform's certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Player{
		Key: key, KeyID: "PUB_KEY_ID_TRIAL0000000000000000000001", Certificate: cert,
		APIv3Key: apiV3Key, MchID: "1900000001", AppID: "wxdoorbelltrial01",
	}, nil
}

// Name implements paysim.Player.
func (p *Player) Name() string { return name }

// Paid implements paysim.Player.
func (p *Player) Paid(m paysim.Payment) (paysim.Callback, error) {
	return p.Sign(Notice{Content: p.Payment(m.Number, m.Transaction, m.Minor), Time: m.At})
}

// Refunded implements paysim.Player.
func (p *Player) Refunded(r paysim.Refund) (paysim.Callback, error) {
	r = r.Filled()
	content := p.Refund(r.Number, r.Transaction, r.ID, r.Part)
	content["amount"] = map[string]any{"total": r.Minor, "refund": r.Part, "payer_total": r.Minor, "payer_refund": r.Part}
	return p.Sign(Notice{Event: "REFUND.SUCCESS", Content: content, Time: r.At})
}

// Taken implements paysim.Player: WeChat accepts 200 and 204.
func (p *Player) Taken(status int, _ string) bool {
	return status == http.StatusOK || status == http.StatusNoContent
}

// Verifiers implements paysim.Player and returns the merchant's and the partner's.
func (p *Player) Verifiers(checkAmount bool) ([]payment.Named, error) {
	var out []payment.Named
	for _, account := range []struct {
		name string
		of   Account
	}{{"", p.Account()}, {TrialPartner, p.Partner().Account()}} {
		account.of.CheckAmount = checkAmount
		v, err := NewVerifier(account.of)
		if err != nil {
			return nil, err
		}
		out = append(out, payment.Named{Name: account.name, Verifier: v})
	}
	return out, nil
}

// Account returns the merchant's side, as the configuration would have it.
func (p *Player) Account() Account {
	a := Account{
		MchID: p.MchID, AppID: p.AppID, APIv3Key: p.APIv3Key, CheckAmount: true,
		Certificates: []*x509.Certificate{p.Certificate}, PublicKeys: map[string]*rsa.PublicKey{p.KeyID: &p.Key.PublicKey},
	}
	if p.SubMchID != "" {
		a.SubMerchants = map[string]string{p.SubMchID: ""}
	}
	return a
}

// Notice is a callback before it is signed. Zero fields are filled as WeChat
// fills them.
type Notice struct {
	Event      string // TRANSACTION.SUCCESS, REFUND.SUCCESS …
	Content    any    // content of the resource: Payment, Refund, or raw bytes
	Associated string
	Nonce      string // of the resource, 12 bytes
	Serial     string
	Time       time.Time
	Key        *rsa.PrivateKey // signs
	APIv3Key   string          // encrypts
	NoResource bool
}

// Payment returns the content of a successful payment.
func (p *Player) Payment(number, transaction string, fen int64) map[string]any {
	return p.asPartner(map[string]any{
		"mchid": p.MchID, "appid": p.AppID, "out_trade_no": number, "transaction_id": transaction,
		"trade_type": "JSAPI", "trade_state": "SUCCESS", "trade_state_desc": "支付成功", "bank_type": "OTHERS",
		"success_time": time.Now().Format(time.RFC3339), "payer": map[string]any{"openid": "oTrial"},
		"amount": map[string]any{"total": fen, "payer_total": fen, "currency": "CNY", "payer_currency": "CNY"},
	})
}

// Refund returns the content of a successful refund.
func (p *Player) Refund(number, transaction, refund string, fen int64) map[string]any {
	return p.asPartner(map[string]any{
		"mchid": p.MchID, "out_trade_no": number, "transaction_id": transaction, "out_refund_no": "R" + number,
		"refund_id": refund, "refund_status": "SUCCESS", "success_time": time.Now().Format(time.RFC3339),
		"user_received_account": "支付用户零钱",
		"amount":                map[string]any{"total": fen, "refund": fen, "payer_total": fen, "payer_refund": fen},
	})
}

// Sign returns a notice as a signed callback.
func (p *Player) Sign(n Notice) (paysim.Callback, error) {
	p.fill(&n)
	body, err := p.body(n)
	if err != nil {
		return paysim.Callback{}, err
	}
	return p.SignBody(n, body)
}

func (p *Player) fill(n *Notice) {
	if n.Event == "" {
		n.Event = "TRANSACTION.SUCCESS"
	}
	if n.Associated == "" {
		n.Associated = "transaction"
	}
	if n.Nonce == "" {
		n.Nonce = rand.Text()[:12]
	}
	if n.Serial == "" {
		n.Serial = p.KeyID
	}
	if n.Time.IsZero() {
		n.Time = time.Now()
	}
	if n.Key == nil {
		n.Key = p.Key
	}
	if n.APIv3Key == "" {
		n.APIv3Key = p.APIv3Key
	}
}

func (p *Player) body(n Notice) ([]byte, error) {
	out := map[string]any{
		"id": rand.Text(), "create_time": n.Time.Format(time.RFC3339), "resource_type": "encrypt-resource",
		"event_type": n.Event, "summary": "支付成功",
	}
	if !n.NoResource {
		plain, raw := n.Content.([]byte)
		if !raw {
			var err error
			if plain, err = json.Marshal(n.Content); err != nil {
				return nil, err
			}
		}
		sealed, err := seal(n.APIv3Key, n.Nonce, n.Associated, plain)
		if err != nil {
			return nil, err
		}
		out["resource"] = map[string]any{
			"original_type": "transaction", "algorithm": "AEAD_AES_256_GCM", "ciphertext": sealed,
			"associated_data": n.Associated, "nonce": n.Nonce,
		}
	}
	return json.Marshal(out)
}

// seal encrypts as WeChat does. A nonce of a wrong length is sent unchanged with
// bytes that were sealed with another nonce, to test the receiver.
func seal(key, nonce, associated string, plain []byte) (string, error) {
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		return "", fmt.Errorf("APIv3 key: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return "", err
	}
	iv := []byte(nonce)
	if len(iv) != gcm.NonceSize() {
		iv = make([]byte, gcm.NonceSize())
	}
	return base64.StdEncoding.EncodeToString(gcm.Seal(nil, iv, plain, []byte(associated))), nil
}

// SignBody signs a given body.
func (p *Player) SignBody(n Notice, body []byte) (paysim.Callback, error) {
	p.fill(&n)
	nonce, stamp := rand.Text(), strconv.FormatInt(n.Time.Unix(), 10)
	digest := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n", stamp, nonce, body))
	sig, err := rsa.SignPKCS1v15(rand.Reader, n.Key, crypto.SHA256, digest[:])
	if err != nil {
		return paysim.Callback{}, fmt.Errorf("sign: %w", err)
	}
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "Mozilla/4.0")
	h.Set("Request-ID", rand.Text())
	h.Set("Wechatpay-Nonce", nonce)
	h.Set("Wechatpay-Timestamp", stamp)
	h.Set("Wechatpay-Signature", base64.StdEncoding.EncodeToString(sig))
	h.Set("Wechatpay-Serial", n.Serial)
	h.Set("Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048")
	return paysim.Callback{Header: h, Body: body}, nil
}
