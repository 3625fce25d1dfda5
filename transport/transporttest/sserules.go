package transporttest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// EventStreamRules checks the server against the HTML standard's rules for
// server-sent events, after the web platform's tests. Its client shares no code with
// the server.
func EventStreamRules(t *testing.T, open func(t *testing.T) *Server) {
	for name, test := range map[string]func(*testing.T, *Server){
		"status and headers":          testSSEHead,
		"every byte of the stream":    testSSEBytes,
		"content that looks like SSE": testSSEContent,
		"Last-Event-ID":               testSSELastID,
		"answers that are no stream":  testSSERefusals,
		"cut at every byte":           testSSECuts,
		"HTTP/1.0":                    testSSEOld,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// rawGet requests path and returns the connection and the answer's head.
func rawGet(t *testing.T, s *Server, version, path string, header ...string) (net.Conn, *http.Response) {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := dialTCP(u.Host, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	head := fmt.Sprintf("GET %s%s HTTP/%s\r\nHost: %s\r\n", u.Path, path, version, u.Host)
	for i := 0; i+1 < len(header); i += 2 {
		head += header[i] + ": " + header[i+1] + "\r\n"
	}
	err = errors.Join(c.SetDeadline(time.Now().Add(patience)), write(c, []byte(head+"\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
	if err != nil {
		t.Fatalf("GET %s %v: %v", path, header, err)
	}
	return c, res
}

func bearer(s *Server) []string { return []string{"Authorization", "Bearer " + s.Token(1)} }

func testSSEHead(t *testing.T, s *Server) {
	_, res := rawGet(t, s, "1.1", "events", append(bearer(s), "Accept-Encoding", "gzip, br", "Accept", "text/event-stream")...)
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Content-Encoding": "", "Content-Length": "", "X-Accel-Buffering": "no", "Location": "",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := res.Header.Get("Cache-Control"); !strings.Contains(got, "no-store") || !strings.Contains(got, "no-transform") {
		t.Errorf("Cache-Control: %q", got)
	}
	if !res.Close { // a keep-alive agent would send its next request on it, and be reset
		t.Errorf("an answer that ends with its connection does not say Connection: close: %v", res.Header)
	}
	if res.StatusCode != http.StatusOK {
		t.Errorf("HTTP %d, want 200", res.StatusCode)
	}
}

// block matches one event as the server writes it: always an id, one line of data, LF only.
var block = regexp.MustCompile(`^id: [0-9a-z]+\.[0-9:,]*\ndata: \{[^\r\n]*\}\n(event: [a-z]+\n)?$`)

func testSSEBytes(t *testing.T, s *Server) {
	s.Raise(1, 20, 40)
	_, res := rawGet(t, s, "1.1", "events?after=0&heartbeat=1", bearer(s)...)
	in := bufio.NewReader(res.Body)
	if first, err := in.ReadString('\n'); err != nil || first != "retry: 1000\n" {
		t.Errorf("the stream begins with %q, %v", first, err)
	}
	if second, err := in.ReadString('\n'); err != nil || second != "\n" {
		t.Errorf("then %q, %v", second, err)
	}
	var b strings.Builder
	for pings := 0; pings < 2; {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line != "\n" {
			b.WriteString(line)
			continue
		}
		if !block.MatchString(b.String()) {
			t.Errorf("an event is written as %q", b.String())
		}
		if strings.Contains(b.String(), "event: ping\n") {
			pings++
		}
		b.Reset()
	}
}

func testSSEContent(t *testing.T, s *Server) {
	contents := []string{
		"id: forged", "data: {}", "event: bye", ":", "\u2028\u2029\u0085", "\ufeff", "\x1b", "您有新的订单🔔", `"\`, "</script>", strings.Repeat("字", 500),
	}
	stream := dial(t, s, Transports()[1], Dial{})
	wantEvent(t, stream, "hello")
	for i, content := range contents {
		s.RaiseContent(1, content)
		m := next(t, stream)
		if m.Event != "" || m.Seq != int64(i+1) || m.Content != content || m.ID != s.cursor(1, int64(i+1)) {
			t.Errorf("content %q came as %q with id %q", content, m.Raw, m.ID)
		}
	}
	// An alert is one line; an announcement may have more.
	for _, text := range []string{"a\nb", "a\rb", "a\r\nb", "a\n\nid: forged\ndata: {}\n\n", "\n"} {
		s.Announce(text)
		m := wantEvent(t, stream, "announce")
		if want := fmt.Sprintf(`"text":%q`, text); !strings.Contains(m.Raw, want) || m.ID != s.cursor(1, int64(len(contents))) {
			t.Errorf("announcement %q came as %s with id %s", text, m.Raw, m.ID)
		}
	}
}

func testSSELastID(t *testing.T, s *Server) {
	s.Raise(1, 5, 20)
	for _, c := range []struct {
		name, query string
		ids         []string
		first       int64 // the first alert that comes, of those kept
		reset       string
		status      int
	}{
		{"the head", "", []string{s.cursor(1, 5)}, 6, "", 200},
		{"as an EventSource sends it", "", []string{s.cursor(1, 3)}, 4, "", 200},
		{"empty: as if it were not there", "", []string{""}, 6, "", 200},
		{"empty beside after", "?after=" + s.cursor(1, 2), []string{""}, 3, "", 200},
		{"wins over after", "?after=" + s.cursor(1, 1), []string{s.cursor(1, 4)}, 5, "", 200},
		{"wins over an after that is none", "?after=nonsense", []string{s.cursor(1, 4)}, 5, "", 200},
		{"0 is the oldest", "", []string{"0"}, 1, "", 200},
		{"another epoch", "", []string{"other0epoch.1:2"}, 6, "epoch", 200},
		{"above the head", "", []string{s.cursor(1, 99)}, 6, "above_head", 200},
		{"shops that are not followed", "", []string{s.cursor(1, 3, 9, 99)}, 4, "", 200},
		{"without its shops", "", []string{s.Epoch() + "."}, 6, "", 200},
		{"white space around it", "", []string{"  " + s.cursor(1, 3) + " \t"}, 4, "", 200},
		{"a number, as r3labs wants it", "", []string{"42"}, 0, "", 400},
		{"nonsense", "", []string{"nonsense"}, 0, "", 400},
		{"percent-encoded", "", []string{strings.ReplaceAll(s.cursor(1, 3), ":", "%3A")}, 0, "", 400},
		{"not ASCII", "", []string{"提醒"}, 0, "", 400},
		{"a negative seq", "", []string{s.Epoch() + ".1:-1"}, 0, "", 400},
		{"a seq that is too large", "", []string{s.Epoch() + ".1:99999999999999999999"}, 0, "", 400},
		{"a shop twice", "", []string{s.Epoch() + ".1:1,1:2"}, 0, "", 400},
		{"far too long", "", []string{s.Epoch() + "." + strings.Repeat("1:1,", 4000) + "1:1"}, 0, "", 400},
		{"twice the same: the first counts", "", []string{s.cursor(1, 3), s.cursor(1, 1)}, 4, "", 200},
	} {
		header := bearer(s)
		for _, id := range c.ids {
			header = append(header, "Last-Event-ID", id)
		}
		conn, res := rawGet(t, s, "1.1", "events"+c.query, header...)
		if res.StatusCode != c.status {
			t.Errorf("%s: HTTP %d, want %d", c.name, res.StatusCode, c.status)
		}
		if res.StatusCode == http.StatusOK && c.status == http.StatusOK {
			wantFirst(t, c.name, &sseClient{conn: conn, events: &eventReader{in: bufio.NewReader(res.Body)}, patience: patience}, s, c.first, c.reset)
		}
		_ = conn.Close() // the end of a case
	}
}

// wantFirst checks where a stream starts. It raises an alert if none is due.
func wantFirst(t *testing.T, name string, stream Stream, s *Server, first int64, reset string) {
	t.Helper()
	wantEvent(t, stream, "hello")
	if reset != "" {
		if m := wantEvent(t, stream, "reset"); m.Reason != reset || m.ID != s.cursor(1, s.Head(1)) {
			t.Errorf("%s: got %s with id %s, want a reset by %s", name, m.Raw, m.ID, reset)
		}
	}
	if first > 5 {
		first = s.Head(1) + 1
		s.Raise(1, 1, 20)
	}
	if m := next(t, stream); m.Seq != first {
		t.Errorf("%s: starts with %s, want seq %d", name, m.Raw, first)
	}
}

// testSSERefusals: an EventSource stops at 204 and follows a 3xx, so the server must
// answer neither; at any other status but 200 it stops for good.
func testSSERefusals(t *testing.T, s *Server) {
	for _, c := range []struct {
		name, path string
		header     []string
		status     int
	}{
		{"no token", "events", nil, 401},
		{"a token that is none", "events", []string{"Authorization", "Bearer x"}, 401},
		{"a foreign shop", "events?shops=2", bearer(s), 403},
		{"a foreign origin", "events", append(bearer(s), "Origin", "https://evil.example"), 403},
		{"a cursor that is none", "events?after=x", bearer(s), 400},
		{"a sid that is none", "events/%20", bearer(s), 400},
		{"a slash too many", "events/a/b", bearer(s), 404},
	} {
		_, res := rawGet(t, s, "1.1", c.path, c.header...)
		if kind := res.Header.Get("Content-Type"); res.StatusCode != c.status || kind != "application/problem+json" {
			t.Errorf("%s: HTTP %d, %s; want %d and a problem", c.name, res.StatusCode, kind, c.status)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		req, err := http.NewRequest(method, s.URL+"events", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.Token(1))
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close() // not read
		if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") == "" {
			t.Errorf("%s: HTTP %d, Allow %q; want 405", method, res.StatusCode, res.Header.Get("Allow"))
		}
	}
}

// testSSECuts cuts the connection after each byte and reconnects as an EventSource
// does: wherever the cut is, every alert is dispatched once.
func testSSECuts(t *testing.T, s *Server) {
	const n = 3
	s.Raise(1, n, 10)
	for at := 0; ; at++ {
		conn, res := rawGet(t, s, "1.1", "events?after=0", bearer(s)...)
		part := make([]byte, at)
		if _, err := io.ReadFull(res.Body, part); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close() // the cut
		got, r := readEvents(string(part))
		seqs := alertSeqs(t, got)
		if r.lastID != "" {
			conn, res := rawGet(t, s, "1.1", "events?after=0", append(bearer(s), "Last-Event-ID", r.lastID)...)
			again := &eventReader{in: bufio.NewReader(res.Body)}
			for len(seqs) < n {
				e, err := again.next()
				if err != nil {
					t.Fatalf("after %q: %v", part, err)
				}
				seqs = append(seqs, alertSeqs(t, []streamEvent{e})...)
			}
			_ = conn.Close() // the end of a cut
			if fmt.Sprint(seqs) != "[1 2 3]" {
				t.Fatalf("cut after %q: got alerts %v", part, seqs)
			}
		}
		if strings.Count(string(part), "\n\n") == n+2 { // retry, hello, the alerts
			return
		}
	}
}

func alertSeqs(t *testing.T, events []streamEvent) (seqs []int64) {
	t.Helper()
	for _, e := range events {
		if e.Event != "message" {
			continue
		}
		m, err := parse("", e.Data, e.ID)
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, m.Seq)
	}
	return seqs
}

// testSSEOld checks HTTP/1.0, which has no chunks: the stream ends with the connection.
func testSSEOld(t *testing.T, s *Server) {
	s.Raise(1, 2, 20)
	conn, res := rawGet(t, s, "1.0", "events?after=0", bearer(s)...)
	if len(res.TransferEncoding) > 0 || res.ContentLength >= 0 {
		t.Errorf("chunks %v or a length %d for HTTP/1.0", res.TransferEncoding, res.ContentLength)
	}
	stream := &sseClient{conn: conn, events: &eventReader{in: bufio.NewReader(res.Body)}, patience: patience}
	wantEvent(t, stream, "hello")
	wantSeqs(t, stream, 1, 1, 2)
}
