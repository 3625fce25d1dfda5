package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// foreignPage is a shop's own page that uses client.js.
const foreignPage = `<!doctype html><title>own page</title><script type="module">
import { connect } from '%[1]sclient.js';
window.got = []; window.states = [];
connect({ url: '%[1]s', getToken: () => '%[2]s', transports: ['%[3]s'], storageKey: null,
  onAlert: (a) => got.push(a.seq), onState: (s) => states.push(s.state + ' ' + s.transport) });
</script>`

// TestClientOnAnotherOrigin: a page of another origin and port follows with its
// own token, over WebSocket and fetch, through a server restart.
func TestClientOnAnotherOrigin(t *testing.T) {
	for _, transport := range []string{"websocket", "sse", "poll"} {
		t.Run(transport, func(t *testing.T) {
			var html string
			other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				_, _ = w.Write([]byte(html)) // the browser may have left
			}))
			t.Cleanup(other.Close)
			s := startServer(t, "DOORBELL_AUTH_ORIGINS="+other.URL)
			html = fmt.Sprintf(foreignPage, s.base, s.token("console", "--shops", "1", "--sub", "own-page"), transport)
			p := openPage(t, other.URL)
			open := func() {
				t.Helper()
				eventually(t, "the page is connected", func() bool { return strings.HasSuffix(p.js(`window.states.join()`), "open "+transport) })
			}
			open()
			s.run("simulate", "--pause", "10ms")
			eventually(t, "two alerts", func() bool { return p.js(`window.got.join()`) == "1,2" })
			s.stop(15)
			eventually(t, "offline", func() bool { return !strings.HasSuffix(p.js(`window.states.join()`), "open "+transport) })
			s.start()
			s.run("simulate", "--pause", "0s")
			eventually(t, "the alert after the restart", func() bool { return p.js(`window.got.join()`) == "1,2,3" })
			open()
			if errs := p.counts().Errors; len(errs) > 0 {
				t.Errorf("errors on the page: %v", errs)
			}
		})
	}
}

// TestNativeEventSource uses the browser's own EventSource, which resumes by
// itself.
func TestNativeEventSource(t *testing.T) {
	s := startServer(t)
	p := openPage(t, s.link())
	p.waitLink("websocket")
	if _, err := p.Eval(`() => { window.ids = []; const es = new EventSource('/events/till-1?after=0');
		es.onmessage = (e) => ids.push(JSON.parse(e.data).seq + '=' + e.lastEventId.split(':').pop()); }`); err != nil {
		t.Fatal(err)
	}
	s.run("simulate", "--pause", "10ms")
	eventually(t, "two events with their ids", func() bool { return p.js(`window.ids.join()`) == "1=1,2=2" })
	s.stop(15)
	s.start()
	s.run("simulate", "--pause", "0s")
	eventually(t, "the event after the restart, and none twice", func() bool { return p.js(`window.ids.join()`) == "1=1,2=2,3=3" })
	eventually(t, "the log names the sid", func() bool { return strings.Contains(s.log.String(), "sid=till-1 transport=sse") })
}

// TestCurl runs the README's curl command.
func TestCurl(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	var out output
	curl := exec.Command(need(t, "curl"), "-sN", "-H", "Authorization: Bearer "+s.token("console", "--shops", "1"), s.base+"events?after=0")
	curl.Stdout = &out
	if err := curl.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = curl.Process.Kill() // it may have ended by itself
		_ = curl.Wait()
	})
	eventually(t, "hello", func() bool { return strings.Contains(out.String(), "event: hello\n\n") })
	s.run("simulate", "--pause", "10ms")
	eventually(t, "the order and the reminder", func() bool {
		got := out.String()
		return strings.Contains(got, `data: {"type":1,"orderId":1,"content":"订单号: `) && strings.Contains(got, `data: {"type":2,"orderId":1,`) &&
			strings.Contains(got, `"test":true}`)
	})
}

