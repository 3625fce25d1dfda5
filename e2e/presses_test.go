package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-rod/rod/lib/input"
	"github.com/go-rod/rod/lib/proto"

	"doorbell/transport/transporttest"
)

// seeing records after each frame whose accept button is at the hand's target (or
// whose card has the focus), and when a finger or a key went down and up: by the
// page's clock, independent of delays in the page or the test.
const seeing = `window.hand = {at: null, keys: false, seen: [], events: [], scrolled: false};
const under = (x, y) => document.elementFromPoint(x, y)?.closest('#open > .alert .accept')?.closest('li').dataset.key ?? '';
const focus = () => document.activeElement?.closest('#open > .alert')?.dataset.key ?? '';
const look = () => {
  const key = hand.keys ? focus() : hand.at ? under(...hand.at) : '';
  if (hand.seen.at(-1)?.key !== key) hand.seen.push({t: performance.now(), key});
};
const frames = new MessageChannel();
frames.port1.onmessage = look;
const next = () => { requestAnimationFrame(next); frames.port2.postMessage(0); };
requestAnimationFrame(next);
addEventListener('scroll', () => { hand.scrolled = true; }, true);
for (const type of ['pointermove', 'pointerdown', 'pointerup', 'keydown', 'keyup']) {
  addEventListener(type, (e) => {
    if (e.type.startsWith('key') ? e.key !== 'Enter' : false) return;
    if (!hand.near && hand.at && !hand.keys) hand.near = {t: performance.now(), key: under(e.clientX, e.clientY)};
    if (e.type === 'pointermove') return;
    hand.events.push({type: e.type, t: e.timeStamp, late: Math.round(performance.now() - e.timeStamp), key: hand.keys ? focus() : under(e.clientX, e.clientY)});
  }, true);
}`

// target is the place where a hand will press, and the card that it was chosen
// for.
type target struct {
	Key  string
	X, Y float64
}

// glimpse is the card at the target from a time on.
type glimpse struct {
	T   float64
	Key string
}

// sight is what a person could see of one press, and its effect.
type sight struct {
	Took, Missed []string
	Scrolled     bool
	Near         *glimpse // when the page received the pointer, and what was there then
	Seen         []glimpse
	Events       []struct {
		Type string
		T    float64
		Late int
		Key  string
	}
}

