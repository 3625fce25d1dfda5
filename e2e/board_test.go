package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-rod/rod/lib/input"
	"github.com/go-rod/rod/lib/proto"
)

// watching runs before the page's own scripts: it records each press that counted,
// each long task, and each layout shift.
const watching = `const drawn = new Set();
window.watched = {took: [], missed: [], tookKeys: [], missedKeys: [], long: [], paints: [], accepts: [], shift: 0};
new PerformanceObserver((l) => { for (const e of l.getEntries()) watched.long.push(Math.round(e.duration)); }).observe({type: 'longtask'});
new PerformanceObserver((l) => { for (const e of l.getEntries()) if (!e.hadRecentInput) watched.shift += e.value; }).observe({type: 'layout-shift'});
const painted = (f) => requestAnimationFrame(() => setTimeout(f));
const seqOf = (e) => Number(e.closest('li').dataset.key.split(/[:@]/)[1]);
addEventListener('pointerup', (e) => {
  const had = watched.took.length; // a press is timed from the finger's lifting to the end of the frame that shows it
  const look = () => painted(() => {
    if (watched.took.length > had) watched.accepts.push(Math.round(performance.now() - e.timeStamp));
    else if (performance.now() - e.timeStamp < 1000) look();
  });
  look();
}, true);
new MutationObserver((l) => {
  for (const m of l) {
    const at = m.target.nodeType === 1 ? m.target : m.target.parentElement;
    if (!at) continue;
    if (m.attributeName === 'class' && at.matches('li.pending') && !/pending/.test(m.oldValue)) {
      watched.took.push(seqOf(at));
      watched.tookKeys.push(at.dataset.key);
    }
    if (m.type === 'childList' && at.matches('.missed') && at.textContent) {
      watched.missed.push(seqOf(at));
      watched.missedKeys.push(at.closest('li').dataset.key);
    }
    for (const li of m.addedNodes) if (li.dataset?.key && !drawn.has(li.dataset.key) && drawn.add(li.dataset.key)) painted(() => watched.paints.push(Date.now() - Date.parse(li.dataset.key.split('@')[1])));
  }
}).observe(document, {subtree: true, childList: true, attributes: true, attributeOldValue: true, attributeFilter: ['class']});`

