// Package paysim plays the payment providers, for tests and for whoever
// develops against doorbell: keys of its own sign notices as each provider
// makes them, and its answers to questions are signed likewise.
package paysim

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"doorbell/internal/payment"
	"doorbell/internal/safefile"
)

// Provider plays one provider's side.
type Provider interface {
	Name() string // as its settings have it: "wechat"
	// Paid and Refunded sign the callback that tells of it.
	Paid(p Payment) (Callback, error)
	Refunded(p Payment) (Callback, error)
	// Taken reports whether the provider would stop calling on this answer.
	Taken(status int, body string) bool
	// Verifier is doorbell's side, with this provider's keys.
	Verifier() (payment.Verifier, error)
}

// Path is where doorbell takes a provider's callbacks: "pay/wechat".
func Path(p Provider) string { return "pay/" + p.Name() }

// Payment is what a customer did.
type Payment struct {
	Number      string // the order's
	Transaction string // the provider's
	Minor       int64
	At          time.Time // when the callback is signed; zero: now
}

func (p Payment) signedAt() time.Time {
	if p.At.IsZero() {
		return time.Now()
	}
	return p.At
}

// Callback is a signed callback: headers and body.
type Callback struct {
	Header http.Header
	Body   []byte
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

// Answer is what a provider makes of an answer: nil is success, and it stops
// calling.
func Answer(p Provider, res *http.Response) error {
	defer res.Body.Close() //nolint:errcheck // read
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if err != nil {
		return err
	}
	if !p.Taken(res.StatusCode, string(text)) {
		return fmt.Errorf("HTTP %d: %s", res.StatusCode, text)
	}
	return nil
}

// Providers are all that there are, each with keys of its own.
type Providers struct {
	WeChat  *WeChat
	Alipay  *Alipay
	Stripe  *Stripe
	Webhook *Webhook
}

// All lists them.
func (p *Providers) All() []Provider { return []Provider{p.WeChat, p.Alipay, p.Stripe, p.Webhook} }

// keys are what Providers are made of, as a file.
type keys struct {
	Note    string `json:"note"`
	WeChat  string `json:"wechat"` // PEM
	APIv3   string `json:"wechat_api_v3_key"`
	Alipay  string `json:"alipay"` // PEM
	Stripe  string `json:"stripe"`
	Webhook string `json:"webhook"`
}

// New makes providers with new keys.
func New() (*Providers, error) {
	k, err := newKeys()
	if err != nil {
		return nil, err
	}
	return k.providers()
}

func newKeys() (keys, error) {
	k := keys{
		Note: "The simulator's keys. They verify callbacks on trial only.", APIv3: (rand.Text() + rand.Text())[:32],
		Stripe: "whsec_" + rand.Text(), Webhook: base64.StdEncoding.EncodeToString([]byte((rand.Text() + rand.Text())[:32])),
	}
	for _, to := range []*string{&k.WeChat, &k.Alipay} {
		key, err := newKey()
		if err != nil {
			return k, err
		}
		*to = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	}
	return k, nil
}

func newKey() (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make a provider's key: %w", err)
	}
	return key, nil
}

func (k keys) providers() (*Providers, error) {
	var rsaKeys [2]*rsa.PrivateKey
	for i, text := range []string{k.WeChat, k.Alipay} {
		block, _ := pem.Decode([]byte(text))
		if block == nil {
			return nil, errors.New("the simulator's keys: no PEM")
		}
		var err error
		if rsaKeys[i], err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return nil, fmt.Errorf("the simulator's keys: %w", err)
		}
	}
	wechat, err := weChatOf(rsaKeys[0], k.APIv3)
	if err != nil {
		return nil, err
	}
	return &Providers{WeChat: wechat, Alipay: alipayOf(rsaKeys[1]), Stripe: &Stripe{k.Stripe}, Webhook: &Webhook{k.Webhook}}, nil
}

const keyFile = "trial-keys.json"

// Load reads the providers kept in dir; os.ErrNotExist when there are none.
func Load(dir string) (*Providers, error) {
	text, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	var k keys
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, fmt.Errorf("read the simulator's keys: %w", err)
	}
	return k.providers()
}

// Ensure reads the providers kept in dir, or makes some and keeps them for
// their owner alone.
func Ensure(dir string) (*Providers, error) {
	p, err := Load(dir)
	if !errors.Is(err, os.ErrNotExist) {
		return p, err
	}
	k, err := newKeys()
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := safefile.Create(filepath.Join(dir, keyFile), text); err != nil {
		return nil, fmt.Errorf("keep the simulator's keys: %w", err)
	}
	return k.providers()
}

// serialOf is the same for the same key, so that a restart changes nothing.
func serialOf(key *rsa.PrivateKey) []byte {
	h := sha256.Sum256(key.N.Bytes())
	return h[:16]
}
