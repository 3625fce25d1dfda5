package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// read fetches a page with a token, "" for none.
func read(t *testing.T, url, token string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// TestFiguresBehindHAProxy: with its default settings HAProxy names no client, so
// a stranger looks like this machine. Metrics there need an admin's token;
// metrics.addr serves them without a token, and serves nothing else.
func TestFiguresBehindHAProxy(t *testing.T) {
	t.Parallel()
	own := freeAddr(t)
	s := startServer(t, "DOORBELL_METRICS_ADDR="+own)
	admin, console := s.token("admin", "--shops", "*"), s.token("console", "--shops", "1")
	const figure = "doorbell_consoles{"
	for _, base := range []string{startHAProxy(t, s.addr), s.base} {
		for _, c := range []struct {
			token  string
			status int
		}{{"", 401}, {console, 403}, {admin, 200}} {
			status, body := read(t, base+"metrics", c.token)
			if status != c.status || strings.Contains(body, figure) != (c.status == 200) {
				t.Errorf("%s: %d %.200s, want %d", base, status, body, c.status)
			}
		}
	}
	if status, body := read(t, "http://"+own+"/metrics", ""); status != 200 || !strings.Contains(body, figure) {
		t.Errorf("metrics.addr: %d %.200s, want the figures", status, body)
	}
	for _, path := range []string{"", "events", "ws", "poll?wait=0", "api/v1/me", "pay/wechat", "demo"} {
		if status, body := read(t, "http://"+own+"/"+path, admin); status != 404 {
			t.Errorf("metrics.addr /%s: %d %.100s, want 404", path, status, body)
		}
	}
}
