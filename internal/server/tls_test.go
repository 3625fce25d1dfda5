package server_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/lancert"
	"doorbell/internal/server/servertest"
	"doorbell/internal/testrun"
)

// startTLS starts a server with a certificate, and returns what a tablet trusts.
func startTLS(t *testing.T, edits ...func(*config.Config)) (*servertest.Server, *tls.Config) {
	t.Helper()
	files, _, err := lancert.Make(t.TempDir(), []string{"127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(files.Authority)
	if err != nil {
		t.Fatal(err)
	}
	trust := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	trust.RootCAs.AppendCertsFromPEM(text)
	edits = append(edits, func(c *config.Config) { c.Server.TLS = config.TLS{Cert: files.Cert, Key: files.Key} })
	return servertest.Start(t, edits...), trust
}

// window is what a browser takes of a stream that nobody reads.
const window = 16 << 10

func browserOf(t *testing.T, trust *tls.Config) *http.Client {
	t.Helper()
	way := &http.Transport{ForceAttemptHTTP2: true, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: window}}
	if trust != nil {
		way.TLSClientConfig = trust.Clone() // the transport puts h2 into it
	}
	t.Cleanup(way.CloseIdleConnections)
	return &http.Client{Transport: way}
}

func ask(t *testing.T, c *http.Client, method, url, body string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// TestTLS: over one certificate pages and event streams come by HTTP/2, WebSockets by HTTP/1.1, and both ring.
func TestTLS(t *testing.T) {
	s, trust := startTLS(t, func(c *config.Config) { c.Metrics.Addr = "127.0.0.1:0" })
	browser := browserOf(t, trust)
	if res := ask(t, browser, "GET", s.URL, ""); res.StatusCode != http.StatusOK || res.Proto != "HTTP/2.0" {
		t.Errorf("the page: %s %s, want 200 by HTTP/2.0", res.Status, res.Proto)
	}
	token := s.Token(doorbell.RoleConsole, "till", 1)
	events := ask(t, browser, "GET", s.URL+"events", "", "Authorization", "Bearer "+token)
	if events.Proto != "HTTP/2.0" || events.StatusCode != http.StatusOK {
		t.Fatalf("events: %s %s", events.Status, events.Proto)
	}
	dialer := websocket.Dialer{TLSClientConfig: trust, HandshakeTimeout: 10 * time.Second}
	ws, res, err := dialer.DialContext(t.Context(), "wss"+strings.TrimPrefix(s.URL, "https")+"ws", http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		t.Fatal(err, res)
	}
	defer ws.Close()       //nolint:errcheck // the test is over
	defer res.Body.Close() //nolint:errcheck // empty
	lines := bufio.NewReader(events.Body)
	if line, err := lines.ReadString('\n'); err != nil || line == "" { // the stream has begun
		t.Fatal(line, err)
	}
	s.Raise(1, doorbell.NewOrder, 7, "order 7")
	_, frame, err := ws.ReadMessage()
	if err != nil || !bytes.Contains(frame, []byte(`"orderId":7`)) {
		t.Errorf("the WebSocket got %q, %v", frame, err)
	}
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "data: ") && strings.Contains(line, `"orderId":7`) {
			break
		}
	}
	plain := ask(t, http.DefaultClient, "GET", "http"+strings.TrimPrefix(s.URL, "https"), "")
	if text, _ := io.ReadAll(plain.Body); plain.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP: %s %s", plain.Status, text)
	}
	figures, _ := io.ReadAll(ask(t, http.DefaultClient, "GET", s.FiguresURL+"metrics", "").Body)
	for _, want := range []string{"doorbell_tls_reload_failed 0", "doorbell_tls_certificate_expires_timestamp_seconds"} {
		if !bytes.Contains(figures, []byte(want)) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	ready, _ := io.ReadAll(ask(t, browser, "GET", s.URL+"readyz", "").Body)
	if string(ready) != `{"ready":true,"store":"ok","bus":"none","reasons":[]}` {
		t.Errorf("readyz: %s", ready)
	}
}

// TestSlowOverHTTP2: a console that reads nothing is cut after write_timeout, and the others of its connection go on.
func TestSlowOverHTTP2(t *testing.T) {
	s, trust := startTLS(t, func(c *config.Config) { c.Stream.WriteTimeout = time.Second })
	browser, token := browserOf(t, trust), s.Token(doorbell.RoleConsole, "till", 1)
	stuck := ask(t, browser, "GET", s.URL+"events", "", "Authorization", "Bearer "+token)
	reads := ask(t, browser, "GET", s.URL+"events", "", "Authorization", "Bearer "+token)
	content := strings.Repeat("x", 100)
	const n = 700 // some 140 KB, well above the window
	go func() {
		for i := range int64(n) {
			s.Raise(1, doorbell.NewOrder, i+1, content)
		}
	}()
	lines, got := bufio.NewScanner(reads.Body), 0
	lines.Buffer(nil, 1<<20)
	for got < n && lines.Scan() {
		if strings.HasPrefix(lines.Text(), `data: {"type":1`) {
			got++
		}
	}
	if got != n {
		t.Errorf("the other console got %d alerts of %d: %v", got, n, lines.Err())
	}
	// Before, the read below would be one that lets it go on.
	testrun.Eventually(t, "it is cut", func() bool { return s.Hub.Count() == 1 })
	if all, err := io.ReadAll(stuck.Body); err == nil {
		t.Errorf("the stuck stream ended well after %d bytes; it was never cut", len(all))
	}
}

