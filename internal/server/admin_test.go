package server_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/server/servertest"
)

// TestProfilesOnTheAdminListenerAlone: server.admin serves them and nothing else, by a
// loopback name; every other listener answers 404, to an admin's token too.
func TestProfilesOnTheAdminListenerAlone(t *testing.T) {
	s := servertest.Start(t, func(c *config.Config) {
		c.Server.Admin, c.Metrics.Addr, c.Pay.Addr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	})
	client := browserOf(t, nil)
	token := s.Token(doorbell.RoleAdmin, "root")
	for _, base := range []string{s.URL, s.FiguresURL, s.CallbacksURL} {
		for _, path := range []string{"debug/pprof/", "debug/pprof/heap", "debug/pprof/cmdline", "debug/pprof/profile?seconds=1"} {
			if res := ask(t, client, http.MethodGet, base+path, "", "Authorization", "Bearer "+token); res.StatusCode != http.StatusNotFound {
				t.Errorf("%s%s: %s, want 404", base, path, res.Status)
			}
		}
	}
	heap := ask(t, client, http.MethodGet, s.AdminURL+"debug/pprof/heap", "")
	if heap.StatusCode != http.StatusOK {
		t.Fatalf("a heap profile on the admin listener: %s", heap.Status)
	}
	unzipped, err := gzip.NewReader(heap.Body)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, unzipped); err != nil || n == 0 {
		t.Errorf("a heap profile of %d bytes: %v", n, err)
	}
	for _, path := range []string{"", "metrics", "healthz", "api/v1/me", "pay/wechat", "events"} {
		if res := ask(t, client, http.MethodGet, s.AdminURL+path, "", "Authorization", "Bearer "+token); res.StatusCode != http.StatusNotFound {
			t.Errorf("the admin listener's /%s: %s, want 404", path, res.Status)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.AdminURL+"debug/pprof/heap", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "rebound.example.com"
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // nothing is read
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("by a name that is not loopback's: %s, want 403", res.Status)
	}
	if !strings.HasPrefix(s.AdminURL, "http://127.0.0.1:") {
		t.Errorf("the admin listener is at %s", s.AdminURL)
	}
}
