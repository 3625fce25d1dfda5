// Package wechatsim plays WeChat Pay's side: a platform key pair of its own
// that signs, and the merchant's APIv3 key that encrypts, notices as the
// provider makes them.
package wechatsim

import (
	"bytes"
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
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"doorbell/internal/payment"
	"doorbell/internal/safefile"
)

// Platform is WeChat Pay as one merchant meets it.
type Platform struct {
	Key         *rsa.PrivateKey
	KeyID       string // PUB_KEY_ID_…
	Certificate *x509.Certificate
	APIv3Key    string
	MchID       string
	AppID       string
}

const keyFile = "trial-wechat.json"

// kept is a platform as a file.
type kept struct {
	Note     string `json:"note"`
	Key      string `json:"private_key"`
	APIv3Key string `json:"api_v3_key"`
}

// New makes a platform with keys of its own.
func New() (*Platform, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make the platform's key: %w", err)
	}
	return build(key, (rand.Text() + rand.Text())[:32])
}

func build(key *rsa.PrivateKey, apiKey string) (*Platform, error) {
	serial := serialOf(key)
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
	return &Platform{
		Key: key, KeyID: "PUB_KEY_ID_TRIAL0000000000000000000001", Certificate: cert,
		APIv3Key: apiKey, MchID: "1900000001", AppID: "wxdoorbelltrial01",
	}, nil
}

// Load reads the platform kept in dir; os.ErrNotExist when there is none.
func Load(dir string) (*Platform, error) {
	text, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, fmt.Errorf("read the simulator's keys: %w", err)
	}
	block, _ := pem.Decode([]byte(k.Key))
	if block == nil {
		return nil, errors.New("read the simulator's keys: no PEM")
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the simulator's keys: %w", err)
	}
	return build(key, k.APIv3Key)
}

// Ensure reads the platform kept in dir, or makes one and keeps it for its
// owner alone.
func Ensure(dir string) (*Platform, error) {
	p, err := Load(dir)
	if !errors.Is(err, os.ErrNotExist) {
		return p, err
	}
	if p, err = New(); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(kept{
		Note:     "The simulator's keys. They verify callbacks on trial only.",
		Key:      string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(p.Key)})),
		APIv3Key: p.APIv3Key,
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := safefile.Create(filepath.Join(dir, keyFile), text); err != nil {
		return nil, fmt.Errorf("keep the simulator's keys: %w", err)
	}
	return p, nil
}

// Account is the merchant's side, as the configuration would have it.
func (p *Platform) Account() payment.Account {
	return payment.Account{
		MchID: p.MchID, AppID: p.AppID, APIv3Key: p.APIv3Key, CheckAmount: true,
		Certificates: []*x509.Certificate{p.Certificate}, PublicKey: &p.Key.PublicKey, PublicKeyID: p.KeyID,
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
func (p *Platform) Payment(number, transaction string, fen int64) map[string]any {
	return map[string]any{
		"mchid": p.MchID, "appid": p.AppID, "out_trade_no": number, "transaction_id": transaction,
		"trade_type": "JSAPI", "trade_state": "SUCCESS", "trade_state_desc": "支付成功", "bank_type": "OTHERS",
		"success_time": time.Now().Format(time.RFC3339), "payer": map[string]any{"openid": "oTrial"},
		"amount": map[string]any{"total": fen, "payer_total": fen, "currency": "CNY", "payer_currency": "CNY"},
	}
}

// Refund is a successful refund's content.
func (p *Platform) Refund(number, transaction, refund string, fen int64) map[string]any {
	return map[string]any{
		"mchid": p.MchID, "out_trade_no": number, "transaction_id": transaction, "out_refund_no": "R" + number,
		"refund_id": refund, "refund_status": "SUCCESS", "success_time": time.Now().Format(time.RFC3339),
		"user_received_account": "支付用户零钱",
		"amount":                map[string]any{"total": fen, "refund": fen, "payer_total": fen, "payer_refund": fen},
	}
}

// Callback is a signed callback: headers and body.
type Callback struct {
	Header http.Header
	Body   []byte
}

// Sign makes the callback of a notice.
func (p *Platform) Sign(n Notice) (Callback, error) {
	p.fill(&n)
	body, err := p.body(n)
	if err != nil {
		return Callback{}, err
	}
	return p.SignBody(n, body)
}

func (p *Platform) fill(n *Notice) {
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

func (p *Platform) body(n Notice) ([]byte, error) {
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
func (p *Platform) SignBody(n Notice, body []byte) (Callback, error) {
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

// Request is the callback as a request to url.
func (c Callback) Request(url string) (*http.Request, error) {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(c.Body)) //nolint:noctx // the caller adds it
	if err != nil {
		return nil, err
	}
	req.Header = c.Header.Clone()
	return req, nil
}

// Answer is what the provider makes of an answer: nil is success, and it stops
// calling.
func Answer(res *http.Response) error {
	defer res.Body.Close() //nolint:errcheck // read
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("HTTP %d: %s", res.StatusCode, text)
	}
	return nil
}

// serialOf is the same for the same key, so that a restart changes nothing.
func serialOf(key *rsa.PrivateKey) *big.Int {
	h := sha256.Sum256(key.N.Bytes())
	return new(big.Int).SetBytes(h[:16])
}
