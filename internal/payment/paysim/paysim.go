// Package paysim holds what the players of all payment providers share. A player
// is in its provider's folder; with its own keys it signs callbacks and answers to
// queries as the provider does, for tests and for engineers who develop against
// doorbell.
package paysim

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"doorbell/internal/payment"
)

// Player plays one provider's side.
type Player interface {
	Name() string // as in the settings: "wechat"
	// Paid and Refunded return the signed callback of a payment or a refund.
	Paid(p Payment) (Callback, error)
	Refunded(r Refund) (Callback, error)
	// Taken reports whether the provider would stop calling after this answer.
	Taken(status int, body string) bool
	// Verifiers returns doorbell's verifiers with this player's keys: one for each
	// account that it plays, the unnamed one first.
	Verifiers(checkAmount bool) ([]payment.Named, error)
}

// Verifier returns doorbell's verifier of the unnamed account.
func Verifier(p Player) (payment.Verifier, error) {
	all, err := p.Verifiers(true)
	if err != nil {
		return nil, err
	}
	return all[0].Verifier, nil
}

// Path returns the path of a provider's callbacks: "pay/wechat".
func Path(p Player) string { return "pay/" + p.Name() }

// Payment is a customer's payment.
type Payment struct {
	Number      string // the order's
	Transaction string // the provider's
	Minor       int64
	At          time.Time // when the callback is signed; zero: now
}

// Refund is a refund of a payment.
type Refund struct {
	Payment
	ID    string // the provider's; empty: derived from the payment's
	Part  int64  // amount of this refund; 0: the whole payment
	SoFar int64  // sum of the payment's refunds including this one; 0: Part
}

// Filled returns the refund with its empty fields set.
func (r Refund) Filled() Refund {
	if r.Part == 0 {
		r.Part = r.Minor
	}
	r.SoFar = max(r.SoFar, r.Part)
	if r.ID == "" {
		r.ID = "50" + r.Transaction
	}
	return r
}

// SignedAt returns when the callback is signed.
func (p Payment) SignedAt() time.Time {
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

// Request returns the callback as a request to url.
func (c Callback) Request(url string) (*http.Request, error) {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(c.Body)) //nolint:noctx // the caller adds it
	if err != nil {
		return nil, err
	}
	req.Header = c.Header.Clone()
	return req, nil
}

// Answer returns how a provider takes an answer: nil is success, after which it
// stops calling.
func Answer(p Player, res *http.Response) error {
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

// NewKey creates an RSA key and returns it as PEM.
func NewKey() (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", fmt.Errorf("create a provider's key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})), nil
}

// ParseKey reads a key that NewKey created.
func ParseKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the simulator's keys: no PEM")
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the simulator's keys: %w", err)
	}
	return key, nil
}

// SerialOf returns a certificate's serial number. It depends on the key alone, so
// that a restart changes nothing.
func SerialOf(key *rsa.PrivateKey) []byte {
	h := sha256.Sum256(key.N.Bytes())
	return h[:16]
}
