package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
		// A name that is not a loopback address: its pages use plain http, as in a
		// shop.
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
		_ = browser.Close() // the process is killed next
		chromium.Kill()
		chromium.Cleanup()
	}
}

// counting runs before the page's own scripts: it counts what a person would see
// and hear.
const counting = `window.counted = {shown: [], heard: [], said: [], rings: [], changes: 0, errors: [], tones: 0};
document.addEventListener('doorbell', (e) => {
  const d = e.detail;
  if (d.shown) counted.shown.push(d.shown.shopId + ':' + d.shown.seq + ':' + d.shown.type);
  else if (d.heard) {
    counted.heard.push(d.heard + ':' + d.alert.seq);
    counted.rings.push({at: Date.now(), gain: d.gain, quiet: d.quiet, seqs: d.alerts.map((a) => a.seq)});
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

// counted is what counting has recorded.
type counted struct {
	Shown, Heard, Errors []string
	Rings                []struct {
		At    int64
		Gain  float64
		Quiet bool
		Seqs  []int // of the alerts that it told of
	}
	Tones    int
	LastTone int64 // ms
	DialAt   int64 // ms: the first WebSocket
	LiveAt   int64 // ms
	SilentAt int64 // ms: the last open alert went
}

// told reports whether rings have covered these alerts.
func (c counted) told(seqs ...int) bool {
	for _, seq := range seqs {
		heard := false
		for _, r := range c.Rings {
			heard = heard || slices.Contains(r.Seqs, seq)
		}
		if !heard {
			return false
		}
	}
	return true
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

// dark selects the dark colour scheme.
func (p *page) dark() {
	p.t.Helper()
	scheme := &proto.EmulationMediaFeature{Name: "prefers-color-scheme", Value: "dark"}
	if err := (proto.EmulationSetEmulatedMedia{Features: []*proto.EmulationMediaFeature{scheme}}).Call(p); err != nil {
		p.t.Fatal(err)
	}
}

// counts returns what was counted so far.
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
	_, err := p.Activate() // a background tab draws nothing, so waiting for it never ends
	if err != nil {
		p.t.Fatal(err)
	}
	el, err := p.Element(selector)
	if err == nil {
		err = el.ScrollIntoView()
	}
	p.frame() // what is far off the screen has no size before it is drawn (content-visibility)
	if err == nil {
		err = el.Click(proto.InputMouseButtonLeft, 1)
	}
	if err != nil {
		p.t.Fatalf("click %s: %v", selector, err)
	}
}

// frame waits until the page has painted: a press is judged by the frame that was
// visible.
func (p *page) frame() {
	p.t.Helper()
	if _, err := p.Eval(`() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))`); err != nil {
		p.t.Fatal(err)
	}
}

// cards returns the number of orders on the board.
func (p *page) cards() int {
	n, err := strconv.Atoi(p.js(`document.querySelectorAll('#open .alert').length`))
	if err != nil {
		return -1
	}
	return n
}

// accept presses the oldest order's button until the press counts: a press on a
// card that has just appeared does not.
func (p *page) accept() {
	p.t.Helper()
	pending := `document.querySelectorAll('#open .alert.pending').length`
	before := p.js(pending)
	eventually(p.t, "the press counts", func() bool {
		p.click("#open .alert:not(.pending) .accept")
		p.frame()
		return p.js(pending) > before
	})
}

// undo takes the accept back once the button is enabled.
func (p *page) undo() {
	p.t.Helper()
	eventually(p.t, "it was undone", func() bool {
		p.click("#open .alert .undo")
		p.frame()
		return p.js(`document.querySelectorAll('#open .alert.pending').length`) == "0"
	})
}

// stopWorkers stops the page's service worker, as the browser does with an idle one.
func (p *page) stopWorkers() {
	p.t.Helper()
	err := proto.ServiceWorkerEnable{}.Call(p)
	if err == nil {
		err = proto.ServiceWorkerStopAllWorkers{}.Call(p)
	}
	if err != nil {
		p.t.Fatal(err)
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

// shot saves a screenshot for people.
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
