package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
)

func (s *server) raiseWithLines(token string, order, lines int) {
	alert := map[string]any{"type": 1, "shopId": 1, "orderId": order, "number": fmt.Sprintf("20261124%06d", order), "content": fmt.Sprintf("订单号: 20261124%06d", order)}
	var words []string
	for i := range lines {
		words = append(words, fmt.Sprintf("%d × 一道菜", i+1))
	}
	alert["lines"] = words
	body, err := json.Marshal(alert)
	if err != nil {
		s.t.Error(err)
		return
	}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.base+"api/v1/alerts", bytes.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil || statusOf(res) != http.StatusCreated {
		s.t.Errorf("raise order %d with its lines: %v", order, err)
	}
}

// tapping creates a finger's two events on a card's accept button and records
// their effect; the events keep their time but reach the page then or later, as
// when the page was busy.
const tapping = `window.card = (order) => document.querySelector('#open > .alert[data-order$=" ' + order + '"]');
window.frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
window.place = (order) => { const r = card(order).querySelector('.accept').getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]; };
window.finger = ([clientX, clientY]) => ['pointerdown', 'pointerup'].map((type) => new PointerEvent(type, {bubbles: true, pointerId: 7, clientX, clientY}));
window.tell = async (events) => { for (const e of events) document.elementFromPoint(e.clientX, e.clientY).dispatchEvent(e); await frame(); };
window.height = (order) => card(order).getBoundingClientRect().height;
window.topOf = (order) => card(order).getBoundingClientRect().top;
window.until = async (met) => { while (!met()) await frame(); };
window.pause = (ms) => new Promise((done) => setTimeout(done, ms));`

// stays checks on a phone: a card whose dishes arrive later does not grow under a
// finger, a removed card keeps its place, and a press that the page receives late
// counts at the time when it was made.
func stays(t *testing.T, s *server, service string) {
	t.Helper()
	p := watchedPage(t, s, 1, 390, 3000, tapping)
	run := func(script string) string {
		t.Helper()
		res, err := p.Eval(`async () => { ` + script + ` }`)
		if err != nil {
			t.Fatal(err)
		}
		return res.Value.Str()
	}
	run(`document.body.dispatchEvent(new PointerEvent('pointerdown', {bubbles: true, pointerId: 9}))`)
	s.raiseWithLines(service, 201, 8)
	s.raise(service, 1, 202)
	got := run(`await until(() => card(202) && card(201).querySelectorAll('.detail p').length > 3);
		await frame(); await frame();
		const held = height(201);
		document.body.dispatchEvent(new PointerEvent('pointerup', {bubbles: true, pointerId: 9}));
		await until(() => height(201) > held);
		await tell(finger(place(202)));
		const first = card(202).dataset.state;
		await pause(900);
		await tell(finger(place(202)));
		await pause(900);
		return [first, card(202).dataset.state].join()`)
	if got != "open,undo" {
		t.Errorf("presses on a card just after the one above it grew, and a second later: %s; want open,undo", got)
	}
	s.raise(service, 1, 203)
	run(`await until(() => card(203)); await pause(900); window.was = topOf(203); window.gone = card(201)`)
	s.raise(service, 3, 201)
	got = run(`await until(() => gone.matches('.ghost'));
		const stayed = topOf(203) === was;
		await until(() => !gone.isConnected);
		return String(stayed)`)
	if got != "true" {
		t.Error("a card that went did not keep the whole of its place")
	}
	got = run(`await pause(900);
		const at = place(203), late = finger(at);
		document.dispatchEvent(new Event('scroll'));
		await pause(900);
		await tell(late);
		const first = card(203).dataset.state;
		await tell(finger(at));
		return [first, card(203).dataset.state].join()`)
	if got != "open,undo" {
		t.Errorf("a press made before the cards moved, which the page was told of after, and one made then: %s; want open,undo", got)
	}
}
