package e2e

import (
	"strconv"
	"strings"
	"testing"
)

// timing records when the red banner was visible, in ms since the page's start.
const timing = `new MutationObserver(() => {
  const banner = document.getElementById('offline');
  if (banner && !banner.hidden && banner.textContent && !window.redAt) window.redAt = performance.now();
}).observe(document, {subtree: true, childList: true, attributes: true, attributeFilter: ['hidden']});`

// waitShell waits until the worker has cached all files of the page.
func (p *page) waitShell() {
	p.t.Helper()
	p.t.Cleanup(func() {
		if p.t.Failed() {
			res, err := p.Eval(`async () => JSON.stringify(await Promise.all((await caches.keys()).map(async (n) => [n, (await (await caches.open(n)).keys()).length])))`)
			if err == nil {
				p.t.Logf("the worker keeps %s", res.Value.Str())
			}
		}
	})
	eventually(p.t, "the worker controls the page and has a whole set", func() bool {
		res, err := p.Eval(`async () => {
			const set = (await caches.keys()).find((n) => n.startsWith('doorbell-shell '));
			return String(navigator.serviceWorker.controller !== null && set && Boolean(await (await caches.open(set)).match('shell.json')));
		}`)
		return err == nil && res.Value.Str() == "true"
	})
}

// wantAlone checks a page that was opened while the server is away: red within 5
// s, and an alarm after 15 s once sound was turned on.
func (p *page) wantAlone(what string) {
	p.t.Helper()
	eventually(p.t, what+": the page is red", func() bool { return p.js(`window.redAt > 0`) == "true" })
	if at, err := strconv.ParseFloat(p.js(`window.redAt`), 64); err != nil || at > 5000 {
		p.t.Errorf("%s: red after %v ms, want within 5 s (%v)", what, at, err)
	}
	p.click("#sound")
	eventually(p.t, what+": the test tone", func() bool { return p.counts().Tones >= 3 })
	tested := p.counts().Tones
	eventually(p.t, what+": the alarm", func() bool { return p.counts().Tones > tested })
	if at := p.js(`performance.now() > 15000`); at != "true" {
		p.t.Errorf("%s: the alarm came before 15 s", what)
	}
}

// TestOpenedWithoutServer: a page that is loaded while the server is away turns
// red and sounds an alarm, after one visit as after many, and connects by itself
// later.
func TestOpenedWithoutServer(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	p := openPage(t, s.link())
	if _, err := p.EvalOnNewDocument(timing); err != nil {
		t.Fatal(err)
	}
	p.waitLink("websocket")
	p.waitShell()
	for _, visit := range []string{"after the first visit", "after the second"} {
		s.stop(15)
		if err := p.Reload(); err != nil {
			t.Fatal(err)
		}
		p.wantAlone(visit)
		p.shot("opened-without-server")
		s.start()
		p.waitLink("websocket")
		eventually(t, "no banner", func() bool { return p.js(`document.getElementById('offline').hidden`) == "true" })
	}
	s.stop(15)
	second := p.tab("about:blank")
	if _, err := second.EvalOnNewDocument(timing); err != nil {
		t.Fatal(err)
	}
	if err := second.Navigate(s.base); err != nil {
		t.Fatal(err)
	}
	second.wantAlone("a new tab")
	s.start()
	second.waitLink("websocket")
}

// TestHungServerAtOpening: a server that accepts the connection and never answers
// counts as away.
func TestHungServerAtOpening(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	f := newFront(t, s)
	p := openPage(t, f.through(s.link()))
	if _, err := p.EvalOnNewDocument(timing); err != nil {
		t.Fatal(err)
	}
	p.waitLink("websocket")
	p.waitShell()
	f.set(func(f *front) { f.hang = true })
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the page is red", func() bool { return p.js(`window.redAt > 0`) == "true" })
	if at, err := strconv.ParseFloat(p.js(`window.redAt`), 64); err != nil || at > 5000 {
		t.Errorf("red after %v ms, want within 5 s (%v)", at, err)
	}
	f.set(func(f *front) { f.hang = false })
	p.waitLink("websocket")
}

// TestBeforeSignIn: the page before sign-in turns red and sounds as the board
// does.
func TestBeforeSignIn(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	p := openPage(t, s.base)
	eventually(t, "the sign-in form", func() bool { return p.js(`document.getElementById('sign-in').hidden`) == "false" })
	p.click("#sound")
	eventually(t, "the test tone", func() bool { return p.counts().Tones >= 3 })
	if p.js(`document.getElementById('muted').hidden`) != "true" {
		t.Error("the form is red about sound")
	}
	tested := p.counts().Tones
	s.stop(15)
	p.js(`(window.stoppedAt = performance.now(), window.redAt = 0)`)
	eventually(t, "the page is red", func() bool { return p.js(`document.getElementById('offline').hidden`) == "false" })
	if late := p.js(`performance.now() - window.stoppedAt > 5500`); late != "false" { // plus the time that the test needs to look
		t.Error("red later than 5 s")
	}
	eventually(t, "the alarm", func() bool { return p.counts().Tones > tested })
	s.start()
	eventually(t, "the form is calm again", func() bool {
		return p.js(`document.getElementById('offline').hidden && document.getElementById('link').dataset.state`) == "denied"
	})
}