// stood returns the cards that were at the target within that time before the
// press, and at its end.
func (s sight) stood(before float64) []string {
	if len(s.Events) == 0 {
		return nil
	}
	down := s.Events[0].T
	var keys []string
	for i, at := range s.Seen {
		if at.T <= down && (i+1 == len(s.Seen) || s.Seen[i+1].T > down-before) {
			keys = append(keys, at.Key)
		}
	}
	for _, e := range s.Events {
		keys = append(keys, e.Key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// slid returns a card that moved to the target while the pointer was there, until
// the end of the press; empty if nothing moved.
func (s sight) slid() string {
	if s.Near == nil || s.Scrolled || len(s.Events) < 2 {
		return ""
	}
	for _, at := range s.Seen {
		if at.T > s.Near.T && at.T <= s.Events[len(s.Events)-1].T && at.Key != s.Near.Key && at.Key != "" {
			return at.Key
		}
	}
	return ""
}

// hand uses one page: a phone by touch, a tablet with a mouse, a till by keys.
type hand struct {
	*page
	way string
	rnd *rand.Rand
}

func (h *hand) eval(out any, script string, args ...any) {
	h.t.Helper()
	res, err := h.Eval(script, args...)
	if err == nil {
		err = res.Value.Unmarshal(out)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// aim chooses a card on the screen that can be pressed, and remembers its place.
func (h *hand) aim() (target, bool) {
	h.t.Helper()
	var at *target
	arrows := h.way == "keys" && h.rnd.IntN(2) == 0
	h.eval(&at, `(nth, keys, arrows) => {
		const top = document.querySelector('header').getBoundingClientRect().bottom;
		const middle = (r) => [r.left + r.width * 0.4, r.top + r.height / 2];
		const free = [...document.querySelectorAll('#open > .alert')].filter((li) => {
			const b = li.querySelector('.accept'), r = b.getBoundingClientRect();
			return !b.hidden && r.top > top && r.bottom < innerHeight && under(...middle(r)) === li.dataset.key;
		});
		Object.assign(hand, {at: null, keys, seen: [], events: [], near: null, scrolled: false});
		Object.assign(watched, {tookKeys: [], missedKeys: []});
		if (free.length === 0) return null;
		const li = free[nth % free.length], r = li.querySelector('.accept').getBoundingClientRect();
		if (keys && !(arrows && focus())) li.focus({preventScroll: true});
		hand.at = middle(r);
		look();
		return {Key: li.dataset.key, X: hand.at[0], Y: hand.at[1]};
	}`, h.rnd.IntN(1000), h.way == "keys", arrows)
	if at == nil {
		return target{}, false
	}
	if arrows {
		h.walk(at)
	}
	return *at, true
}

// walk moves the focus some cards on by arrow keys; the focused card becomes the
// target.
func (h *hand) walk(at *target) {
	h.t.Helper()
	for range 1 + h.rnd.IntN(4) {
		arrow := []input.Key{input.ArrowRight, input.ArrowDown, input.ArrowLeft, input.ArrowUp}[h.rnd.IntN(4)]
		if err := h.Keyboard.Type(arrow); err != nil {
			h.t.Fatal(err)
		}
	}
	h.frame()
	h.eval(&at.Key, `() => {
		Object.assign(hand, {seen: [], events: []});
		look();
		return focus();
	}`)
}

// press goes down and up at human speed.
func (h *hand) press(at target, aim, down time.Duration) {
	h.t.Helper()
	pause := func(d time.Duration) { <-time.After(d) } // human speed is real time
	var begin, end func() error
	switch h.way {
	case "touch":
		points := []*proto.InputTouchPoint{{X: at.X, Y: at.Y}}
		begin = func() error {
			return proto.InputDispatchTouchEvent{Type: proto.InputDispatchTouchEventTypeTouchStart, TouchPoints: points}.Call(h)
		}
		end = func() error {
			return proto.InputDispatchTouchEvent{Type: proto.InputDispatchTouchEventTypeTouchEnd, TouchPoints: []*proto.InputTouchPoint{}}.Call(h)
		}
	case "mouse":
		do := func(kind proto.InputDispatchMouseEventType) error {
			return proto.InputDispatchMouseEvent{Type: kind, X: at.X, Y: at.Y, Button: proto.InputMouseButtonLeft, ClickCount: 1}.Call(h)
		}
		if h.rnd.IntN(4) > 0 { // otherwise it stays where it was
			move := proto.InputDispatchMouseEvent{Type: proto.InputDispatchMouseEventTypeMouseMoved, X: at.X, Y: at.Y}
			if err := move.Call(h); err != nil {
				h.t.Fatal(err)
			}
		}
		begin = func() error { return do(proto.InputDispatchMouseEventTypeMousePressed) }
		end = func() error { return do(proto.InputDispatchMouseEventTypeMouseReleased) }
	default:
		begin = func() error { return h.Keyboard.Press(input.Enter) }
		end = func() error { return h.Keyboard.Release(input.Enter) }
	}
	pause(aim)
	if err := begin(); err != nil {
		h.t.Fatalf("press by %s: %v", h.way, err)
	}
	pause(down)
	if err := end(); err != nil {
		h.t.Fatalf("lift by %s: %v", h.way, err)
	}
}

// once presses once among banners, page stalls and scrolling, and returns what was
// visible.
func (h *hand) once() (target, sight) {
	h.t.Helper()
	at, ok := h.aim()
	for !ok {
		h.frame()
		at, ok = h.aim()
	}
	h.js(`(() => { const b = document.getElementById('skew'); b.hidden = !b.hidden; b.textContent = 'a banner'; })()`)
	if h.rnd.IntN(4) == 0 { // the page is busy when the finger comes
		h.js(fmt.Sprintf(`setTimeout(() => { const end = performance.now() + 600; while (performance.now() < end); }, %d)`, 100+h.rnd.IntN(500)))
	}
	if h.rnd.IntN(8) == 0 {
		h.js(`scrollBy(0, document.scrollingElement.scrollTop > 100 ? -150 : 150)`)
	}
	if h.rnd.IntN(4) == 0 { // the pointer rests, and the board closes its gaps
		<-time.After(1200 * time.Millisecond)
	}
	h.press(at, time.Duration(200+h.rnd.IntN(700))*time.Millisecond, time.Duration(20+h.rnd.IntN(160))*time.Millisecond)
	h.frame()
	h.frame()
	var s sight
	h.eval(&s, `() => ({Took: watched.tookKeys, Missed: watched.missedKeys, Near: hand.near, Scrolled: hand.scrolled, Seen: hand.seen, Events: hand.events})`)
	return at, s
}

// rush creates orders, some with dishes, and reminders, and lets the shop's system
// and a second console close orders, until stop is closed. It keeps the board at
// some sixty orders: on a slow machine a growing board slowed the hands, which
// made it grow further.
func (s *server) rush(token string, stop <-chan struct{}) {
	second := s.token("console", "--shops", "1", "--sub", "second")
	rnd := rand.New(rand.NewPCG(1, 2))
	tick := time.NewTicker(130 * time.Millisecond)
	defer tick.Stop()
	for order := 1; ; {
		before := order
		switch rnd.IntN(9) {
		case 0, 1:
			s.raise(token, 3, max(1, order-rnd.IntN(14)))
		case 2:
			s.acceptOpen(second, rnd.IntN(8), 0)
		case 3:
			s.raise(token, 2, max(1, order-rnd.IntN(14)))
		case 4:
			order++
			s.raiseWithLines(token, order, 1+rnd.IntN(8))
		default:
			order++
			s.raise(token, 1, order)
		}
		if order > before {
			s.acceptOpen(second, rnd.IntN(8), 60)
		}
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

// ask makes an API call beside the test's own goroutine.
func (s *server) ask(method, path, token string, out any) error {
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read
	if res.StatusCode >= http.StatusInternalServerError {
		return nil // a crowded machine: a console would ask again
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, res.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(out)
}

// acceptOpen accepts one of the newest orders that are open, as another console
// does, where more than that many alerts are.
func (s *server) acceptOpen(token string, nth, many int) {
	var open struct{ Alerts []struct{ Seq int } }
	err := s.ask(http.MethodGet, fmt.Sprintf("api/v1/alerts?shop=1&state=open&limit=%d", max(8, many+1)), token, &open)
	if n := len(open.Alerts); err == nil && n > many {
		err = s.ask(http.MethodPost, fmt.Sprintf("api/v1/alerts/1/%d/accept", open.Alerts[nth%min(8, n)].Seq), token, nil)
	}
	if err != nil {
		s.t.Errorf("the second console: %v", err)
	}
}

// TestPressesInARush: hands press among arrivals, removals by other consoles,
// banners, and stalls of a slow device. No press accepts another order than the
// one that was visible at its place for the 400 ms before it and at its end; each
// press accepts that order or visibly has no effect.
func TestPressesInARush(t *testing.T) {
	presses := transporttest.Size(t, "DOORBELL_TEST_PRESSES", 30) // 300 is the long size
	s := startServer(t)
	service := s.token("service", "--shops", "1")
	var hands []*hand
	for i, device := range []struct {
		way           string
		width, height int
	}{{"touch", 390, 844}, {"mouse", 820, 1180}, {"keys", 1280, 800}} {
		p := watchedPage(t, s, 4, device.width, device.height, seeing)
		p.Page = p.CancelTimeout().Timeout(within + time.Duration(presses)*10*time.Second)
		if device.way == "mouse" { // nothing moves under a resting mouse, so a move happened after the pointer came
			still := proto.EmulationSetEmulatedMedia{Features: []*proto.EmulationMediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}}
			if err := still.Call(p); err != nil {
				t.Fatal(err)
			}
		}
		hands = append(hands, &hand{page: p, way: device.way, rnd: rand.New(rand.NewPCG(uint64(i), 7))})
	}
	stop := make(chan struct{})
	var rush, all sync.WaitGroup
	rush.Go(func() { s.rush(service, stop) })
	counted := make([]map[string]int, len(hands))
	for i, h := range hands {
		counted[i] = map[string]int{}
		all.Go(func() {
			for range presses / len(hands) {
				counted[i][h.judge(h.once())]++
			}
		})
	}
	all.Wait()
	close(stop)
	rush.Wait()
	right := 0
	for i, h := range hands {
		t.Logf("by %s: %v", h.way, counted[i])
		right += counted[i]["took"]
		if errs := h.counts().Errors; len(errs) != 0 {
			t.Errorf("errors on the page: %v", errs)
		}
	}
	if right < presses/4 {
		t.Errorf("%d of %d presses took their order: too few to be worked with", right, presses)
	}
}

// judge compares a press with what the person saw.
func (h *hand) judge(at target, s sight) string {
	stood := s.stood(400)
	one := len(stood) == 1 && stood[0] != ""
	if slid := s.slid(); h.way == "mouse" && slid != "" {
		h.t.Errorf("the layout moved under the mouse, aimed at %s: %s came there: %+v", at.Key, slid, s)
	}
	switch {
	case len(s.Took) == 1 && h.way == "keys" && s.Took[0] == at.Key:
		return "took" // the hand moved the focus itself
	case len(s.Took) > 1 || len(s.Took) == 1 && (!one || stood[0] != s.Took[0]):
		h.t.Errorf("a press by %s, aimed at %s, took %v; there stood %q: %+v", h.way, at.Key, s.Took, stood, s)
		return "wrong"
	case len(s.Took) == 1:
		return "took"
	case len(s.Missed) > 0:
		return "seen not to count"
	case len(s.Events) > 0 && s.Events[0].Key == "":
		return "on nothing" // the card was gone, which is visible
	case h.js(fmt.Sprintf(`document.querySelector('.alert:not(.pending)[data-key="%s"]') === null`, s.Events[0].Key)) == "true":
		return "gone meanwhile"
	}
	h.t.Errorf("a press by %s at %s did nothing, and showed nothing: %+v", h.way, at.Key, s)
	return "silent"
}