// watchedPage opens the console with that recording, on a device that many times
// slower than this machine.
func watchedPage(t *testing.T, s *server, slower float64, width, height int, more ...string) *page {
	t.Helper()
	p := openPage(t, "about:blank")
	p.Page = p.CancelTimeout().Timeout(4 * time.Minute) // hundreds of presses
	for _, script := range append([]string{watching}, more...) {
		if _, err := p.EvalOnNewDocument(script); err != nil {
			t.Fatal(err)
		}
	}
	p.size(width, height)
	if slower > 1 {
		if err := (proto.EmulationSetCPUThrottlingRate{Rate: slower}).Call(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Navigate(s.link()); err != nil {
		t.Fatal(err)
	}
	p.waitLink("websocket")
	return p
}

// raise raises an external alert and fails the test if that fails.
func (s *server) raise(token string, kind, order int) bool {
	body := fmt.Sprintf(`{"type":%d,"shopId":1,"orderId":%d,"number":"20261124%06d","content":"订单号: 20261124%06d"}`, kind, order, order, order)
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.base+"api/v1/alerts", bytes.NewReader([]byte(body)))
	if err != nil {
		s.t.Error(err)
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Errorf("raise an alert of order %d: %v", order, err)
		return false
	}
	if status := statusOf(res); status != http.StatusCreated {
		s.t.Errorf("raise an alert of order %d: status %d", order, status)
		return false
	}
	return true
}

// seqs returns an expression's value on the page, as numbers.
func (p *page) seqs(expression string) []int {
	p.t.Helper()
	var out []int
	for word := range strings.SplitSeq(p.js(expression+".join(' ')"), " ") {
		if n, err := strconv.Atoi(word); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// TestBoard: the content of a card, and what happens when a card is pressed,
// focused or shown in a second tab while its order is closed, reminded of, or
// pressed twice.
func TestBoard(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	service := s.token("service", "--shops", "1")
	p := watchedPage(t, s, 1, 1280, 800)
	for i := range 3 {
		s.raise(service, 1, i+1)
	}
	s.raise(service, 2, 2)
	eventually(t, "three orders are three cards", func() bool {
		return p.cards() == 3 && p.js(`document.querySelectorAll('.alert .asked')[1].textContent`) != "" && strings.HasPrefix(p.js(`document.title`), "(3)")
	})
	for what, expression := range map[string]string{
		"the count is on the page":          `document.getElementById('count').textContent.includes('3')`,
		"oldest first":                      `[...document.querySelectorAll('#open .tail')].map((e) => e.textContent).join() === '0001,0002,0003'`,
		"the footer's targets fit a finger": `[...document.querySelectorAll('footer a, footer button')].filter((e) => e.offsetParent !== null).every((e) => e.getBoundingClientRect().height >= 44)`,
		"undo is where no accept is": `[...document.querySelectorAll('#open .alert')].every((li) => {
			const a = li.querySelector('.accept').getBoundingClientRect();
			li.querySelector('.undo').hidden = false;
			const u = li.querySelector('.undo').getBoundingClientRect();
			li.querySelector('.undo').hidden = true;
			return u.width > 60 && u.right < a.left;
		})`,
		"the undo button says so": `[...document.querySelectorAll('#open .undo')].every((b) => b.textContent === 'Undo' && b.getAttribute('aria-label').startsWith('Undo 2026'))`,
		"banners move no button": `(() => {
			const at = () => document.querySelector('#open .accept').getBoundingClientRect().top;
			const before = at(), banners = [...document.querySelectorAll('#notices .banner')], were = banners.map((b) => b.hidden);
			const tops = [true, false].flatMap((hidden) => banners.map((b) => { b.hidden = hidden; b.textContent ||= 'words '.repeat(60); return at(); }));
			banners.forEach((b, i) => { b.hidden = were[i]; });
			return tops.every((top) => top === before);
		})()`,
	} {
		if got := p.js(expression); got != "true" {
			t.Errorf("%s: %s", what, got)
		}
	}
	// A double press is one accept; a third press on undo, too soon, has no effect.
	double := ""
	press := `async () => {
		const middle = (e) => { const r = e.getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]; };
		const li = document.querySelector('.alert'), at = middle(li.querySelector('.accept')), states = [];
		const tap = async ([x, y]) => {
			for (const type of ['pointerdown', 'pointerup']) document.elementFromPoint(x, y).dispatchEvent(new PointerEvent(type, {bubbles: true, pointerId: 7, clientX: x, clientY: y}));
			await new Promise(requestAnimationFrame);
			states.push(li.dataset.state);
		};
		await tap(at);
		await tap(at);
		await tap(middle(li.querySelector('.undo')));
		return states.join();
	}`
	eventually(t, "the press counts", func() bool {
		res, err := p.Eval(press)
		if err != nil {
			t.Fatal(err)
		}
		double = res.Value.Str()
		return strings.HasPrefix(double, "undo")
	})
	if double != "undo,undo,undo" {
		t.Errorf("after a press, a second one at its place, and one on undo at once: %s; want it accepted, to be undone", double)
	}
	p.undo()
	// The second tab shows the same as the first one.
	second := p.tab(s.base)
	second.waitLink("websocket")
	eventually(t, "the second tab has the cards", func() bool { return second.cards() == 3 })
	p.accept()
	eventually(t, "the second tab's card is faded, and has no button", func() bool {
		return second.js(`document.querySelector('.alert[data-state="elsewhere"] .accept')?.hidden`) == "true"
	})
	// A reminder cancels the press.
	s.raise(service, 2, 1)
	eventually(t, "the press is taken back", func() bool {
		return p.js(`document.querySelector('.alert .missed').textContent`) != "" && p.js(`document.querySelectorAll('.alert.pending').length`) == "0"
	})
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	// When the focused card is removed the focus stays on the cards, and Enter
	// accepts none.
	if _, err := p.Activate(); err != nil {
		t.Fatal(err)
	}
	p.js(`document.querySelectorAll('.alert')[1].focus()`)
	took := len(p.seqs(`watched.took`))
	s.raise(service, 3, 2)
	eventually(t, "the focus has gone on", func() bool { return p.js(`document.activeElement.querySelector?.('.tail')?.textContent`) == "0003" })
	if err := p.Keyboard.Type(input.Enter); err != nil {
		t.Fatal(err)
	}
	if now := p.seqs(`watched.took`); len(now) != took {
		t.Errorf("an Enter that was meant for the card that went took %v", now[took:])
	}
	if ghost := p.js(`document.querySelector('#open > .ghost') !== null`); ghost != "true" {
		t.Error("what went did not leave its place")
	}
	eventually(t, "the place closes when the hand is away", func() bool { return p.js(`document.querySelector('#open > .ghost') === null`) == "true" })
	p.till()
	wrongClock(t, s)
	p.words(s, service)
	stays(t, s, service)
	if errs := p.counts().Errors; len(errs) != 0 {
		t.Errorf("errors on the page: %v", errs)
	}
}

// wrongClock opens the board on a device whose clock is an hour ahead: the ages are
// right, and the page tells how far the clock is off.
func wrongClock(t *testing.T, s *server) {
	t.Helper()
	p := openPage(t, "about:blank")
	if _, err := p.EvalOnNewDocument(`const now = Date.now; Date.now = () => now() + 3600e3;`); err != nil {
		t.Fatal(err)
	}
	if err := p.Navigate(s.link()); err != nil {
		t.Fatal(err)
	}
	p.waitLink("websocket")
	eventually(t, "the page says that the clock is off", func() bool {
		return p.js(`document.getElementById('skew').hidden || document.getElementById('skew').textContent`) == "This device’s clock is 1 hour fast: set it right"
	})
	eventually(t, "the cards are there", func() bool { return p.cards() > 0 })
	if ages := p.js(`[...document.querySelectorAll('#open .age')].map((e) => e.textContent).filter((age) => !/^(now|[12] min)$/.test(age))`); ages != "" {
		t.Errorf("on a device whose clock is an hour ahead orders of just now are %s old", ages)
	}
}

// till uses the board by keys alone.
func (p *page) till() {
	p.t.Helper()
	eventually(p.t, "Enter takes the card with the focus", func() bool {
		p.js(`document.activeElement.blur()`)
		if err := p.Keyboard.Type(input.ArrowDown, input.ArrowRight, input.Enter); err != nil {
			p.t.Fatal(err)
		}
		return p.js(`document.querySelector('.alert.pending .tail')?.textContent`) == "0003"
	})
	if err := p.Keyboard.Type(input.KeyU); err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, "U takes it back", func() bool { return p.js(`document.querySelectorAll('.alert.pending').length`) == "0" })
	p.js(`document.dispatchEvent(new KeyboardEvent('keydown', {key: '?'}))`)
	eventually(p.t, "the keys are shown", func() bool { return p.js(`document.querySelectorAll('#keys-dialog[open] dt').length`) == "5" })
	p.click("#keys-dialog .primary")
}

// words checks long words, and that markup is shown as text.
func (p *page) words(s *server, service string) {
	p.t.Helper()
	status, got := s.call("POST", "api/v1/alerts", service, map[string]any{
		"type": 1, "shopId": 1, "orderId": 99, "content": strings.Repeat("W", 200), "note": "<b>" + strings.Repeat("n", 150), "table": "5",
		"lines": []string{"one", "two", "three", "four", "five", "six", strings.Repeat("x", 80)},
	})
	if status != http.StatusCreated {
		p.t.Fatalf("%d %v", status, got)
	}
	eventually(p.t, "what was ordered is on the card", func() bool { return p.js(`document.querySelectorAll('.alert .note-line').length`) == "1" })
	for _, width := range []int{360, 820, 1280, 1920} {
		p.size(width, 800)
		if wide := p.js(`document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide != "0" {
			p.t.Errorf("at %d px the page is %s px too wide", width, wide)
		}
	}
	if n := p.js(`document.querySelectorAll('.alert .detail p').length`); n != "5" {
		p.t.Errorf("%s lines before it is unfolded, want 5 and a button", n)
	}
	p.js(`document.querySelector('.alert .fold').click()`)
	if n := p.js(`document.querySelectorAll('.alert .detail p').length + ' ' + document.querySelectorAll('.alert b').length`); n != "8 0" {
		p.t.Errorf("lines and markup when it is unfolded: %s, want 8 0", n)
	}
}

// TestNotHeardWithoutStorage: the answer counts in a browser without storage.
func TestNotHeardWithoutStorage(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	p := openPage(t, "about:blank")
	if _, err := p.EvalOnNewDocument(`Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})`); err != nil {
		t.Fatal(err)
	}
	if err := p.Navigate(s.link()); err != nil {
		t.Fatal(err)
	}
	p.waitLink("websocket")
	p.soundOn()
	p.click("#not-heard")
	eventually(t, "red", func() bool { return p.js(`document.getElementById('muted').hidden`) == "false" })
}
