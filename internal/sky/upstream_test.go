package sky

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"doorbell/internal/doorbell"
)

// behind starts a backend and an upstream in front of it; what was closed is noted.
func behind(t *testing.T, backend http.HandlerFunc) (base string, closed *[]string) {
	t.Helper()
	theirs := httptest.NewServer(backend)
	t.Cleanup(theirs.Close)
	target, err := url.Parse(theirs.URL)
	if err != nil {
		t.Fatal(err)
	}
	closed = &[]string{}
	up := New(Options{
		Target: target, Own: func(path string) bool { return path == "/ours" },
		Next:    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ours") }),
		Trusted: func(*http.Request) bool { return false }, Log: slog.New(slog.DiscardHandler), OwnCookies: []string{"doorbell_session"},
		Paid: func() { *closed = append(*closed, "paid") },
		Closed: func(_ context.Context, order doorbell.OrderID, typ doorbell.Type) error {
			*closed = append(*closed, fmt.Sprintf("%d:%d", order, typ))
			return nil
		},
	})
	t.Cleanup(up.Close)
	front := httptest.NewServer(up)
	t.Cleanup(front.Close)
	return front.URL, closed
}

func call1(t *testing.T, method, address, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
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

// TestUpstreamPassesOn what is not doorbell's own, as it came.
func TestUpstreamPassesOn(t *testing.T) {
	base, _ := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws-of-theirs" {
			up := websocket.Upgrader{}
			if c, err := up.Upgrade(w, r, nil); err == nil {
				_ = c.WriteMessage(websocket.TextMessage, []byte("theirs")) // the client looks
				_ = c.Close()
			}
			return
		}
		if strings.HasPrefix(r.URL.Path, "/admin/dish/") {
			body, _ := io.ReadAll(r.Body)
			w.WriteHeader(http.StatusAccepted)
			_, _ = fmt.Fprintf(w, "%s %s %s %s %s", r.Method, r.RequestURI, r.Header.Get("Content-Type"), r.Header.Get("token"), body)
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %d for %q cookie %q", r.Host, r.RequestURI, n, r.Header.Get("X-Forwarded-For"), r.Header.Get("Cookie"))
	})
	host := strings.TrimPrefix(base, "http://")
	if _, got := call1(t, "GET", base+"/ours", ""); got != "ours" {
		t.Errorf("our own path: %q", got)
	}
	want := host + ` /admin/order/page?a=%20b 3145728 for "127.0.0.1" cookie "token=x"`
	if _, got := call1(t, "POST", base+"/admin/order/page?a=%20b", strings.Repeat("x", 3<<20), "Cookie", "token=x; doorbell_session=secret", "X-Forwarded-For", "6.6.6.6"); got != want {
		t.Errorf("theirs: %q, want %q", got, want)
	}
	// Their page saves by PUT, and copies of their backend by PATCH and DELETE.
	for _, method := range []string{"PUT", "PATCH", "DELETE", "OPTIONS"} {
		status, got := call1(t, method, base+"/admin/dish/7?x=1", `{"id":7,"name":"鱼香肉丝"}`, "Content-Type", "application/json", "token", "theirs")
		if want := method + ` /admin/dish/7?x=1 application/json theirs {"id":7,"name":"鱼香肉丝"}`; status != http.StatusAccepted || got != want {
			t.Errorf("%s: %d %q, want 202 %q", method, status, got, want)
		}
	}
	c, res, err := websocket.DefaultDialer.Dial(strings.Replace(base, "http", "ws", 1)+"/ws-of-theirs", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // nothing in it
	defer c.Close()        //nolint:errcheck // the end
	if _, text, err := c.ReadMessage(); err != nil || string(text) != "theirs" {
		t.Errorf("their WebSocket: %q, %v", text, err)
	}
}

// TestUpstreamNotices the calls that end an order's ring, when they succeed.
func TestUpstreamNotices(t *testing.T) {
	answer, status := `{"code":1,"msg":null,"data":null}`, http.StatusOK
	var got string
	base, closed := behind(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = string(body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	})
	for _, c := range []struct{ method, path, body, answer, want string }{
		{"PUT", "/admin/order/confirm", `{"id":77}`, "", "77:3"},
		{"PUT", "/admin/order/confirm", `{"id":"77"}`, "", "77:3"},
		{"PUT", "/admin/order/rejection", `{"id":5,"rejectionReason":"卖完了"}`, "", "5:4"},
		{"PUT", "/admin/order/cancel", `{"id":6,"cancelReason":"x"}`, "", "6:4"},
		{"PUT", "/user/order/cancel/8", "", "", "8:4"},
		{"PUT", "/admin/order/delivery/9", "", "", "9:3"},
		{"PUT", "/admin/order/complete/9", "", "", "9:3"},
		{"PUT", "/user/order/payment", `{"orderNumber":"17","payMethod":1}`, "", "paid"},
		{"PUT", "/user/order/payment", `{"orderNumber":"17","payMethod":1}`, `{"code":0,"msg":"该订单已支付","data":null}`, ""},
		{"PUT", "/admin/order/confirm", `{"id":77}`, `{"code":0,"msg":"订单状态错误","data":null}`, ""},
		{"PUT", "/admin/order/confirm", `{"id":77}`, `<html>`, ""},
		{"PUT", "/admin/order/confirm", `{"id":-1}`, "", ""},
		{"POST", "/admin/order/confirm", `{"id":77}`, "", ""},
		{"PUT", "/admin/order/confirm", `{"id":77,"x":"` + strings.Repeat("x", maxNoticed) + `"}`, "", ""},
		{"PUT", "/user/order/cancel/x", "", "", ""},
	} {
		*closed = nil
		answer = c.answer
		if answer == "" {
			answer = `{"code":1,"msg":null,"data":null}`
		}
		if _, text := call1(t, c.method, base+c.path, c.body); text != answer || got != c.body {
			t.Errorf("%s %s: answered %q, and the backend got %.40q", c.method, c.path, text, got)
		}
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		if !slices.Equal(*closed, want) {
			t.Errorf("%s %s %.40s: noticed %v, want %v", c.method, c.path, c.body, *closed, want)
		}
	}
	*closed, answer, status = nil, `{"code":1}`, http.StatusInternalServerError
	if call1(t, "PUT", base+"/admin/order/confirm", `{"id":77}`); len(*closed) > 0 {
		t.Errorf("a failure was noticed: %v", *closed)
	}
}
