package cli

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"doorbell/internal/config"
	"doorbell/internal/server"
)

const testSecret = "auth: {secret: 0123456789012345678901234567890123456789}\n"

// fakeServer answers tickets as a server would, under a path.
func fakeServer(t *testing.T, trial bool) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/bell/api/v1/tickets", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"ticket":"TICKET"}`) })
	mux.HandleFunc("/page.json", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintf(w, `{"trial":%v}`, trial) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s
}

// TestLinksBeginWithWhatATabletOpens: --url before server.public_url before
// server.addr; the server itself is called on this machine.
func TestLinksBeginWithWhatATabletOpens(t *testing.T) {
	s := fakeServer(t, true)
	addr := strings.TrimPrefix(s.URL, "http://")
	behind := testSecret + "server: {addr: \"" + addr + "\", base_path: /bell/, public_url: \"https://bell.example.com\"}\n"
	bare := testSecret + "server: {addr: \"" + addr + "\", base_path: /bell/}\n"
	for _, c := range []struct {
		name, config string
		args         []string
		prefix       string
	}{
		{"public_url", behind, []string{"link"}, "https://bell.example.com/bell/#ticket=TICKET"},
		{"public_url", behind, []string{"pair"}, "https://bell.example.com/bell/#pair=TICKET"},
		{"--url", behind, []string{"link", "--url", s.URL + "/bell"}, s.URL + "/bell/#ticket=TICKET"},
		{"--url", behind, []string{"pair", "--url", s.URL + "/bell/"}, s.URL + "/bell/#pair=TICKET"},
		{"--url on loopback", bare, []string{"pair", "--url", s.URL + "/bell"}, s.URL + "/bell/#pair=TICKET"},
		{"server.addr", bare, []string{"link"}, s.URL + "/bell/#ticket=TICKET"},
	} {
		out, err := inFolder(t, c.config, c.args...)
		if err != nil || !strings.Contains("\n"+out, "\n"+c.prefix) {
			t.Errorf("%s, %v: %v, printed %q; want %s", c.name, c.args, err, out, c.prefix)
		}
	}
	if _, err := inFolder(t, bare, "pair"); exitCode(err) != 2 || !strings.Contains(err.Error(), "server.public_url") {
		t.Errorf("pair on loopback: %v, want it to say what to set", err)
	}
	cfg := config.Default()
	cfg.Server.Addr = "0.0.0.0:8080"
	if lan := server.LANAddress(); lan != "" {
		if got, err := tabletURL(cfg); err != nil || got != "http://"+lan+":8080/" {
			t.Errorf("a tablet opens %s, %v", got, err)
		}
	}
	out, err := inFolder(t, "", "link", "-h")
	if exitCode(err) != 0 || !strings.Contains(out, "goes before") || !strings.Contains(out, "server.public_url and server.addr") {
		t.Errorf("link -h does not say the order: %v\n%s", err, out)
	}
}

// TestLinkWaitsForAServerThatStarts: systemd holds the socket before the first
// start has made the secret; "enable --now" and "link" follow each other there.
func TestLinkWaitsForAServerThatStarts(t *testing.T) {
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	made := sync.OnceFunc(func() {
		if err := os.Mkdir("data", 0o700); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(filepath.Join("data", "auth.secret"), []byte(strings.Repeat("s", 40)), 0o600); err != nil {
			t.Error(err)
		}
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		made() // before the first answer, as the server does
		_, _ = fmt.Fprint(w, `{"ticket":"TICKET"}`)
	}))
	t.Cleanup(s.Close)
	out, err := inFolder(t, "server: {addr: \""+strings.TrimPrefix(s.URL, "http://")+"\"}\n", "link")
	if err != nil || !strings.Contains(out, "#ticket=TICKET") {
		t.Errorf("%v, printed %q; want the link once the server answers", err, out)
	}
}

// TestFailedCallsSayWhatWasTried: the address, and what to do.
func TestFailedCallsSayWhatWasTried(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	answers := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, body)
		}))
		t.Cleanup(s.Close)
		return s.URL + "/"
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	for _, c := range []struct{ name, url, says string }{
		{"nobody there", "", "no server answers at http://" + addr + "/"},
		{"what to do", "", "Start it, name its settings with --config, or its address with --url"},
		{"another secret", answers(401, `{"detail":"The token was not signed with this server's key."}`), "another auth.secret"},
		{"another path", answers(404, "x"), "server.base_path"},
		{"a proxy without its server", answers(502, "<html>"), "502 Bad Gateway"},
		{"no doorbell", answers(200, "<html>"), "does not answer as doorbell does"},
		{"no address", "127.0.0.1:8080", "--url"},
	} {
		for _, command := range []string{"link", "simulate"} {
			args := []string{command}
			if c.url != "" {
				args = append(args, "--url", c.url)
			}
			_, err := inFolder(t, testSecret+"server: {addr: \""+addr+"\"}\n", args...)
			if err == nil || strings.Contains(err.Error(), "..") || !strings.Contains(err.Error(), c.says) || c.url != "" && !strings.Contains(err.Error(), c.url) {
				t.Errorf("%s, %s: %v, want it to say %q and the address", c.name, command, err, c.says)
			}
		}
	}
}

// TestSimulateAsksTheServer whether it is on trial: its own settings may say
// otherwise.
func TestSimulateAsksTheServer(t *testing.T) {
	paying := testSecret + "pay: {wechat: {mchid: \"1\", appid: a, api_v3_key: 01234567890123456789012345678901, public_key: k, public_key_id: PUB_KEY_ID_1}}\n"
	if _, err := inFolder(t, testSecret, "simulate", "--url", fakeServer(t, false).URL); exitCode(err) != 1 || !strings.Contains(err.Error(), "is not on trial") {
		t.Errorf("a server with a real account: %v", err)
	}
	_, err := inFolder(t, paying, "simulate", "--url", fakeServer(t, true).URL)
	if exitCode(err) != 1 || !strings.Contains(err.Error(), "no keys for the simulator") {
		t.Errorf("a server on trial, under other settings here: %v, want it to go on to the keys", err)
	}
}

// TestWatchSaysWhatTokenIsRefused: a token of another folder's secret is the
// usual cause, and the message names it.
func TestWatchSaysWhatTokenIsRefused(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	t.Cleanup(s.Close)
	_, err := inFolderUntil(ctx, t, testSecret, "watch", "--url", s.URL)
	if exitCode(err) != 1 || !strings.Contains(err.Error(), "another auth.secret") || !strings.Contains(err.Error(), "401") {
		t.Errorf("exit %d with %v, want 1 and what to do", exitCode(err), err)
	}
}

// TestWatchEndsWithTheReason: watch exits 1 where coming again can't help.
func TestWatchEndsWithTheReason(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, `{"detail":"The token is not for shop 7."}`)
	}))
	t.Cleanup(s.Close)
	for _, transport := range []string{"ws", "sse", "poll"} {
		_, err := inFolderUntil(ctx, t, testSecret, "watch", "--shop", "7", "--transport", transport, "--url", s.URL)
		if exitCode(err) != 1 || !strings.Contains(err.Error(), `403 Forbidden: "The token is not for shop 7."`) {
			t.Errorf("over %s: exit %d with %v", transport, exitCode(err), err)
		}
	}
}
