package handlers_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment/paysim"
)

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
		{"replayCallback", "admin", func(r *request) { r.body["transactionId"] = "nobody" }, 404, doorbell.NotFound},
		{"sendAgain", "admin", path("id", "999999"), 404, doorbell.NotFound},
		{"revokeToken", "admin", path("id", "nobody"), 404, doorbell.NotFound},
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