// TestCookiesOnHTTPS: browsers take the session's cookie from https alone; a session with the former name goes on, by
// the new one.
func TestCookiesOnHTTPS(t *testing.T) {
	proxied := func(c *config.Config) { c.Server.TrustedProxies = []string{"127.0.0.1"} }
	under := func(c *config.Config) { c.Server.BasePath = "/bell/" }
	ours, trust := startTLS(t)
	oursUnder, trustUnder := startTLS(t, under)
	for _, c := range []struct {
		name    string
		s       *servertest.Server
		trust   *tls.Config
		forward string
		want    string
	}{
		{"plain http", servertest.Start(t), nil, "", "doorbell_session"},
		{"our own TLS", ours, trust, "", "__Host-doorbell_session"},
		{"our own TLS, under a path", oursUnder, trustUnder, "", "__Secure-doorbell_session"},
		{"a proxy's TLS", servertest.Start(t, proxied), nil, "https", "__Host-doorbell_session"},
		{"a proxy without TLS", servertest.Start(t, proxied), nil, "http", "doorbell_session"},
		{"a proxy that we do not know", servertest.Start(t), nil, "https", "doorbell_session"},
		{"public_url", servertest.Start(t, func(c *config.Config) { c.Server.PublicURL = "https://bell.example.com" }), nil, "", "__Host-doorbell_session"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := browserOf(t, c.trust)
			call := func(method, path, body string, cookies ...string) *http.Response {
				t.Helper()
				header := []string{"Content-Type", "application/json", "Cookie", strings.Join(cookies, "; ")}
				if c.forward != "" {
					header = append(header, "X-Forwarded-Proto", c.forward)
				}
				return ask(t, client, method, c.s.URL+path, body, header...)
			}
			body, err := json.Marshal(map[string]string{"token": c.s.Token(doorbell.RoleConsole, "till", 1)})
			if err != nil {
				t.Fatal(err)
			}
			in := call("POST", "login", string(body)).Cookies()
			if len(in) != 1 || in[0].Name != c.want || in[0].Secure != strings.HasPrefix(c.want, "__") || !in[0].HttpOnly || in[0].Domain != "" {
				t.Fatalf("login sets %v, want %s", in, c.want)
			}
			if strings.HasPrefix(c.want, "__Host-") && in[0].Path != "/" {
				t.Errorf("path %s: browsers refuse it", in[0].Path)
			}
			if res := call("GET", "api/v1/me", "", c.want+"="+in[0].Value); res.StatusCode != http.StatusOK || len(res.Cookies()) != 0 {
				t.Errorf("me: %s, sets %v", res.Status, res.Cookies())
			}
			if c.want == "doorbell_session" {
				return
			}
			// Planted beside the true one, it does nothing.
			if res := call("GET", "api/v1/me", "", "doorbell_session=planted", c.want+"="+in[0].Value); res.StatusCode != http.StatusOK {
				t.Errorf("beside another: %s", res.Status)
			}
			// Alone it is what a former version gave.
			former := call("GET", "api/v1/me", "", "doorbell_session="+in[0].Value)
			set := map[string]*http.Cookie{}
			for _, one := range former.Cookies() {
				set[one.Name] = one
			}
			if former.StatusCode != http.StatusOK || set[c.want] == nil || set[c.want].Value != in[0].Value || set["doorbell_session"] == nil || set["doorbell_session"].MaxAge >= 0 {
				t.Errorf("a former version's session: %s, sets %v, want the new name, and the former's end", former.Status, former.Cookies())
			}
			if res := call("POST", "logout", "{}", c.want+"="+in[0].Value); res.StatusCode != http.StatusNoContent || len(res.Cookies()) != 1 || res.Cookies()[0].Name != c.want {
				t.Errorf("logout: %s, sets %v", res.Status, res.Cookies())
			}
			if res := call("GET", "api/v1/me", "", c.want+"="+in[0].Value); res.StatusCode != http.StatusUnauthorized {
				t.Errorf("after logout: %s", res.Status)
			}
		})
	}
}