// TestShellIsOfOneVersion: while the server changes, all files of a page are of
// one version; an old page keeps its version to the end, and the next load gets
// the new one.
func TestShellIsOfOneVersion(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	f := newFront(t, s)
	f.set(func(f *front) { f.mark = "A" })
	p := openPage(t, f.through(s.link()))
	// One load may still be the old page if caching the new files takes long; none
	// mixes versions.
	reload := func(p *page, what, want string) {
		t.Helper()
		eventually(t, what+": a page of "+want, func() bool {
			if err := p.Reload(); err != nil {
				t.Fatal(err)
			}
			eventually(t, what+": connected", func() bool { return p.js(`document.getElementById('link')?.dataset.state`) == "open" })
			got := p.js(`[...window.sets].join()`)
			if len(got) != 1 {
				t.Fatalf("%s: the page is made of %s", what, got)
			}
			return got == want
		})
	}
	p.waitLink("websocket")
	p.waitShell()
	reload(p, "the first set", "A")
	old := p.tab(f.URL)
	old.waitLink("websocket")

	f.set(func(f *front) { f.mark = "B" })
	reload(p, "a new server", "B")
	res, err := old.Eval(`async () => (await (await fetch('static/console/ticker.js')).text()).match(/add\('(.)'\)/)[1]`)
	if err != nil || res.Value.Str() != "A" {
		t.Errorf("the page of before loads %v, %v; want A, its own", res, err)
	}

	f.set(func(f *front) { f.mark, f.only, f.served = "C", 5, 0 })
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a page while the new set does not come", func() bool { return p.js(`window.sets?.size`) == "1" })
	if got := p.js(`[...window.sets].join()`); got != "B" {
		t.Errorf("the server went away in the middle: the page is made of %s, want B", got)
	}
	f.set(func(f *front) { f.only = 0 })

	f.set(func(f *front) { f.mark, f.tamper = "D", true })
	reload(p, "a proxy that alters what is listed", "D")
	f.set(func(f *front) { f.tamper = false })
	eventually(t, "the whole set of D", func() bool {
		res, err := p.Eval(`async () => String((await caches.keys()).filter((n) => n.endsWith('D')).length)`)
		if err != nil || res.Value.Str() != "1" {
			_ = p.Reload()
			return false
		}
		return true
	})
	reload(p, "at last", "D")
	old.MustClose()
	eventually(t, "sets that no page is shown from are gone", func() bool {
		reload(p, "again", "D")
		res, err := p.Eval(`async () => (await caches.keys()).filter((n) => n.startsWith('doorbell-shell')).length + ''`)
		return err == nil && res.Value.Str() == "1"
	})
}

// TestNewerServerIsTold: a note at the foot of the page; its button does nothing
// while an order is open.
func TestNewerServerIsTold(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	f := newFront(t, s)
	f.set(func(f *front) { f.build = "export const build = { shell: '', version: 'v0.0.1' };" })
	p := openPage(t, strings.Replace(f.through(s.link()), "#", "?lang=en#", 1))
	p.waitLink("websocket")
	eventually(t, "the page tells", func() bool { return p.js(`document.getElementById('newer').hidden`) == "false" })
	s.run("simulate", "--pause", "0s")
	eventually(t, "an order", func() bool { return p.js(`document.querySelectorAll('#open .alert').length`) == "1" })
	p.js(`(window.before = true)`)
	p.click("#reload")
	eventually(t, "it says not now", func() bool {
		return strings.Contains(p.js(`document.getElementById('newer').textContent`), "still open")
	})
	if p.js(`window.before`) != "true" {
		t.Error("loaded anew while it rings")
	}
	if status, _ := s.call("POST", "api/v1/alerts/1/1/accept", s.token("console", "--shops", "1"), map[string]any{}); status != 200 {
		t.Fatalf("accept: %d", status)
	}
	eventually(t, "nothing is open", func() bool { return p.js(`document.querySelectorAll('#open .alert').length`) == "0" })
	f.set(func(f *front) { f.build = "" })
	p.click("#reload")
	eventually(t, "the new page", func() bool { return p.js(`window.before`) == "undefined" })
	eventually(t, "the page of the server's own version", func() bool {
		p.waitLink("websocket")
		if p.js(`document.getElementById('newer').hidden`) == "true" {
			return true
		}
		p.MustReload() // caching the new files took longer than a page waits
		return false
	})
	if errs := p.counts().Errors; len(errs) > 0 {
		t.Errorf("errors on the page: %v", errs)
	}
}

// TestWorkersOfAnEarlierVersion: a page that stays open during an upgrade starts
// its workers at their old addresses, and they work.
func TestWorkersOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	p := openPage(t, s.link())
	p.waitLink("websocket")
	s.raise(s.token("service", "--shops", "1"), 1, 7)
	res, err := p.Eval(`async () => {
		const answer = (worker, letter) => new Promise((done, failed) => {
			worker.onmessage = (e) => done(e.data);
			worker.onerror = () => failed(new Error('the worker did not start'));
			if (letter) worker.postMessage(letter);
		});
		const tick = await answer(new Worker('static/ticker.js', {name: '50'}));
		const letter = {id: 3, path: 'api/v1/alerts/1/1/accept', body: '{}', language: 'en'};
		return tick + ' ' + (await answer(new Worker('static/courier.js'), letter)).status;
	}`)
	if err != nil || res.Value.Str() != "0 200" {
		t.Errorf("the workers answer %v, %v; want a tick and the server's 200", res, err)
	}
}
