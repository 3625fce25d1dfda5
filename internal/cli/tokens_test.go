package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/store"
)

// TestTokenListAndRevoke: a token that nobody used is revoked by its text, and shown
// afterwards by its id and never by itself; faults name what to do.
func TestTokenListAndRevoke(t *testing.T) {
	t.Chdir(t.TempDir())
	makeData(t)
	token := strings.TrimSpace(runs(t, "token", "--role", "service", "--shops", "1,2", "--sub", "backend"))
	if got := runs(t, "token", "--list"); strings.Contains(got, "backend") || !strings.Contains(got, "Not listed") {
		t.Errorf("before its use: %s", got)
	}
	cfg, err := settings("")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	revoke := func(id, in string) error {
		return withStore(t.Context(), "", func(s *store.Store, _ *doorbell.Service) error {
			return revokeBy(t.Context(), cfg.Config, s, id, in, &out)
		})
	}
	if err := revoke("-", token+"\n"); err != nil {
		t.Fatal(err)
	}
	list := runs(t, "token", "--list")
	if !strings.Contains(list, `service  "backend"  1,2`) || !strings.Contains(list, "revoked 20") || strings.Contains(list, token) {
		t.Errorf("afterwards: %s", list)
	}
	if err := revoke("-", token+"x"); err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("another text: %v", err)
	}
	if err := revoke("nobody", ""); err == nil || !strings.Contains(err.Error(), "--list") {
		t.Errorf("an unknown id: %v", err)
	}
	if err := run(t.Context(), []string{"token", "--list", "--revoke", "x"}, &out); exitCode(err) != 2 {
		t.Errorf("both: %v", err)
	}
}

func revokeBy(ctx context.Context, cfg config.Config, s *store.Store, id, in string, out *bytes.Buffer) error {
	return revokeToken(ctx, cfg, s, id, strings.NewReader(in), out)
}
