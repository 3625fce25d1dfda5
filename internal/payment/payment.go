// Package payment verifies providers' callbacks and reads their content.
package payment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"doorbell/internal/doorbell"
)

// MaxBody bounds a callback's body in bytes: WeChat's have about 1.5 KiB.
const MaxBody = 64 << 10

// ClockSkew bounds the difference between a callback's timestamp and the clock
// (WeChat Pay's rule, and Stripe's).
const ClockSkew = 300 * time.Second

// Verifier checks and reads one provider's callbacks.
//
//   - It never trusts a byte before the signature holds.
//   - A rejected callback returns a *Forgery. Its reason is for
//     counting, and holds nothing of the body.
//   - A genuine one for another account, or not a success, is a Notice with a
//     Refusal.
//   - It never panics, whatever the bytes.
type Verifier interface {
	Provider() string
	Verify(ctx context.Context, header http.Header, body []byte) (doorbell.Notice, error)
}

// Forgery is the reason why a callback was rejected.
type Forgery struct{ Reason string }

func (f *Forgery) Error() string { return "callback not genuine: " + f.Reason }

// Forged returns a Forgery. The reason must hold nothing of the body.
func Forged(reason string) error { return &Forgery{Reason: reason} }

// BodyHash returns the hash that identifies a body in the inbox.
func BodyHash(body []byte) string {
	h := sha256.Sum256(body)
	return hex.EncodeToString(h[:])
}
