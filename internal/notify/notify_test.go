package notify

import (
	"context"
	"io"
	"mime/quotedprintable"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Made with openssl: printf '1790000000000\nSECRET-SIGN' | openssl dgst -sha256
// -hmac SECRET-SIGN -binary | base64, and of nothing by the key of two lines.
const (
	dingtalkSign = "eUAmc5FbagdiSCmmMA5EBLZkz5WLT5HLVO2Yd7HECK8="
	feishuSign   = "ob3ppLPgMdCS8tkEv4bG1H85W8twIQTYv62cLhYUGZU="
)

func open1(t *testing.T, address string) *Channel {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	c, err := New(address, client)
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	c.now = func() time.Time { return time.Unix(1790000000, 0) }
	t.Cleanup(client.CloseIdleConnections)
	return c
}

// good are the addresses that the players take, of each service.
func good(api string) map[string]string {
	return map[string]string{
		"wecom":    "wecom://SECRET-KEY?api=" + api,
		"dingtalk": "dingtalk://SECRET-TOKEN?secret=SECRET-SIGN&api=" + api,
		"feishu":   "feishu://SECRET-TOKEN?secret=SECRET-SIGN&api=" + api,
		"telegram": "telegram://123456:SECRET-TOKEN@-100200?api=" + api,
		"bark":     "bark://SECRET-KEY@api.day.app?api=" + api,
		"ntfy":     "ntfy://SECRET-TOKEN@ntfy.sh/kitchen?api=" + api,
	}
}

// TestServices take a message as each wants it, signed where it is.
func TestServices(t *testing.T) {
	p := newPlayer(t)
	for name, address := range good(p.url) {
		p.mu.Lock()
		p.got = nil
		p.mu.Unlock()
		if err := open1(t, address).Send(t.Context(), Message{Title: "无人接单", Text: "订单 A-1 已响 60 秒"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := name + " | 无人接单\n订单 A-1 已响 60 秒"
		if name == "bark" || name == "ntfy" {
			want = name + " | 无人接单 | 订单 A-1 已响 60 秒"
		}
		if diff := cmp.Diff([]string{want}, p.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestRefusals are errors, whatever the service's way to say no, and hold nothing
// that is secret; nor does an answer that is no service's count as taken.
func TestRefusals(t *testing.T) {
	p := newPlayer(t)
	for name, address := range good(p.url) {
		wrong := open1(t, strings.NewReplacer("SECRET-KEY", "WRONG-KEY", "//SECRET-TOKEN", "//WRONG-KEY", "SECRET-SIGN", "WRONG-KEY", "-100200", "WRONG-KEY").Replace(address))
		for what, c := range map[string]*Channel{"wrong key": wrong, "down": open1(t, address), "redirect": open1(t, address), "not json": open1(t, address)} {
			p.mu.Lock()
			p.status = map[string]int{"wrong key": 0, "down": 503, "redirect": 302, "not json": 200}[what]
			p.mu.Unlock()
			err := c.Send(t.Context(), Message{Title: "t", Text: "x"})
			if err == nil {
				t.Errorf("%s, %s: was taken", name, what)
				continue
			}
			if strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "WRONG-KEY") {
				t.Errorf("%s, %s: shows a secret: %v", name, what, err)
			}
		}
	}
	// Nobody there: Go's own error has the address.
	for name, address := range good("http://127.0.0.1:1") {
		if err := open1(t, address).Send(t.Context(), Message{}); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v, want an error without the address", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := open1(t, good(p.url)["wecom"]).Send(ctx, Message{}); err == nil {
		t.Error("sent though nobody waits")
	}
}

// TestMail: a letter comes with subject and text; a server that refuses is an error.
func TestMail(t *testing.T) {
	box := newMailbox(t, false)
	c := open1(t, "smtp://"+box.addr+"/?tls=none&from=bell@example.com&to=owner@example.com,chef@example.com")
	if err := c.Send(t.Context(), Message{Title: "Nobody accepts", Text: "Order A-1 = has rung for 60 s"}); err != nil {
		t.Fatal(err)
	}
	letter := <-box.letters
	body, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(letter)))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"Subject: Nobody accepts", "Order A-1 = has rung for 60 s", "owner@example.com", "chef@example.com"} {
		if !strings.Contains(string(body), part) {
			t.Errorf("the letter has no %q:\n%s", part, letter)
		}
	}
	refusing := newMailbox(t, true)
	err = open1(t, "smtp://bell:SECRET-WORD@"+refusing.addr+"/?tls=none&from=bell@example.com&to=owner@example.com").Send(t.Context(), Message{Title: "t", Text: "x"})
	if err == nil || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("%v, want an error without the password", err)
	}
}

// TestAddresses that nobody can call are refused, and not shown.
func TestAddresses(t *testing.T) {
	for _, address := range []string{
		"", "SECRET", "http://SECRET", "wecom://", "wecom://SECRET?ap=x", "dingtalk://", "telegram://SECRET@1", "bark://SECRET", "ntfy://SECRET", "ntfy:///SECRET",
		"smtp://SECRET@mail.example.com", "smtp://mail.example.com/?from=a@b&to=SECRET", "smtp://mail.example.com/?from=a@b&to=c@d&tls=SECRET", "wecom://SECRET%zz", "feishu://?secret=SECRET",
	} {
		if _, err := New(address, nil); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: %v, want an error that does not show it", address, err)
		}
	}
	for _, address := range []string{"smtps://u:p@mail.example.com/?to=a@b.c&from=x@y.z", "lark://T", "telegram://1:T@x?chat=@kitchen", "ntfy://ntfy.sh/t"} {
		if _, err := New(address, nil); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestCut(t *testing.T) {
	for text, want := range map[string]string{"短": "短", "一二三四": "一二…", "abcdefghijk": "abcdefg…", "a一二三": "a一二三"} {
		if got := cut(text, 10); got != want {
			t.Errorf("cut %q: %q, want %q", text, got, want)
		}
	}
}
