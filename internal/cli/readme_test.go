package cli

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"doorbell/internal/server"
)

// startHere runs a server with the shipped settings in a folder of its own,
// which becomes the working folder, until the test ends.
func startHere(t *testing.T) (base string) {
	t.Helper()
	t.Chdir(t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	a, err := server.New(ctx, serverOptions())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx, server.Listeners{Consoles: ln}, io.Discard) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String() + "/"
}

// readRoot reads a file of the repository's top folder.
func readRoot(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// whatDiffers is what no two runs have alike.
var whatDiffers = regexp.MustCompile(`[a-z0-9]+\.1:|"(console|epoch|version|time)":"[^"]*"|\d{13,}|"orderId":\d+`)

func alike(text string) string {
	return whatDiffers.ReplaceAllStringFunc(strings.TrimSpace(text), func(m string) string {
		if name, _, ok := strings.Cut(m, ":"); ok && strings.HasPrefix(m, `"`) {
			return name + ":…"
		}
		return "…"
	})
}

// TestReadmeCurl: what the README shows of a stream is what comes.
func TestReadmeCurl(t *testing.T) {
	samples := map[string]string{}
	for _, file := range []string{"README.md", "README.zh-CN.md"} {
		m := regexp.MustCompile("(?s)```\n(retry: .*?)```").FindStringSubmatch(readRoot(t, file))
		if m == nil {
			t.Fatalf("%s shows no stream", file)
		}
		samples[file] = m[1]
	}
	base := startHere(t)
	var out bytes.Buffer
	if err := run(t.Context(), []string{"simulate", "--pause", "0s", "--url", base}, &out); err != nil {
		t.Fatal(err)
	}
	var token bytes.Buffer
	if err := run(t.Context(), []string{"token", "--role", "console", "--shops", "1"}, &token); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"events?after=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token.String()))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read
	var came strings.Builder
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		came.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), `data: {"type":1`) {
			break
		}
	}
	for file, sample := range samples {
		if alike(sample) != alike(came.String()) {
			t.Errorf("%s shows\n%s\nwhat comes is\n%s", file, sample, came.String())
		}
	}
}

// TestReadmeGoStopsOnARefusal: the README's program tries again where that can
// help, and ends with the reason where it can't.
func TestReadmeGoStopsOnARefusal(t *testing.T) {
	m := regexp.MustCompile("(?s)```go\n(.*?)```").FindStringSubmatch(readRoot(t, "README.md"))
	if m == nil {
		t.Fatal("the README has no Go")
	}
	var calls atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"code":"token_unknown_key"}`)
	}))
	t.Cleanup(s.Close)
	dir := t.TempDir()
	for name, text := range map[string]string{"main.go": m[1], "go.mod": "module example\n\ngo 1.26.0\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute) // it is compiled first
	defer stop()
	cmd := exec.CommandContext(ctx, "go", "run", ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "DOORBELL_URL="+s.URL, "DOORBELL_TOKEN=x")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "token_unknown_key") || calls.Load() != 2 {
		t.Errorf("%v after %d calls, want an end with the reason after the second\n%s", err, calls.Load(), out)
	}
}
