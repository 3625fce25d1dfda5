package paysim

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
)

// WeChat is WeChat Pay as one merchant meets it: a platform key pair of its own
// signs, and the merchant's APIv3 key encrypts, notices as the provider makes
// them.
type WeChat struct {
	Key         *rsa.PrivateKey
	KeyID       string // PUB_KEY_ID_…
	Certificate *x509.Certificate
	APIv3Key    string
	MchID       string
	AppID       string
}

// NewWeChat makes a platform with keys of its own.
func NewWeChat() (*WeChat, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	return weChatOf(key, (rand.Text() + rand.Text())[:32])
}

func weChatOf(key *rsa.PrivateKey, apiKey string) (*WeChat, error) {
	serial := new(big.Int).SetBytes(serialOf(key))
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "doorbell trial platform"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make the platform's certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &WeChat{
		Key: key, KeyID: "PUB_KEY_ID_TRIAL0000000000000000000001", Certificate: cert,
		APIv3Key: apiKey, MchID: "1900000001", AppID: "wxdoorbelltrial01",
	}, nil
}

// Name implements Provider.
func (p *WeChat) Name() string { return "wechat" }

// Paid implements Provider.
func (p *WeChat) Paid(m Payment) (Callback, error) {
	return p.Sign(Notice{Content: p.Payment(m.Number, m.Transaction, m.Minor), Time: m.At})
}

// Refunded implements Provider.
func (p *WeChat) Refunded(m Payment) (Callback, error) {
	return p.Sign(Notice{Event: "REFUND.SUCCESS", Content: p.Refund(m.Number, m.Transaction, "50"+m.Transaction, m.Minor), Time: m.At})
}

// Taken implements Provider: WeChat takes 200 and 204.
func (p *WeChat) Taken(status int, _ string) bool {
	return status == http.StatusOK || status == http.StatusNoContent
}

// Verifier implements Provider.
func (p *WeChat) Verifier() (payment.Verifier, error) { return payment.NewWeChat(p.Account()) }

// Account is the merchant's side, as the configuration would have it.
func (p *WeChat) Account() payment.Account {
	return payment.Account{
		MchID: p.MchID, AppID: p.AppID, APIv3Key: p.APIv3Key, CheckAmount: true,
		Certificates: []*x509.Certificate{p.Certificate}, PublicKeys: map[string]*rsa.PublicKey{p.KeyID: &p.Key.PublicKey},
	}
}

// Notice is a callback before it is signed. Zero fields are filled as WeChat
// fills them.
type Notice struct {
	Event      string // TRANSACTION.SUCCESS, REFUND.SUCCESS …
	Content    any    // what the resource holds: Payment or Refund, or bytes as they are
	Associated string
	Nonce      string // of the resource, 12 bytes
	Serial     string
	Time       time.Time
	Key        *rsa.PrivateKey // who signs
	APIv3Key   string          // what encrypts
	NoResource bool
}

// Payment is a successful payment's content.
func (p *WeChat) Payment(number, transaction string, fen int64) map[string]any {
	return map[string]any{
		"mchid": p.MchID, "appid": p.AppID, "out_trade_no": number, "transaction_id": transaction,
		"trade_type": "JSAPI", "trade_state": "SUCCESS", "trade_state_desc": "支付成功", "bank_type": "OTHERS",
		"success_time": time.Now().Format(time.RFC3339), "payer": map[string]any{"openid": "oTrial"},
		"amount": map[string]any{"total": fen, "payer_total": fen, "currency": "CNY", "payer_currency": "CNY"},
	}
}

// Refund is a successful refund's content.
func (p *WeChat) Refund(number, transaction, refund string, fen int64) map[string]any {
	return map[string]any{
		"mchid": p.MchID, "out_trade_no": number, "transaction_id": transaction, "out_refund_no": "R" + number,
		"refund_id": refund, "refund_status": "SUCCESS", "success_time": time.Now().Format(time.RFC3339),
		"user_received_account": "支付用户零钱",
		"amount":                map[string]any{"total": fen, "refund": fen, "payer_total": fen, "payer_refund": fen},
	}
}

// Sign makes the callback of a notice.
func (p *WeChat) Sign(n Notice) (Callback, error) {
	p.fill(&n)
	body, err := p.body(n)
	if err != nil {
		return Callback{}, err
	}
	return p.SignBody(n, body)
}

func (p *WeChat) fill(n *Notice) {
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

func (p *WeChat) body(n Notice) ([]byte, error) {
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

// seal encrypts as WeChat does. A nonce of a wrong length is sent as it is,
// over bytes that were sealed with another: the receiver has to live with it.
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

// SignBody signs a body that is made already.
func (p *WeChat) SignBody(n Notice, body []byte) (Callback, error) {
	p.fill(&n)
	nonce, stamp := rand.Text(), strconv.FormatInt(n.Time.Unix(), 10)
	digest := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n", stamp, nonce, body))
	sig, err := rsa.SignPKCS1v15(rand.Reader, n.Key, crypto.SHA256, digest[:])
	if err != nil {
		return Callback{}, fmt.Errorf("sign: %w", err)
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
	return Callback{Header: h, Body: body}, nil
}
