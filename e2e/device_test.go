package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/go-rod/rod/lib/proto"
)

var pairLink = regexp.MustCompile(`http\S+#pair=\S+`)

// TestPairing: a link is used once on a tablet, which stays signed in until it is
// revoked; an app's built-in browser does not use the link up.
func TestPairing(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.stop(15)
	s.env = []string{"DOORBELL_SERVER_PUBLIC_URL=" + strings.TrimSuffix(s.base, "/"), "DOORBELL_SHOPS=[{id: 1, name: 总店}]"}
	s.start()
	out := s.run("pair", "--shop", "1", "--name", "厨房平板")
	link := pairLink.FindString(out)
	if link == "" || strings.Count(out, "▀") < 50 {
		t.Fatalf("pair printed no link or no code:\n%s", out)
	}
	app := openPage(t, "about:blank")
	agent := "Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 Chrome/110 Mobile Safari/537.36 MicroMessenger/8.0.44"
	if err := app.SetUserAgent(&proto.NetworkSetUserAgentOverride{UserAgent: agent}); err != nil {
		t.Fatal(err)
	}
	if err := app.Navigate(strings.Replace(link, "#", "?lang=zh#", 1)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the app's browser is told to open a real one", func() bool {
		return strings.Contains(app.js(`document.querySelector('#pair .hint').textContent`), "在浏览器打开") && app.js(`document.querySelector('#pair button').hidden`) == "true"
	})
	tablet := openPage(t, strings.Replace(link, "#", "?lang=zh#", 1))
	tablet.size(820, 1180)
	eventually(t, "the tablet names the shop", func() bool {
		return strings.Contains(tablet.js(`document.querySelector('#pair .big').textContent`), "总店")
	})
	if at := tablet.js(`location.href`); strings.Contains(at, "pair=") {
		t.Errorf("the address bar still has %s", at)
	}
	if n := s.connected(s.token("console", "--shops", "1")); n != 0 {
		t.Errorf("%d consoles before anybody pressed", n)
	}
	tablet.shot("pairing")
	tablet.click("#pair button")
	tablet.waitLink("websocket")
	tablet.MustNavigate(s.base)
	tablet.waitLink("websocket")
	second := openPage(t, link)
	eventually(t, "a used link says what makes another", func() bool {
		return second.js(`document.getElementById('sign-in').hidden`) == "false" && strings.Contains(second.js(`document.getElementById('sign-in-hint').textContent`), "doorbell pair")
	})

	owner := openPage(t, s.link())
	owner.waitLink("websocket")
	owner.click("#devices")
	eventually(t, "the owner sees the device", func() bool {
		return strings.Contains(owner.js(`document.getElementById('devices-dialog').textContent`), "厨房平板")
	})
	owner.shot("devices")
	eventually(t, "the tablet keeps its shell", func() bool {
		return tablet.js(`navigator.serviceWorker.controller !== null`) == "true"
	})
	owner.click("#devices-dialog li button")
	eventually(t, "the tablet is signed out", func() bool { return tablet.js(`document.getElementById('sign-in').hidden`) == "false" })
	eventually(t, "its worker is gone", func() bool {
		res, err := tablet.Eval(`async () => String((await navigator.serviceWorker.getRegistrations()).length)`)
		return err == nil && res.Value.Str() == "0"
	})
}

// TestLinkAsksBeforeItReplaces: a link for another shop, opened in a signed-in
// browser, asks first, with both shops' names from the server, and is not used
// before the press; a link for the same shop does not ask.
func TestLinkAsksBeforeItReplaces(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.stop(15)
	s.env = append(s.env, "DOORBELL_SHOPS=[{id: 1, name: 总店}, {id: 2, name: 分店}]")
	s.start()
	linkFor := func(shop string) string {
		return strings.Replace(strings.TrimSpace(s.run("link", "--shops", shop)), "#", "?lang=zh#", 1)
	}
	p := openPage(t, linkFor("1"))
	p.waitLink("websocket")
	again, other := linkFor("1"), linkFor("2")
	visit := func(link string) {
		p.MustNavigate("about:blank") // or a fragment alone would change
		p.MustNavigate(link)
	}
	visit(again)
	p.waitLink("websocket")
	for _, press := range []struct{ button, shop string }{{"#switch-no", "总店"}, {"#switch-yes", "分店"}} {
		visit(other)
		eventually(t, "the page asks", func() bool { return p.js(`document.getElementById('switch').hidden`) == "false" })
		asked := p.js(`document.getElementById('switch').textContent`)
		if !strings.Contains(asked, "当前登录：总店") || !strings.Contains(asked, "链接指向：分店") {
			t.Errorf("it asks: %s", asked)
		}
		if at := p.js(`location.href`); strings.Contains(at, "ticket=") {
			t.Errorf("the address bar still has %s", at)
		}
		p.shot("switch")
		p.click(press.button)
		p.waitLink("websocket")
		eventually(t, "the page is "+press.shop+"'s", func() bool {
			res, err := p.Eval(`async () => (await (await fetch('api/v1/me')).json()).shops[0].name`)
			return err == nil && res.Value.Str() == press.shop
		})
	}
}

