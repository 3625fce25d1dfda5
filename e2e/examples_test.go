package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// TestBrowserExamples: the two examples of the reference for browsers follow a shop,
// each alert once and in order, over a restart of the server: client.js on another
// origin, and the browser's own EventSource on the server's.
func TestBrowserExamples(t *testing.T) {
	t.Parallel()
	example := func(name string) string {
		text, err := os.ReadFile("../internal/reference/clients/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var html string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/browser.js" {
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write([]byte(example("browser.js"))) // the browser may have left
			return
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(html)) // as above
	}))
	t.Cleanup(other.Close)
	s := startServer(t, "DOORBELL_AUTH_ORIGINS="+other.URL)
	service, number := s.token("service", "--shops", "1", "--sub", "backend"), 0
	ring := func() {
		t.Helper()
		number++
		if status, got := s.call("POST", "api/v1/alerts", service, map[string]any{"type": 1, "shopId": 1, "number": fmt.Sprintf("E-%d", number)}); status != 201 {
			t.Fatalf("raise: %d %v", status, got)
		}
	}
	html = fmt.Sprintf(`<!doctype html><title>own page</title><script type="module">
import { follow } from './browser.js';
window.got = [];
follow('%s', () => '%s', (alert) => window.got.push(alert.seq));
</script>`, strings.TrimSuffix(s.base, "/"), s.token("console", "--shops", "1", "--sub", "own-page"))
	foreign := openPage(t, other.URL)
	own := openPage(t, s.link())
	own.waitLink("websocket")
	inline := strings.Replace(example("eventsource.js"), "export function", "function", 1)
	if _, err := own.Eval(`(code) => { window.got = []; window.follow = (0, eval)('(() => {' + code + '; return follow; })()'); window.follow((a) => window.got.push(a.seq), () => {}); }`, inline); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both follow", func() bool {
		_, got := s.call("GET", "api/v1/shops/1/consoles", service, nil)
		list, _ := got["consoles"].([]any)
		return len(list) == 3 // the console's own page is one
	})
	want := func(seqs string) {
		t.Helper()
		for name, p := range map[string]*page{"client.js": foreign, "EventSource": own} {
			eventually(t, name+" has "+seqs, func() bool { return p.js(`window.got.join()`) == seqs })
		}
	}
	ring()
	ring()
	want("1,2")
	s.stop(15)
	s.start()
	ring()
	want("1,2,3")
}
