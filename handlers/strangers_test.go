package handlers_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/transport/transporttest"
)

// secret is contained in everything of shop 2, and in nothing else.
const secret = "SECRET-OF-SHOP-2"

// stranger is a console, a customer and a service of shop 1 that try to learn
// about shop 2, which has an order, alerts, a console and receipts.
type stranger struct {
	s       *testServer
	rng     *rand.Rand
	tokens  []string
	foreign map[string][]string // shop 2's ids, by kind
	absent  map[string][]string // the same kinds, which do not exist
	epoch   string
}

// TestOtherShops: no request on any route and transport reveals anything of
// another shop; what belongs to another shop looks like what does not exist.
func TestOtherShops(t *testing.T) {
	s := newServer(t)
	p := newStranger(t, s)
	probes := transporttest.Size(t, "DOORBELL_TEST_PROBES", 5000)
	statuses := map[int]int{}
	for i := range probes {
		method, path, body, header := p.probe()
		foreign := p.ask(method, fill(path, p.pick(p.foreign)), body, header)
		statuses[foreign.status]++
		if strings.Contains(foreign.body, secret) {
			t.Fatalf("probe %d: %s %s %s %v told: %d %s", i, method, path, body, header, foreign.status, foreign.body)
		}
		if foreign.status == http.StatusInternalServerError {
			t.Errorf("%s %s %s: %s", method, path, body, foreign.body)
		}
		if i%10 == 0 && strings.Contains(path, "{") && !strings.Contains(path, "?") {
			p.alike(t, method, path, body, header)
		}
	}
	if statuses[http.StatusOK] == 0 || statuses[http.StatusForbidden] == 0 || statuses[http.StatusNotFound] == 0 {
		t.Errorf("the answers were %v: the probes did not get far", statuses)
	}
	// The other shop is unaffected.
	if devices := s.sessionsOf(t, "api/v1/devices", "Authorization", "Bearer "+s.token(doorbell.RoleConsole, "owner", 1, 2, 9)); len(devices) != 1 {
		t.Errorf("%d paired devices, want shop 2's", len(devices))
	}
	_, after := s.position(2)
	if after.Head != 4 {
		t.Errorf("shop 2 is at %d, want 4: a stranger wrote to its log", after.Head)
	}
	t.Logf("%d probes: %v", probes, slices.Sorted(maps.Keys(statuses)))
}