// TestPushOnAClosedTab: the worker shows a push if no page is visible, and removes
// it after the alert that closes it.
func TestPushOnAClosedTab(t *testing.T) {
	s := startServer(t)
	p := openPage(t, s.link())
	p.waitLink("websocket")
	if err := (proto.BrowserGrantPermissions{
		Permissions: []proto.BrowserPermissionType{proto.BrowserPermissionTypeNotifications}, Origin: strings.TrimSuffix(s.base, "/"), BrowserContextID: p.profile.BrowserContextID,
	}).Call(p.profile); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the worker is active", func() bool {
		return p.js(`navigator.serviceWorker.controller !== null`) == "true"
	})
	if faults, err := (proto.PageGetInstallabilityErrors{}).Call(p); err != nil || len(faults.InstallabilityErrors) > 1 || len(faults.InstallabilityErrors) == 1 && faults.InstallabilityErrors[0].ErrorID != "in-incognito" {
		t.Errorf("the page can't be installed: %+v, %v", faults, err)
	}
	worker := p.worker(s.base)
	other := p.tab("about:blank") // the console is behind it
	if _, err := other.Activate(); err != nil {
		t.Fatal(err)
	}
	push := func(alertType int) string {
		return worker(fmt.Sprintf(`(async () => {
			const data = JSON.stringify({type: %d, shopId: 1, source: 'order', orderId: 7, seq: %d, content: '订单号: 7'});
			const e = new PushEvent('push', {data});
			const waits = [];
			e.waitUntil = (p) => waits.push(p);
			self.dispatchEvent(e);
			await Promise.all(waits);
			return (await registration.getNotifications()).map((n) => n.title + '|' + n.body).join(';');
		})()`, alertType, alertType))
	}
	eventually(t, "the worker shows an order", func() bool { return push(1) == "New order|Order 7" })
	if got := push(2); got != "Customer is waiting|Order 7" {
		t.Errorf("after a reminder of the same order: %q, want it alone", got)
	}
	if got := push(3); got != "✓|Order 7" {
		t.Errorf("after the alert that closes it: %q", got)
	}
	if _, err := p.Activate(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is shown where the page is looked at", func() bool { return push(1) == "✓|Order 7" })
}

// worker returns a function that evaluates in a site's service worker.
func (p *page) worker(base string) func(expression string) string {
	p.t.Helper()
	var session proto.TargetSessionID
	eventually(p.t, "the worker is a target", func() bool {
		targets, err := proto.TargetGetTargets{}.Call(p.profile)
		if err != nil {
			return false
		}
		for _, target := range targets.TargetInfos {
			if target.Type == "service_worker" && strings.HasPrefix(target.URL, base) {
				attached, err := proto.TargetAttachToTarget{TargetID: target.TargetID, Flatten: true}.Call(p.profile)
				if err == nil {
					session = attached.SessionID
					return true
				}
			}
		}
		return false
	})
	return func(expression string) string {
		raw, err := p.profile.Call(p.GetContext(), string(session), "Runtime.evaluate", proto.RuntimeEvaluate{Expression: expression, AwaitPromise: true, ReturnByValue: true})
		if err != nil {
			return err.Error()
		}
		var answer struct {
			Result struct {
				Value string `json:"value"`
			} `json:"result"`
			Exception any `json:"exceptionDetails"`
		}
		if err := json.Unmarshal(raw, &answer); err != nil {
			return err.Error()
		}
		if answer.Exception != nil {
			return fmt.Sprint(answer.Exception)
		}
		return answer.Result.Value
	}
}

// TestDoctor: the page explains what each transport does, and how to repair it.
func TestDoctor(t *testing.T) {
	t.Parallel()
	s := startServer(t, "DOORBELL_SERVER_TRUSTED_PROXIES=", "DOORBELL_PAY_TRIAL=true")
	pass := `proxy_pass http://doorbell; proxy_set_header Host $http_host;`
	for i, c := range []struct {
		name, base string
		want       map[string]string
	}{
		{"direct", s.base, map[string]string{"websocket": "ok", "sse": "ok", "held": "ok", "poll": "ok", "idle": "ok"}},
		{"nginx without Upgrade", startNginx(t, s.addr, `location / { `+pass+` }`), map[string]string{"websocket": "warn", "sse": "ok", "poll": "ok"}},
		{"nginx that buffers", startNginx(t, s.addr, `location / { `+pass+` proxy_ignore_headers X-Accel-Buffering; }`), map[string]string{"websocket": "warn", "sse": "warn", "poll": "ok"}},
		{"nginx that cuts after 5 s", startNginx(t, s.addr, `location / { `+pass+` proxy_read_timeout 5s; }`), map[string]string{"sse": "ok", "idle": "warn"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := openPage(t, strings.Replace(s.link(), s.base, c.base, 1))
			eventually(t, "signed in", func() bool { return p.js(`document.getElementById('board').hidden`) == "false" })
			p.MustNavigate(c.base + "doctor")
			// Each step is listed from the beginning, and shows its result while the
			// next one runs.
			eventually(t, "the steps are there", func() bool { return p.js(`document.querySelectorAll('#checks li').length`) == "8" })
			eventually(t, "the first finding, while it looks on", func() bool {
				return p.js(`document.querySelector('[data-check=answer]')?.className`) == "ok" && p.js(`document.getElementById('again').disabled`) == "true"
			})
			eventually(t, "a step that runs", func() bool { return p.js(`document.querySelector('[data-check=idle]')?.className`) == "running" })
			eventually(t, "the doctor is done", func() bool { return p.js(`document.getElementById('again').disabled`) == "false" })
			for check, want := range c.want {
				if got := p.js(fmt.Sprintf(`document.querySelector('[data-check=%s]')?.className`, check)); got != want {
					t.Errorf("%s is %q, want %q: %s", check, got, want, p.js(fmt.Sprintf(`document.querySelector('[data-check=%s]')?.textContent`, check)))
				}
			}
			if hidden := p.js(`document.getElementById('cures').hidden`); hidden != fmt.Sprint(c.name == "direct") {
				t.Errorf("the cures are hidden: %s", hidden)
			}
			p.shot(fmt.Sprintf("doctor-%d", i))
			if errs := p.counts().Errors; len(errs) != 0 {
				t.Errorf("errors on the page: %v", errs)
			}
		})
	}
}

