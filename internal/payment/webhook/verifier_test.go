package webhook_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"doorbell/internal/payment/webhook"
)

// TestWebhookSecrets: an invalid secret is reported at the start.
func TestWebhookSecrets(t *testing.T) {
	for _, bad := range [][]string{nil, {""}, {"whsec_!"}, {base64.StdEncoding.EncodeToString([]byte("short"))}, {base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))), "x"}} {
		if _, err := webhook.NewVerifier(bad, true); err == nil {
			t.Errorf("%q was accepted as secrets", bad)
		}
	}
}
