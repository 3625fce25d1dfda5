package e2e

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/go-rod/rod"
	"github.com/go-rod/rod/lib/launcher"
	"github.com/go-rod/rod/lib/launcher/flags"
	"github.com/go-rod/rod/lib/proto"
)

var (
	browserOnce sync.Once
	browser     *rod.Browser
	chromium    *launcher.Launcher
)

// openBrowser starts Debian's Chromium once for the package.
func openBrowser(t *testing.T) *rod.Browser {
	t.Helper()
	bin := need(t, "chromium")
	browserOnce.Do(func() {
		chromium = launcher.New().Bin(bin).Leakless(false).HeadlessNew(true).NoSandbox(true)
		for _, f := range []string{
			"disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync",
		} {
			chromium.Set(flags.Flag(f))
		}
		// A name that is no loopback address: its pages are on plain http as in a shop.
		chromium.Set("host-resolver-rules", "MAP shop.test 127.0.0.1")
		url, err := chromium.Launch()
		if err != nil {
			t.Fatalf("start chromium: %v", err)
		}
		browser = rod.New().ControlURL(url)
		if err := browser.Connect(); err != nil {
			t.Fatalf("connect to chromium: %v", err)
		}
	})
	if browser == nil {
		t.Fatal("chromium did not start")
	}
	return browser
}

func stopBrowser() {
	if browser != nil {
		_ = browser.Close() // the process is ended next
		chromium.Kill()
		chromium.Cleanup()
	}
}

// counting runs before the page's own scripts: it counts what a person would
// see and hear.
const counting = `window.counted = {shown: [], heard: [], said: [], rings: [], changes: 0, errors: [], tones: 0};
document.addEventListener('doorbell', (e) => {
  const d = e.detail;
  if (d.shown) counted.shown.push(d.shown.shopId + ':' + d.shown.seq + ':' + d.shown.type);
  else if (d.heard) {
    counted.heard.push(d.heard + ':' + d.alert.seq);
    counted.rings.push({at: Date.now(), gain: d.gain, quiet: d.quiet});
  }
});
const dial = window.WebSocket;
window.WebSocket = class extends dial { constructor(...a) { super(...a); counted.dialAt ||= Date.now(); } };
new MutationObserver(() => {
  const open = document.querySelectorAll('#open .alert').length;
  if (open !== counted.open) { counted.open = open; if (open === 0) counted.silentAt = Date.now(); }
}).observe(document, {subtree: true, childList: true});
new MutationObserver(() => {
  const state = document.getElementById('link')?.dataset.state;
  if (state !== counted.state) { counted.state = state; counted.changes++; counted.changedAt = Date.now(); }
  if (!counted.liveAt && document.getElementById('link')?.dataset.state === 'open') counted.liveAt = Date.now();
}).observe(document, {subtree: true, attributes: true, attributeFilter: ['data-state']});
document.addEventListener('securitypolicyviolation', (e) => counted.errors.push('policy: ' + e.violatedDirective + ' ' + e.blockedURI));
window.addEventListener('error', (e) => counted.errors.push(String(e.message)));
window.addEventListener('unhandledrejection', (e) => counted.errors.push(String(e.reason)));
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (...a) { counted.tones++; counted.lastTone = Date.now(); return start.apply(this, a); };`

// counted is what the page counted.
type counted struct {
	Shown, Heard, Errors []string
	Rings                []struct {
		At    int64
		Gain  float64
		Quiet bool
	}
	Tones    int
	LastTone int64 // ms
	DialAt   int64 // ms: the first WebSocket
	LiveAt   int64 // ms
	SilentAt int64 // ms: the last open alert went
}

// page is one tab.
type page struct {
	*rod.Page
	t       *testing.T
	profile *rod.Browser
}

// openPage opens a tab in a browser profile of its own.
func openPage(t *testing.T, url string) *page {
	t.Helper()
	private, err := openBrowser(t).Incognito()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = private.Close() })
	return openTab(t, private, url)
}

// tab opens another tab of the same profile.
func (p *page) tab(url string) *page {
	p.t.Helper()
	return openTab(p.t, p.profile, url)
}

func openTab(t *testing.T, profile *rod.Browser, url string) *page {
	t.Helper()
	p, err := profile.Page(proto.TargetCreateTarget{URL: "about:blank"})
	if err != nil {
		t.Fatal(err)
	}
	p = p.Timeout(3 * within)
	if _, err := p.EvalOnNewDocument(counting); err != nil {
		t.Fatal(err)
	}
	if err := (proto.NetworkSetExtraHTTPHeaders{Headers: proto.NetworkHeaders{}}).Call(p); err != nil {
		t.Fatal(err)
	}
	out := &page{Page: p, t: t, profile: profile}
	out.size(1280, 800)
	if err := p.Navigate(url); err != nil {
		t.Fatal(err)
	}
	return out
}

func (p *page) size(width, height int) {
	p.t.Helper()
	if err := p.SetViewport(&proto.EmulationSetDeviceMetricsOverride{Width: width, Height: height, DeviceScaleFactor: 1}); err != nil {
		p.t.Fatal(err)
	}
}

// dark asks for the dark scheme.
func (p *page) dark() {
	p.t.Helper()
	scheme := &proto.EmulationMediaFeature{Name: "prefers-color-scheme", Value: "dark"}
	if err := (proto.EmulationSetEmulatedMedia{Features: []*proto.EmulationMediaFeature{scheme}}).Call(p); err != nil {
		p.t.Fatal(err)
	}
}

// counts reads what was counted so far.
func (p *page) counts() (c counted) {
	p.t.Helper()
	res, err := p.Eval(`() => window.counted`)
	if err != nil {
		return c
	}
	if err := res.Value.Unmarshal(&c); err != nil {
		p.t.Fatal(err)
	}
	return c
}

// js evaluates an expression to a string.
func (p *page) js(expression string) string {
	res, err := p.Eval(`() => String(` + expression + `)`)
	if err != nil {
		return ""
	}
	return res.Value.Str()
}

func (p *page) click(selector string) {
	p.t.Helper()
	_, err := p.Activate() // a tab behind another draws nothing, and is waited for in vain
	if err != nil {
		p.t.Fatal(err)
	}
	el, err := p.Element(selector)
	if err == nil {
		err = el.Click(proto.InputMouseButtonLeft, 1)
	}
	if err != nil {
		p.t.Fatalf("click %s: %v", selector, err)
	}
}

// waitLink waits until the console is connected over the transport.
func (p *page) waitLink(transport string) {
	p.t.Helper()
	p.t.Cleanup(func() {
		if p.t.Failed() {
			p.t.Logf("the link says %s", p.js(`JSON.stringify(document.getElementById("link")?.dataset)`))
		}
	})
	eventually(p.t, "connected over "+transport, func() bool {
		return p.js(`document.getElementById('link')?.dataset.state + ' ' + document.getElementById('link')?.dataset.transport`) == "open "+transport
	})
}

// soundOn presses the button and waits for the test tone.
func (p *page) soundOn() {
	p.t.Helper()
	p.click("#sound")
	eventually(p.t, "the test tone played", func() bool { return p.js(`document.getElementById('muted').hidden`) == "true" && p.counts().Tones >= 3 })
}

// shot keeps a picture for people to look at.
func (p *page) shot(name string) {
	p.t.Helper()
	dir := "shots"
	if err := os.MkdirAll(dir, 0o750); err != nil {
		p.t.Fatal(err)
	}
	png, err := p.Screenshot(false, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		p.t.Fatal(err)
	}
}