// foreign returns page texts in the wrong language: any Chinese on an English
// page, two English words in a row on a Chinese one. The shop's own texts,
// commands, and proxy settings are exempt.
func (p *page) foreign(language string) string {
	return p.js(`(() => {
		const texts = [document.title];
		for (const el of document.querySelectorAll('body *')) {
			if (el.closest('[hidden], .detail, pre, code, option, #version') || el.closest('dialog:not([open])')) continue;
			for (const n of el.childNodes) if (n.nodeType === Node.TEXT_NODE) texts.push(n.data);
			for (const a of ['aria-label', 'placeholder', 'title', 'alt']) texts.push(el.getAttribute(a) ?? '');
		}
		const other = '` + language + `' === 'en' ? /\p{Script=Han}/u : /[a-z]{2,} [a-z]{2,}/i;
		return texts.filter((text) => other.test(text.replace(/doorbell \w+( --\w+ \S+)*/g, ''))).join('\n');
	})()`)
}

// TestAccessibility: axe finds nothing on any screen, in both languages, light
// and dark.
func TestAccessibility(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile("../tools/web/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("%v: npm ci in tools/web installs it", err)
	}
	s := startServer(t)
	s.run("simulate", "--pause", "100ms")
	for _, language := range []string{"zh", "en"} {
		for _, dark := range []bool{false, true} {
			check := func(p *page, screen string) {
				t.Helper()
				p.size(360, 780)
				if wide := p.js(`Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)`); wide != "0" {
					t.Errorf("%s, %s: a phone's page is %s px too wide", screen, language, wide)
				}
				p.size(1280, 800)
				if found := p.foreign(language); found != "" {
					t.Errorf("%s, %s: texts of another language:\n%s", screen, language, found)
				}
				if dark {
					p.dark()
				}
				if _, err := p.Eval(`(code) => { if (!window.axe) (0, eval)(code); }`, string(axe)); err != nil {
					t.Fatal(err)
				}
				res, err := p.Eval(`async () => (await axe.run(document, {resultTypes: ['violations']})).violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.target.join(' ') + ' ' + n.failureSummary).join('; ')).join('\n')`)
				if err != nil {
					t.Fatal(err)
				}
				if found := res.Value.Str(); found != "" {
					t.Errorf("%s, %s, dark %v:\n%.1500s", screen, language, dark, found)
				}
			}
			p := openPage(t, strings.Replace(s.link(), "#", "?lang="+language+"#", 1))
			if err := (proto.PageSetBypassCSP{Enabled: true}).Call(p); err != nil { // for axe alone; the pages run under theirs in all other tests
				t.Fatal(err)
			}
			p.MustReload()
			p.waitLink("websocket")
			eventually(t, "the alerts are shown", func() bool { return len(p.counts().Shown) == 2 })
			check(p, "ringing")
			p.click("#history summary")
			check(p, "details")
			p.click("#settings")
			check(p, "settings")
			p.click("#settings-dialog > .primary")
			p.click("#devices")
			check(p, "devices")
			p.MustNavigate(s.base + "doctor?lang=" + language)
			eventually(t, "the doctor began", func() bool { return p.js(`document.getElementById('title').textContent`) != "" })
			check(p, "doctor")
			p.MustNavigate(s.base + "ledger?lang=" + language)
			eventually(t, "the ledger is read", func() bool { return p.js(`document.getElementById('sum').childElementCount`) == "9" })
			check(p, "ledger")
			p.MustNavigate(s.base + "docs?lang=" + language)
			p.js(`document.querySelectorAll('details').forEach((d) => { d.open = true; })`)
			check(p, "docs")
			p.MustNavigate(s.base + "?lang=" + language)
			p.waitLink("websocket")
			p.click("#sign-out")
			eventually(t, "signed out", func() bool { return p.js(`document.getElementById('sign-in').hidden`) == "false" })
			check(p, "sign-in")
		}
	}
}
