package handlers_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"doorbell/internal/doorbell"
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
	case "replayCallback":
		c.paid()
		r.body["transactionId"] = "TP-" + strconv.Itoa(c.made)
	case "sendAgain":
		r.path["id"] = c.message()
	case "revokeToken":
		c.as(c.tokens["service"], "POST", "api/v1/tokens", `{"sub":"`+c.next()+`"}`)
		list := c.as(c.tokens["admin"], "GET", "api/v1/tokens?limit=1", "").body
		_, id, _ := strings.Cut(list, `"id":"`)
		r.path["id"], _, _ = strings.Cut(id, `"`)
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

// message queues a message to another system, and returns its id.
func (c *caller) message() string {
	c.t.Helper()
	err := c.Store.Write(c.t.Context(), func(tx doorbell.Tx) error {
		return tx.Enqueue(doorbell.Outgoing{Hook: "nobody", Message: "msg_" + c.next(), Event: doorbell.EventTypes[0], Shop: 1, Body: []byte("{}"), State: doorbell.GivenUp})
	})
	if err != nil {
		c.t.Fatal(err)
	}
	_, id, _ := strings.Cut(c.as(c.tokens["admin"], "GET", "api/v1/outbox?limit=1", "").body, `"id":`)
	id, _, _ = strings.Cut(id, ",")
	return id
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