// newStranger fills shop 2 and gives the stranger the credentials of shop 1.
func newStranger(t *testing.T, s *testServer) *stranger {
	t.Helper()
	backend := s.token(doorbell.RoleService, "backend", 1, 2)
	order := s.as(backend, "POST", "api/v1/orders", `{"number":"`+secret+`","shopId":2,"userId":8,"amount":100}`).want(t, "order", 201, "").field("id")
	s.pay(secret, 100).want(t, "pay", 204, "")
	s.as(backend, "POST", "api/v1/orders", `{"number":"KNOWN-2","shopId":2,"userId":8,"amount":100}`).want(t, "order", 201, "")
	s.raise(2, doorbell.NewOrder, 77, secret)
	s.raise(2, doorbell.Reminder, 77, secret)
	s.as(backend, "POST", "api/v1/alerts", `{"type":1,"shopId":2,"orderId":78,"content":"`+secret+`"}`, "Idempotency-Key", "key-2").want(t, "alert", 201, "")
	console := s.token(doorbell.RoleConsole, secret, 2)
	live, err := transporttest.DialWebSocket(s.url, transporttest.Dial{Token: console, SID: secret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(live.Close)
	hello, err := live.Next()
	if err != nil {
		t.Fatal(err)
	}
	id := regexp.MustCompile(`"console":"(\w+)"`).FindStringSubmatch(hello.Raw)[1]
	s.as(console, "POST", "api/v1/alerts/2/2/receipts", `{"console":"`+id+`","stage":"sounded","reason":"`+secret+`"}`).want(t, "receipt", 204, "")
	tablet := s.paired(t, secret, 2)
	list := s.do("GET", "api/v1/devices", "", "Cookie", tablet).body
	device := regexp.MustCompile(`"id":"(\w+)"`).FindStringSubmatch(list)[1]
	s.as(backend, "POST", "api/v1/orders", `{"number":"mine","shopId":1,"userId":7,"amount":100}`).want(t, "own order", 201, "")
	s.pay("mine", 100)
	epoch, _ := s.position(1)
	p := &stranger{s: s, rng: transporttest.Seeded(t), epoch: epoch}
	p.tokens = []string{
		s.token(doorbell.RoleConsole, "till", 1), s.token(doorbell.RoleService, "shop-1", 1), s.token(doorbell.RoleCustomer, "7", 1),
		s.token(doorbell.RoleConsole, secret[:6], 1), "", "nonsense",
	}
	p.foreign = map[string][]string{"shop": {"2"}, "order": {order, "77", "78"}, "seq": {"1", "3", "4"}, "console": {id}, "device": {device}, "sid": {"x", "till"}}
	p.absent = map[string][]string{"shop": {"9"}, "order": {"4001"}, "seq": {"1", "3", "4"}, "console": {"cAAAAAAAAAAAAAAAA"}, "device": {strings.Repeat("a", 64)}, "sid": {"x", "till"}}
	return p
}

// pick returns one of each.
func (p *stranger) pick(from map[string][]string) map[string]string {
	out := map[string]string{}
	for _, what := range slices.Sorted(maps.Keys(from)) {
		out[what] = from[what][p.rng.IntN(len(from[what]))]
	}
	return out
}

func fill(path string, values map[string]string) string {
	for name, value := range values {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	return path
}

// routes are all routes that take an id, a shop or a cursor.
var routes = []struct{ method, path string }{
	{"GET", "api/v1/orders/{order}"},
	{"POST", "api/v1/orders/{order}/reminders"},
	{"POST", "api/v1/orders/{order}/accept"},
	{"POST", "api/v1/orders/{order}/cancel"},
	{"POST", "api/v1/alerts/{shop}/{seq}/accept"},
	{"POST", "api/v1/alerts/{shop}/{seq}/receipts"},
	{"GET", "api/v1/alerts?shop={shop}"},
	{"GET", "api/v1/alerts?shop=1&shop={shop}"},
	{"GET", "api/v1/alerts?shop={shop}&state=open&limit=500"},
	{"GET", "api/v1/alerts?shop={shop}&search=SECRET"},
	{"GET", "api/v1/shops/{shop}/consoles"},
	{"GET", "api/v1/shops/{shop}/figures"},
	{"GET", "api/v1/devices"},
	{"GET", "api/v1/sessions?limit=500"},
	{"DELETE", "api/v1/sessions/{device}"},
	{"POST", "api/v1/tickets/preview"},
	{"DELETE", "api/v1/devices/{device}"},
	{"PUT", "api/v1/push"},
	{"DELETE", "api/v1/push"},
	{"PUT", "api/v1/consoles/{console}"},
	{"GET", "api/v1/shops?after=0&limit=500"},
	{"GET", "api/v1/me"},
	{"GET", "poll?wait=0&shops={shop}&after=0"},
	{"GET", "poll?wait=0&shops=1,{shop}&after=0"},
	{"GET", "poll?wait=0&shops=1&shops={shop}&after=0"},
	{"GET", "poll?wait=0&after={cursor}"},
	{"GET", "poll?wait=0&after=0&sid={sid}&console={console}"},
	{"GET", "poll?wait=0&after=0&ticket={console}"},
	{"GET", "events?shops={shop}&after=0"},
	{"GET", "events/{sid}?shops=1,{shop}&after={cursor}"},
	{"GET", "ws?shops={shop}&after=0"},
	{"POST", "api/v1/orders"},
	{"POST", "api/v1/alerts"},
	{"POST", "api/v1/announcements"},
	{"POST", "api/v1/tickets"},
	{"POST", "api/v1/tokens"},
	{"GET", "api/v1/tokens"},
	{"GET", "api/v1/inbox"},
	{"POST", "api/v1/inbox/replay"},
	{"GET", "api/v1/outbox"},
	{"POST", "api/v1/outbox/{seq}/replay"},
	{"DELETE", "api/v1/tokens/{device}"},
	{"GET", "user/order/reminder/{order}"},
	{"GET", "metrics"},
}

var bodies = []string{
	``, `{}`, `{"number":"KNOWN-2","shopId":2,"userId":8,"amount":100}`, `{"number":"KNOWN-2","shopId":1,"userId":8,"amount":100}`,
	`{"type":3,"shopId":2,"orderId":77,"content":"x"}`, `{"type":3,"shopId":1,"orderId":77,"shopId":2}`, `{"sub":"till","shops":[2]}`, `{"sub":"till","shops":["*"]}`, `{"sub":"till","shops":[1,2],"ttl":"1h"}`,
	`{"endpoint":"https://fcm.googleapis.com/x","keys":{"p256dh":"","auth":""},"shopId":2}`, `{"sub":"x","shops":[2],"pair":true}`,
	`{"console":"c","stage":"sounded"}`, `{"audible":true}`, `{"text":"x","shops":[2]}`, `{"text":"x","shops":[1,2]}`,
}

func (p *stranger) probe() (method, path, body string, header []string) {
	r := routes[p.rng.IntN(len(routes))]
	cursors := []string{"0", p.epoch + ".2:0", p.epoch + ".1:0,2:1", "other.2:1", p.epoch + ".2:99"}
	path = strings.ReplaceAll(r.path, "{cursor}", cursors[p.rng.IntN(len(cursors))])
	if r.method != http.MethodGet {
		body = bodies[p.rng.IntN(len(bodies))]
	}
	if token := p.tokens[p.rng.IntN(len(p.tokens))]; token != "" {
		header = append(header, "Authorization", "Bearer "+token)
		if p.rng.IntN(10) == 0 {
			header = append(header, "Authentication", token)
		}
	}
	switch p.rng.IntN(12) {
	case 0:
		header = append(header, "Last-Event-Id", cursors[p.rng.IntN(len(cursors))])
	case 1:
		header = append(header, "Idempotency-Key", "key-2")
	case 2:
		header = append(header, "Cookie", "doorbell_session=AAAA")
	}
	return r.method, path, body, header
}

// ask calls the router without a network; a stream is left at once.
func (p *stranger) ask(method, path, body string, header []string) reply {
	r := httptest.NewRequest(method, "/"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if strings.HasPrefix(path, "events") {
		return p.listen(r)
	}
	w := httptest.NewRecorder()
	p.s.Edge.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.String()}
}

// listen runs a stream until it has sent three events: the hello and older alerts.
func (p *stranger) listen(r *http.Request) reply {
	ctx, leave := context.WithTimeout(r.Context(), 50*time.Millisecond)
	defer leave()
	w := &streamRecorder{ResponseRecorder: httptest.NewRecorder(), left: 4, leave: leave}
	p.s.Edge.ServeHTTP(w, r.WithContext(ctx))
	return reply{w.Code, w.Header(), w.Body.String()}
}

// streamRecorder leaves after some flushes.
type streamRecorder struct {
	*httptest.ResponseRecorder
	left  int
	leave func()
}

// Flush implements http.Flusher.
func (w *streamRecorder) Flush() {
	w.ResponseRecorder.Flush()
	if w.left--; w.left <= 0 {
		w.leave()
	}
}

// alike checks that the answers about foreign and missing things differ only in
// what was asked.
func (p *stranger) alike(t *testing.T, method, path, body string, header []string) {
	t.Helper()
	foreign, absent := p.pick(p.foreign), p.pick(p.absent)
	foreign["seq"], foreign["sid"] = absent["seq"], absent["sid"]
	a, b := p.ask(method, fill(path, foreign), body, header), p.ask(method, fill(path, absent), body, header)
	if a.status != b.status || plainly(path, a.body, foreign) != plainly(path, b.body, absent) {
		t.Errorf("%s %s %s %v:\n%d %s\n%d %s", method, path, body, header, a.status, a.body, b.status, b.body)
	}
}

var requestIDs = regexp.MustCompile(`"request_id":"\w+"`)

// plainly returns an answer without the parts that may differ.
func plainly(path, body string, values map[string]string) string {
	body = requestIDs.ReplaceAllString(body, "")
	for _, name := range []string{"console", "order", "shop"} {
		if !strings.Contains(path, "{"+name+"}") {
			continue
		}
		body = regexp.MustCompile(fmt.Sprintf(`\b%s\b`, values[name])).ReplaceAllString(body, "{"+name+"}")
	}
	return body
}

// TestOtherShopsLive: what happens in another shop reaches none of a stranger's
// streams.
func TestOtherShopsLive(t *testing.T) {
	s := newServer(t)
	p := newStranger(t, s)
	for _, tr := range transporttest.Transports() {
		stream, err := tr.Dial(s.url, transporttest.Dial{Token: p.tokens[0], Query: "heartbeat=1&after=" + p.epoch + ".1:0,2:0"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stream.Close)
		for range 5 {
			s.raise(2, doorbell.NewOrder, 5, secret)
		}
		s.raise(1, doorbell.NewOrder, 6, "ours "+tr.Name)
		for {
			m, err := stream.Next()
			if err != nil {
				t.Fatalf("%s: %v", tr.Name, err)
			}
			if strings.Contains(m.Raw, secret) || strings.Contains(m.ID, "2:") || m.Shop == 2 {
				t.Errorf("%s told %s, id %s", tr.Name, m.Raw, m.ID)
			}
			if strings.Contains(m.Raw, "ours "+tr.Name) {
				break
			}
		}
	}
}
