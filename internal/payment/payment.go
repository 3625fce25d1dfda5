// Package payment verifies providers' callbacks and reads what they tell.
package payment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"doorbell/internal/doorbell"
)

// MaxBody bounds a callback's body: WeChat's are about 1.5 KiB.
const MaxBody = 64 << 10

// Verifier checks and reads one provider's callbacks.
//
//   - It never trusts a byte before the signature holds.
//   - A callback that does not pass is a *Forgery. What it says is for
//     counting; it holds nothing of the body.
//   - A genuine one that is not for us, or is no success, is a Notice with a
//     Refusal.
//   - It never panics, whatever the bytes.
type Verifier interface {
	Provider() string
	Verify(ctx context.Context, header http.Header, body []byte) (doorbell.Notice, error)
}

// Forgery is why a callback did not pass.
type Forgery struct{ Reason string }

func (f *Forgery) Error() string { return "callback not genuine: " + f.Reason }

func forged(reason string) error { return &Forgery{Reason: reason} }

// bodyHash is how a body is told from another in the inbox.
func bodyHash(body []byte) string {
	h := sha256.Sum256(body)
	return hex.EncodeToString(h[:])
}
