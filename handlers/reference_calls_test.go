package handlers_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/providers"
)

// caller makes the calls of the reference against a server.
type caller struct {
	*testServer
	spec   *spec
	sims   *providers.Players
	tokens map[string]string // by role, good for all shops
	made   int
}

// request is one call, ready to be sent.
type request struct {
	path    map[string]string
	query   map[string]string
	body    map[string]any // nil: none
	raw     string         // instead of body
	headers []string
}

func newCaller(t *testing.T) *caller {
	t.Helper()
	s, sims := allProviders(t, withSky)
	c := &caller{testServer: s, spec: s.spec(t, "openapi.json"), sims: sims, tokens: map[string]string{}}
	for _, role := range doorbell.Roles {
		sub := "sub-" + string(role)
		if role == doorbell.RoleCustomer {
			sub = "77"
		}
		token, err := s.Tokens.Issue(doorbell.Grant{Subject: sub, Role: role, Shops: doorbell.ShopSet{All: true}, Expires: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		c.tokens[string(role)] = token
	}
	s.raise(1, doorbell.NewOrder, 1, "x")
	return c
}

func (c *caller) next() string { c.made++; return strconv.Itoa(c.made) }

// paid creates an order of customer 77 and pays it.
func (c *caller) paid() (id string) {
	number := "P-" + c.next()
	o := c.as(c.tokens["service"], "POST", "api/v1/orders", `{"number":"`+number+`","shopId":1,"userId":77,"amount":100}`)
	if r := c.pay(number, 100); r.status != 204 {
		c.t.Fatalf("pay: %d %s", r.status, r.body)
	}
	return o.field("id")
}

// listed polls as a console, whose id then is known.
func (c *caller) listed(role string) string {
	c.t.Helper()
	return c.as(c.tokens[role], "GET", "poll?shops=1&after=0&wait=1", "").field("console")
}

func (c *caller) session() (cookie, id string) {
	r := c.do("POST", "login", `{"token":"`+c.tokens["console"]+`"}`)
	return cookieOf(c.t.(*testing.T), r), r.field("session")
}

// prepare returns a request that must succeed, made anew for each call.
func (c *caller) prepare(o operation, role string) request {
	r := request{path: map[string]string{}, query: map[string]string{}}
	if body := c.spec.body(o); body != nil {
		text, err := json.Marshal(body["example"])
		if err != nil {
			c.t.Fatal(err)
		}
		if err := json.Unmarshal(text, &r.body); err != nil {
			c.t.Fatal(err)
		}
	}
	switch o.id {
	case "createOrder", "raise":
		r.body["number"] = "N-" + c.next()
	case "getOrder", "remind", "acceptOrder", "cancelOrder", "skyReminder":
		r.path["id"] = c.paid()
	case "alerts", "ledger":
		r.query["shop"] = "1"
	case "alert", "acceptAlert", "receipt":
		r.path["shop"], r.path["seq"] = "1", strconv.Itoa(int(c.raise(1, doorbell.NewOrder, int64(1000+c.made), "x").Seq))
		if o.id == "receipt" {
			r.body["console"] = c.listed(role)
		}
	case "hearing":
		r.path["console"] = c.listed(role)
	case "consoles", "attention", "figures":
		r.path["id"] = "1"
	case "endSession", "endDevice":
		_, r.path["id"] = c.session()
	case "lookAtTicket":
		r.body["ticket"] = c.as(c.tokens["service"], "POST", "api/v1/tickets", `{}`).field("ticket")
	case "login":
		r.body["token"] = c.tokens["console"]
	case "logout":
		r.headers = []string{"Content-Type", "application/json"}
	case "subscribe":
		cookie, _ := c.session()
		r.headers = []string{"Cookie", cookie}
	case "poll":
		r.query["shops"], r.query["after"], r.query["types"] = "1", "0", "1"
	case "events", "eventsWithSid", "webSocket", "webSocketWithSid":
		r.query["shops"], r.path["sid"] = "1", "x"
		if strings.HasPrefix(o.id, "webSocket") {
			r.headers = []string{"Upgrade", "websocket", "Connection", "Upgrade", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}
		}
	case "staticFile":
		r.path["file"] = "client/ladder.js"
	case "messagePage", "countUnread", "tickMany", "tickOne":
		r.headers = []string{"token", employeeToken(c.t, time.Hour)}
		r.path["id"] = "1"
		if o.id == "tickMany" {
			r.body, r.raw = nil, "[1]"
		}
	}
	if o.id == "skyReminder" {
		r.headers = []string{"authentication", c.tokens["customer"]}
	}
	if r.path["account"] == "" {
		r.path["account"] = "second"
	}
	return r
}

// send makes a call with a role's token; an empty role is nobody.
func (c *caller) send(o operation, role string, r request) reply {
	c.t.Helper()
	path := strings.TrimPrefix(o.path, "/")
	for name, value := range r.path {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	sep := "?"
	for name, value := range r.query {
		path += sep + name + "=" + strings.NewReplacer(" ", "%20", "\n", "%0A").Replace(value)
		sep = "&"
	}
	body := r.raw
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			c.t.Fatal(err)
		}
		body = string(text)
	}
	headers := r.headers
	if role != "" && !slices.Contains(headers, "Cookie") {
		headers = append([]string{"Authorization", "Bearer " + c.tokens[role]}, headers...)
	}
	return c.do(o.method, path, body, headers...)
}

func isStream(o operation) bool {
	return slices.Contains([]string{"events", "eventsWithSid", "webSocket", "webSocketWithSid"}, o.id)
}

func isCallback(o operation) bool { return o.op["x-kind"] == "callback" }

// roleOf is one that may make the call; empty where anybody may.
func roleOf(o operation) string {
	roles := texts(o.op["x-roles"])
	switch {
	case len(roles) == 0:
		return ""
	case o.id == "ticket": // some of its fields are for services
		return "service"
	case slices.Contains(roles, "console"):
		return "console"
	default:
		return roles[0]
	}
}

// TestReferenceCalls: each call that the reference describes succeeds, and answers as
// it says; nobody and every role are refused as it says.
func TestReferenceCalls(t *testing.T) {
	c := newCaller(t)
	for _, o := range c.spec.operations() {
		if isCallback(o) || isStream(o) || strings.HasPrefix(o.id, "tell") {
			continue
		}
		roles := texts(o.op["x-roles"])
		if len(roles) == 0 {
			r := c.send(o, "", c.prepare(o, ""))
			if r.status >= 300 {
				t.Errorf("%s: %d %s", o.id, r.status, r.body)
			}
			c.spec.told(t, o.id, o, r)
			continue
		}
		if o.id != "subscribe" { // by session alone
			for _, role := range doorbell.Roles {
				role := string(role)
				if !slices.Contains(roles, role) {
					r := c.send(o, role, c.prepare(o, roles[0])).want(t, o.id+" by "+role, 403, "forbidden")
					c.spec.told(t, o.id+" by "+role, o, r)
					continue
				}
				r := c.send(o, role, c.prepare(o, role))
				if r.status >= 300 {
					t.Errorf("%s by %s: %d %s", o.id, role, r.status, r.body)
				}
				c.spec.told(t, o.id+" by "+role, o, r)
			}
		}
		nobody := c.prepare(o, roles[0])
		nobody.headers = nil
		r := c.send(o, "", nobody).want(t, o.id+" by nobody", 401, "token_missing")
		c.spec.told(t, o.id+" by nobody", o, r)
		nobody.headers = []string{"Authorization", "Bearer x"}
		r = c.send(o, "", nobody).want(t, o.id+" with no token", 401, "token_invalid")
		c.spec.told(t, o.id+" with no token", o, r)
	}
	for _, o := range c.spec.operations() {
		if o.id == "subscribe" {
			r := c.send(o, "console", c.prepare(o, "console")).want(t, o.id, 204, "")
			c.spec.told(t, o.id, o, r)
			byToken := c.prepare(o, "console")
			byToken.headers = nil
			c.spec.told(t, o.id, o, c.send(o, "console", byToken).want(t, "by token", 409, "conflict"))
		}
	}
}

// TestReferenceLimits: a call generated from the reference passes at each limit of
// each field, and is refused as invalid, with the field's name, past it, of another
// type, or where a needed field is left out.
func TestReferenceLimits(t *testing.T) {
	c := newCaller(t)
	checked := 0
	for _, o := range c.spec.operations() {
		if isCallback(o) || o.op["x-kind"] == "sky" || strings.HasPrefix(o.id, "tell") {
			continue
		}
		body := c.spec.body(o)
		for name, v := range object(body, "properties") {
			if inner := object(v, "properties"); inner != nil {
				for _, below := range slices.Sorted(maps.Keys(inner)) {
					bad := c.prepare(o, roleOf(o))
					delete(object(bad.body[name]), below)
					c.refused(t, o, bad, name+"."+below)
					checked++
				}
			}
			checked += c.property(t, o, name, c.spec.resolve(v))
		}
		for _, name := range texts(body["required"]) {
			bad := c.prepare(o, roleOf(o))
			delete(bad.body, name)
			c.refused(t, o, bad, name)
			checked++
		}
		for _, p := range c.spec.parameters(o) {
			checked += c.parameter(t, o, p)
		}
	}
	if checked < 250 {
		t.Errorf("only %d limits were checked", checked)
	}
	t.Logf("%d limits", checked)
}

// What must stay as it is for a call to pass: an id of something that is there, or
// must not be there.
var fixed = []string{"createOrder.id", "receipt.console", "login.token", "login.ticket", "lookAtTicket.ticket", "subscribe.endpoint", "unsubscribe.endpoint"}

// ignored is what a call reads and does not look at.
var ignored = []string{"token.life", "token.pair"}

// property checks one field of a body, and returns how many calls it took.
func (c *caller) property(t *testing.T, o operation, name string, s map[string]any) (n int) {
	t.Helper()
	try := func(value any, good bool, unnamed ...bool) {
		n++
		r := c.prepare(o, roleOf(o))
		r.body[name] = value
		if o.id == "login" && name == "ticket" {
			delete(r.body, "token")
		}
		switch {
		case good:
			c.passed(t, o, r, fmt.Sprintf("%s = %.60v", name, value))
		case len(unnamed) > 0:
			c.refused(t, o, r, "")
		default:
			c.refused(t, o, r, name)
		}
	}
	good, bad := values(s)
	if slices.Contains(ignored, o.id+"."+name) {
		return 0
	}
	if !slices.Contains(fixed, o.id+"."+name) {
		for _, v := range good {
			try(v, true)
		}
	}
	for _, v := range bad {
		if strings.HasSuffix(o.id, "subscribe") || o.id == "lookAtTicket" || o.id == "login" && name != "label" {
			if _, isText := v.(string); isText {
				continue // refused as unknown, not as malformed
			}
		}
		try(v, false)
	}
	if s["x-duration"] != nil {
		for _, v := range []any{"soon", true, "0.5s", -1, "9000h"} {
			try(v, false, true)
		}
	}
	return n
}

// values returns some of each schema that pass, and some that do not.
func values(s map[string]any) (good, bad []any) {
	bound := func(key string) (int64, bool) {
		n, ok := s[key].(json.Number)
		if !ok {
			return 0, false
		}
		v, err := n.Int64()
		return v, err == nil
	}
	enum, _ := s["enum"].([]any)
	switch s["type"] {
	case "integer":
		bad = append(bad, "x", 1.5, true)
		if low, ok := bound("minimum"); ok {
			good, bad = append(good, low), append(bad, low-1)
		}
		if high, ok := bound("maximum"); ok {
			good, bad = append(good, high), append(bad, high+1)
		}
		if len(enum) > 0 {
			bad = append(bad, 9)
		}
	case "boolean":
		good, bad = append(good, true), append(bad, "yes", 1)
	case "string":
		bad = append(bad, 7, []any{})
		if most, ok := bound("maxLength"); ok {
			good, bad = append(good, strings.Repeat("界", int(most))), append(bad, strings.Repeat("界", int(most)+1))
		}
		if most, ok := bound("x-max-bytes"); ok {
			good, bad = append(good, strings.Repeat("x", int(most))), append(bad, strings.Repeat("x", int(most)+1))
		}
		if _, ok := bound("minLength"); ok {
			bad = append(bad, "")
		}
		if s["pattern"] != nil {
			bad = append(bad, "a\nb")
		}
		if len(enum) > 0 {
			bad = append(bad, "other")
		}
	case "array":
		bad = append(bad, 7)
		if most, ok := bound("maxItems"); ok {
			line := object(s["items"])
			fine, wrong := values(line)
			good, bad = append(good, slices.Repeat([]any{"x"}, int(most)), fine), append(bad, slices.Repeat([]any{"x"}, int(most)+1))
			for _, one := range wrong {
				bad = append(bad, []any{one})
			}
		}
	}
	return append(good, enum...), bad
}

// parameter checks one of a path, a query or the headers.
func (c *caller) parameter(t *testing.T, o operation, p map[string]any) (n int) {
	t.Helper()
	name, s := fmt.Sprint(p["name"]), object(p["schema"])
	if o.op["x-kind"] == "page" {
		return 0 // a page takes whatever language
	}
	good, bad := values(s)
	try := func(value any, passes bool) {
		n++
		r := c.prepare(o, roleOf(o))
		text := fmt.Sprint(value)
		switch p["in"] {
		case "path":
			r.path[name] = strings.NewReplacer(" ", "%20", "\n", "%0A").Replace(text)
		case "query":
			r.query[name] = text
		default:
			if strings.Contains(text, "\n") {
				text = "a b"
			}
			r.headers = append(r.headers, name, text)
		}
		if passes {
			c.passed(t, o, r, name+" = "+text)
		} else {
			c.refused(t, o, r, name)
		}
	}
	if p["in"] == "query" && !isStream(o) && name != "ticket" {
		for _, v := range good {
			try(v, true)
		}
	}
	for _, v := range bad {
		if _, flag := v.(bool); flag || s["type"] != "integer" && v == any(7) || fmt.Sprint(v) == "[]" || name == "ticket" && p["in"] == "query" && len(fmt.Sprint(v)) < 65 {
			continue // every text is one
		}
		try(v, false)
	}
	if s["format"] == "date" {
		try("yesterday", false)
		try("2026-02-29", false)
		try("2024-02-29", true)
	}
	if required, _ := p["required"].(bool); required && p["in"] == "query" {
		n++
		r := c.prepare(o, roleOf(o))
		delete(r.query, name)
		c.refused(t, o, r, name)
	}
	return n
}

func (c *caller) passed(t *testing.T, o operation, r request, what string) {
	t.Helper()
	got := c.send(o, roleOf(o), r)
	if got.status >= 300 {
		t.Errorf("%s, %s: %d %s, want it to pass", o.id, what, got.status, got.body)
	}
	c.spec.told(t, o.id+", "+what, o, got)
}

// refused wants a 400 that names the field; an empty one may be any.
func (c *caller) refused(t *testing.T, o operation, r request, field string) {
	t.Helper()
	what := fmt.Sprintf("%s %v %v %.200s", o.id, r.query, r.headers, mustJSON(t, r.body))
	got := c.send(o, roleOf(o), r).want(t, what+" ("+field+")", http.StatusBadRequest, "invalid")
	if !strings.Contains(got.body, `"field":"`+field) && field != "" {
		t.Errorf("%s: %s, want it to name %s", what, got.body, field)
	}
	c.spec.told(t, what, o, got)
}

// TestReferenceRefusals: each cause of a refusal that a client can bring about gets the
// code that the reference lists for the call, with its headers.
func TestReferenceRefusals(t *testing.T) {
	c := newCaller(t)
	set := func(name, value string) func(*request) {
		return func(r *request) { r.headers = append(r.headers, name, value) }
	}
	path := func(name, value string) func(*request) { return func(r *request) { r.path[name] = value } }
	twice := func(r *request) { // the first one is made here
		c.as(c.tokens["service"], "POST", "api/v1/orders/"+r.path["id"]+"/reminders", "").want(t, "first", 202, "")
	}
	cookie, _ := c.session()
	bySession := func(r *request) { r.headers = []string{"Cookie", cookie, "Content-Type", "text/plain"} }
	taken := c.prepare(c.call("createOrder"), "service")
	c.send(c.call("createOrder"), "service", taken).want(t, "the first", 201, "")
	again := func(r *request) { r.body, taken.body["amount"] = taken.body, 7 }
	for _, refusal := range []struct {
		call, role string
		edit       func(*request)
		status     int
		code       doorbell.Code
	}{
		{"me", "console", set("Origin", "https://evil.example"), 403, "origin_not_allowed"},
		{"createOrder", "service", again, 409, doorbell.Conflict},
		{"createOrder", "service", func(r *request) { r.body["note"] = strings.Repeat("x", 65<<10) }, 413, "too_large"},
		{"createOrder", "service", func(r *request) { r.body, r.raw = nil, `{"number":` }, 400, doorbell.Invalid},
		{"raise", "service", func(r *request) { delete(r.body, "number"); delete(r.body, "orderId") }, 400, doorbell.Invalid},
		{"getOrder", "service", path("id", "999999"), 404, doorbell.NotFound},
		{"remind", "customer", twice, 429, doorbell.TooSoon},
		{"acceptAlert", "console", path("seq", "999999"), 404, doorbell.NotFound},
		{"hearing", "console", path("console", "nobody"), 404, doorbell.NotFound},
		{"receipt", "console", func(r *request) { r.body["console"] = "nobody" }, 403, doorbell.Forbidden},
		{"endSession", "console", path("id", "nobody"), 404, doorbell.NotFound},
		{"lookAtTicket", "", func(r *request) { r.body["ticket"] = "nobody" }, 401, "token_expired"},
		{"login", "", func(r *request) { r.body["token"] = c.tokens["service"] }, 403, doorbell.Forbidden},
		{"logout", "", func(r *request) { r.headers = nil }, 415, "unsupported_media_type"},
		{"ticket", "", bySession, 415, "unsupported_media_type"},
		{"webSocket", "console", func(r *request) { r.headers = nil }, 426, "upgrade_required"},
		{"poll", "customer", func(*request) {}, 403, doorbell.Forbidden},
		{"events", "console", func(r *request) { r.query["after"] = "yesterday" }, 400, doorbell.Invalid},
		{"staticFile", "", path("file", "nothing.js"), 404, doorbell.NotFound},
		{"metrics", "console", func(*request) {}, 403, doorbell.Forbidden},
	} {
		o := c.call(refusal.call)
		r := c.prepare(o, refusal.role)
		refusal.edit(&r)
		got := c.send(o, refusal.role, r).want(t, refusal.call, refusal.status, string(refusal.code))
		c.spec.told(t, refusal.call, o, got)
	}
	c.Edge.Drain()
	o := c.call("ready")
	c.spec.told(t, "a node that stops", o, c.send(o, "", c.prepare(o, "")).want(t, "ready", 503, "unavailable"))
	for name, a := range map[string]doorbell.Alert{"plain": {}, "test": {Test: true}} {
		a.Type, a.OrderID, a.Shop, a.Seq, a.Source, a.Time = doorbell.Reminder, doorbell.MaxID, 1, 1, doorbell.External, time.Now()
		c.spec.valid(t, name, string(a.Encode()), "components", "schemas", "Alert")
	}
}

// call returns a call by its name.
func (c *caller) call(id string) operation {
	c.t.Helper()
	for _, o := range c.spec.operations() {
		if o.id == id {
			return o
		}
	}
	c.t.Fatalf("no call %s", id)
	return operation{}
}

// TestReferenceCallbacks: genuine callbacks, forged ones, and who looks at their
// address, are answered as the reference says.
func TestReferenceCallbacks(t *testing.T) {
	c := newCaller(t)
	byPath := map[string]paysim.Player{}
	for _, p := range c.sims.All() {
		byPath["/"+paysim.Path(p)] = p
	}
	for _, o := range c.spec.operations() {
		switch {
		case strings.HasPrefix(o.id, "tell"):
			r := request{path: map[string]string{"account": "second"}}
			got := c.send(o, "", r)
			c.spec.told(t, o.id, o, got)
			r.path["account"] = "nobody"
			c.spec.told(t, o.id, o, c.send(o, "", r))
		case isCallback(o):
			forged := request{path: map[string]string{"account": "second"}, raw: `{"type":"order.paid"}`}
			got := c.send(o, "", forged)
			if got.status != http.StatusUnauthorized && got.status != http.StatusNotFound {
				t.Errorf("%s, forged: %d %s", o.id, got.status, got.body)
			}
			c.spec.told(t, o.id+", forged", o, got)
			forged.raw = strings.Repeat("x", 64<<10+1)
			c.spec.told(t, o.id+", too large", o, c.send(o, "", forged))
			p := byPath[o.path]
			if p == nil || o.method != http.MethodPost {
				continue
			}
			number := "C-" + c.next()
			paid, err := p.Paid(paysim.Payment{Number: number, Transaction: "T-" + number, Minor: 100})
			if err != nil {
				t.Fatal(err)
			}
			c.spec.told(t, o.id+", of no order", o, c.post(strings.TrimPrefix(o.path, "/"), paid))
			c.order(number, 101)
			c.spec.told(t, o.id+", of another amount", o, c.post(strings.TrimPrefix(o.path, "/"), paid))
		}
	}
	for _, p := range c.sims.All() {
		number := "D-" + c.next()
		c.order(number, 100)
		c.genuine(p, paysim.Payment{Number: number, Transaction: "T-" + number, Minor: 100})
	}
}