// TestWatch follows with doorbell watch through a restart.
func TestWatch(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"ws", "sse", "poll"} {
		t.Run(transport, func(t *testing.T) {
			s := startServer(t)
			var out output
			watch := exec.Command(binary, "watch", "--transport", transport)
			watch.Dir, watch.Env, watch.Stdout = s.dir, s.environ(), &out
			if err := watch.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = watch.Process.Signal(os.Interrupt) // it may have ended by itself
				_ = watch.Wait()
			})
			eventually(t, "connected", func() bool { return strings.Contains(s.log.String(), "sub=watch") })
			s.run("simulate", "--pause", "0s")
			eventually(t, "the order", func() bool { return strings.Contains(out.String(), "shop 1 #1  来单提醒") })
			s.stop(15)
			s.start()
			s.run("simulate", "--pause", "0s")
			eventually(t, "the order after the restart", func() bool { return strings.Contains(out.String(), "shop 1 #2  来单提醒") })
			if n := strings.Count(out.String(), "来单提醒"); n != 2 {
				t.Errorf("%d orders shown, want each once:\n%s", n, &out)
			}
		})
	}
}

// TestDemo opens the demonstration page over each transport.
func TestDemo(t *testing.T) {
	s := startServer(t)
	p := openPage(t, s.link())
	p.waitLink("websocket")
	if err := p.Navigate(s.base + "demo"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the page is there", func() bool {
		return p.js(`document.readyState === 'complete' && document.getElementById('transport') !== null`) == "true"
	})
	lines := func(want string) {
		t.Helper()
		eventually(t, "the page shows "+want, func() bool { return strings.Contains(p.js(`document.getElementById('lines').textContent`), want) })
	}
	for i, transport := range []string{"websocket", "sse", "poll"} {
		if _, err := p.Eval(`(v) => { const s = document.getElementById('transport'); s.value = v; s.dispatchEvent(new Event('change')); document.getElementById('lines').replaceChildren(); }`, transport); err != nil {
			t.Fatal(err)
		}
		p.click("#connect")
		lines("连接成功")
		if transport == "websocket" {
			p.MustElement("#text").MustInput("你好，厨房")
			p.click("#send")
			lines(`{"event":"received","bytes":15}`)
			eventually(t, "the log has its sid and length", func() bool {
				return strings.Contains(s.log.String(), `msg="client message"`) && strings.Contains(s.log.String(), "bytes=15")
			})
			if strings.Contains(s.log.String(), "你好") {
				t.Error("the log has the text, which log.client_text did not ask for")
			}
		} else if p.js(`document.getElementById('send').disabled`) != "true" || !strings.Contains(p.js(`document.getElementById('why').textContent`), "nothing to send on") {
			t.Errorf("%s: the send button is on, or does not say why it is off", transport)
		}
		s.run("simulate", "--pause", "0s")
		lines(fmt.Sprintf(`"seq":%d`, i+1))
		p.shot("demo-" + transport)
		p.click("#close")
		lines("连接已关闭")
	}
}

// TestPlainPage opens, from disk, a page that makes the tutorial's calls.
func TestPlainPage(t *testing.T) {
	s := startServer(t, "DOORBELL_SKY_OPEN=true", "DOORBELL_AUTH_ORIGINS=null", "DOORBELL_LOG_CLIENT_TEXT=true",
		"DOORBELL_ANNOUNCE_CRON=0/1 * * * * ?", "DOORBELL_ANNOUNCE_PLAIN=true")
	eventually(t, "the start warns", func() bool { return strings.Contains(s.log.String(), "sky.open admits anybody") })
	plain, err := os.ReadFile("testdata/plain.html")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "websocket.html")
	page := strings.Replace(string(plain), "localhost:8080", s.addr, 1)
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	p := openPage(t, "file://"+file)
	shows := func(want string) {
		t.Helper()
		eventually(t, "the page shows "+want, func() bool { return strings.Contains(p.js(`document.getElementById('seen').textContent`), want) })
	}
	shows("已连接")
	shows("这是来自服务端的消息: ")
	s.run("simulate", "--pause", "0s")
	shows(`"type":1,"orderId":1,"content":"订单号: `)
	p.MustElement("#words").MustInput("hi")
	p.MustElement("#say").MustClick()
	eventually(t, "what it sent is logged, quoted", func() bool { return strings.Contains(s.log.String(), `bytes=2 text="\"hi\""`) })
	p.MustElement("#leave").MustClick()
	shows("已断开")
	eventually(t, "the close is clean", func() bool { return strings.Contains(s.log.String(), "code=1005 reason=gone") })
	if text := p.js(`document.getElementById('seen').textContent`); strings.Contains(text, "出错") || strings.Contains(text, "hello") {
		t.Errorf("the page shows %s", text)
	}
}
