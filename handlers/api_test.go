package handlers_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
)

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	body   string
}

// field reads a top-level field of the answer as text.
func (r reply) field(name string) string {
	var m map[string]json.RawMessage
	if json.Unmarshal([]byte(r.body), &m) != nil {
		return ""
	}
	return strings.Trim(string(m[name]), `"`)
}

// do makes a request; headers are pairs.
func (s *testServer) do(method, path, body string, headers ...string) reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.client.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(text)}
}

func (s *testServer) as(token, method, path, body string, headers ...string) reply {
	s.t.Helper()
	return s.do(method, path, body, append([]string{"Authorization", "Bearer " + token}, headers...)...)
}

func (r reply) want(t *testing.T, what string, status int, code string) reply {
	t.Helper()
	if r.status != status || code != "" && r.field("code") != code {
		t.Errorf("%s: %d %s, want %d %s", what, r.status, r.body, status, code)
	}
	if code != "" && (r.header.Get("Content-Type") != "application/problem+json" || r.field("request_id") == "" || r.field("detail") == "") {
		t.Errorf("%s: %s (%s) is no problem document", what, r.body, r.header.Get("Content-Type"))
	}
	return r
}

// pay sends a genuine callback for the order.
func (s *testServer) pay(number string, fen int64) reply {
	s.t.Helper()
	return s.notify("pay/wechat", s.platform.Payment(number, "T"+number, fen))
}

func TestLifeOfAnOrder(t *testing.T) {
	s := newServer(t)
	service := s.token(doorbell.RoleService, "backend", 1)
	console := s.token(doorbell.RoleConsole, "till", 1)
	customer := s.token(doorbell.RoleCustomer, "77")

	order := `{"number":"A-1","shopId":1,"userId":77,"amount":1250}`
	created := s.as(service, "POST", "api/v1/orders", order).want(t, "create", 201, "")
	path := "api/v1/orders/" + created.field("id")
	s.as(service, "POST", "api/v1/orders", order).want(t, "the same again", 200, "")
	s.as(service, "POST", "api/v1/orders", strings.Replace(order, "1250", "1251", 1)).want(t, "the same number, another amount", 409, "conflict")
	s.as(customer, "POST", path+"/reminders", "").want(t, "a reminder before payment", 409, "conflict")
	s.as(console, "POST", path+"/accept", "").want(t, "accept before payment", 409, "conflict")

	s.pay("A-1", 1250).want(t, "payment", 204, "")
	s.pay("A-1", 1250).want(t, "the same payment again", 204, "")
	if got := s.as(customer, "GET", path, ""); got.field("status") != "2" || got.field("payStatus") != "1" || got.field("transactionId") != "TA-1" {
		t.Errorf("paid order: %s", got.body)
	}
	reminder := s.as(customer, "POST", path+"/reminders", "").want(t, "reminder", 202, "")
	if reminder.field("type") != "2" || reminder.field("seq") != "2" || reminder.field("content") != "订单号: A-1" {
		t.Errorf("reminder: %s", reminder.body)
	}
	soon := s.as(customer, "POST", path+"/reminders", "").want(t, "a reminder too soon", 429, "too_soon")
	if soon.header.Get("Retry-After") != "60" {
		t.Errorf("Retry-After %q, want 60", soon.header.Get("Retry-After"))
	}
	list := s.as(console, "GET", "api/v1/alerts?shop=1&state=open", "")
	if strings.Count(list.body, `"state":"open"`) != 2 {
		t.Errorf("open alerts: %s", list.body)
	}
	first := s.as(console, "POST", "api/v1/alerts/1/1/accept", "").want(t, "accept alert 1", 200, "")
	again := s.as(console, "POST", "api/v1/alerts/1/2/accept", "").want(t, "accept alert 2", 200, "")
	if first.body != again.body || !strings.Contains(first.body, `"seq":3`) || first.field("by") != "console:till" {
		t.Errorf("accepts answered %s and %s, want the same alert 3", first.body, again.body)
	}
	if got := s.as(service, "GET", path, ""); got.field("status") != "3" {
		t.Errorf("accepted order: %s, want status 3", got.body)
	}
	s.as(service, "POST", path+"/accept", "").want(t, "accept again", 200, "")
	s.as(service, "POST", path+"/cancel", "").want(t, "cancel", 200, "")
	s.as(service, "POST", path+"/cancel", "").want(t, "cancel again", 200, "")
	s.as(service, "POST", path+"/accept", "").want(t, "accept a cancelled one", 409, "conflict")
	if _, at := s.position(1); at.Head != 4 {
		t.Errorf("head %d, want 4: new, reminder, accept, cancel and nothing else", at.Head)
	}
	s.as(console, "POST", "api/v1/alerts/1/4/accept", "").want(t, "accept a type 4", 409, "conflict")
	s.as(console, "POST", "api/v1/alerts/1/99/accept", "").want(t, "accept what is not there", 404, "not_found")
}

func TestRaiseAlert(t *testing.T) {
	s := newServer(t)
	service := s.token(doorbell.RoleService, "backend", 1, 2)
	body := `{"type":1,"shopId":1,"number":"X-9","content":"桌号 5"}`
	first := s.as(service, "POST", "api/v1/alerts", body, "Idempotency-Key", "k1").want(t, "first", 201, "")
	if first.field("source") != "external" || first.field("content") != "桌号 5" || first.field("number") != "X-9" {
		t.Errorf("alert: %s", first.body)
	}
	same := `{ "number":"X-9","shopId":1,"type":1, "content":"桌号 5" }`
	if again := s.as(service, "POST", "api/v1/alerts", same, "Idempotency-Key", "k1").want(t, "retry", 200, ""); again.body != first.body {
		t.Errorf("retry answered %s, want the first alert", again.body)
	}
	s.as(service, "POST", "api/v1/alerts", `{"type":2,"shopId":1,"number":"X-9"}`, "Idempotency-Key", "k1").want(t, "another body", 409, "conflict")
	s.as(service, "POST", "api/v1/alerts", strings.Replace(body, `"shopId":1`, `"shopId":2`, 1), "Idempotency-Key", "k1").want(t, "another shop is another scope", 201, "")
	other := s.as(service, "POST", "api/v1/alerts", `{"type":2,"shopId":1,"number":"X-9"}`).want(t, "no key", 201, "")
	if other.field("orderId") != first.field("orderId") || other.field("content") != "订单号: X-9" {
		t.Errorf("got %s, want the same derived order id as %s and the template's content", other.body, first.body)
	}
	for _, key := range []string{strings.Repeat("x", 256), "two words"} {
		s.as(service, "POST", "api/v1/alerts", body, "Idempotency-Key", key).want(t, "bad key", 400, "invalid")
	}
	var wg sync.WaitGroup
	created := make(chan int, 32)
	for range 32 {
		wg.Go(func() {
			created <- s.as(service, "POST", "api/v1/alerts", body, "Idempotency-Key", "together").status
		})
	}
	wg.Wait()
	close(created)
	count := map[int]int{}
	for status := range created {
		count[status]++
	}
	if count[201] != 1 || count[200] != 31 {
		t.Errorf("concurrent copies answered %v, want one 201 and 31 times 200", count)
	}
}

func TestBadInputChangesNothing(t *testing.T) {
	s := newServer(t)
	service := s.token(doorbell.RoleService, "backend", 1)
	customer := s.token(doorbell.RoleCustomer, "77")
	s.as(service, "POST", "api/v1/orders", `{"id":5,"number":"A-1","shopId":1,"userId":78,"amount":1}`).want(t, "create", 201, "")
	expired, err := s.Tokens.Issue(doorbell.Grant{Subject: "x", Role: doorbell.RoleService, Expires: time.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, token, method, path, body string
		status                          int
		code, says                      string
	}{
		{"unknown order", service, "GET", "api/v1/orders/6", "", 404, "not_found", ""},
		{"no number", service, "GET", "api/v1/orders/abc", "", 400, "invalid", "id"},
		{"an id too large", service, "GET", "api/v1/orders/9007199254740992", "", 400, "invalid", "id"},
		{"somebody else's order", customer, "GET", "api/v1/orders/5", "", 404, "not_found", ""},
		{"a customer creates", customer, "POST", "api/v1/orders", `{}`, 403, "forbidden", ""},
		{"not JSON", service, "POST", "api/v1/orders", `{"number":`, 400, "invalid", "JSON"},
		{"two objects", service, "POST", "api/v1/orders", `{} {}`, 400, "invalid", "follows"},
		{"an array", service, "POST", "api/v1/orders", `[]`, 400, "invalid", ""},
		{"a float", service, "POST", "api/v1/orders", `{"number":"A-2","shopId":1,"amount":1.5}`, 400, "invalid", "amount"},
		{"a text for a number", service, "POST", "api/v1/orders", `{"number":"A-2","shopId":"1","amount":1}`, 400, "invalid", "shopId"},
		{"no amount", service, "POST", "api/v1/orders", `{"number":"A-2","shopId":1}`, 400, "invalid", "amount"},
		{"markup in the number", service, "POST", "api/v1/orders", `{"number":"<b>","shopId":1,"amount":1}`, 400, "invalid", "number"},
		{"a foreign shop", service, "POST", "api/v1/orders", `{"number":"A-2","shopId":2,"amount":1}`, 403, "forbidden", ""},
		{"the id of another", service, "POST", "api/v1/orders", `{"id":5,"number":"A-2","shopId":1,"amount":1}`, 409, "conflict", ""},
		{"10 MB", service, "POST", "api/v1/orders", `{"number":"` + strings.Repeat("x", 10<<20) + `"}`, 413, "too_large", ""},
		{"several faults", service, "POST", "api/v1/alerts", `{"type":9,"shopId":1,"number":"<"}`, 400, "invalid", "number"},
		{"an alert of nothing", service, "POST", "api/v1/alerts", `{"type":1,"shopId":1}`, 400, "invalid", "orderId"},
		{"two lines", service, "POST", "api/v1/alerts", `{"type":1,"shopId":1,"number":"1","content":"a\nb"}`, 400, "invalid", "content"},
		{"no token", "", "GET", "api/v1/me", "", 401, "token_missing", ""},
		{"an old token", expired, "GET", "api/v1/me", "", 401, "token_expired", "T"},
		{"a foreign key", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4Iiwicm9sZSI6InNlcnZpY2UiLCJleHAiOjk5OTk5OTk5OTl9.AAAA", "GET", "api/v1/me", "", 401, "token_unknown_key", ""},
		{"alg none", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4Iiwicm9sZSI6InNlcnZpY2UiLCJleHAiOjk5OTk5OTk5OTl9.", "GET", "api/v1/me", "", 401, "", ""},
		{"no route", service, "GET", "api/v1/nothing", "", 404, "not_found", ""},
		{"a wrong method", service, "DELETE", "api/v1/orders/5", "", 405, "method_not_allowed", ""},
		{"a list without a shop", service, "GET", "api/v1/alerts", "", 400, "invalid", "shop"},
		{"a list of a foreign shop", service, "GET", "api/v1/alerts?shop=2", "", 403, "forbidden", ""},
		{"a strange state", service, "GET", "api/v1/alerts?shop=1&state=closed", "", 400, "invalid", "state"},
		{"an empty announcement", service, "POST", "api/v1/announcements", `{"text":""}`, 400, "invalid", "text"},
	} {
		headers := []string{}
		if c.token != "" {
			headers = append(headers, "Authorization", "Bearer "+c.token)
		}
		got := s.do(c.method, c.path, c.body, headers...).want(t, c.name, c.status, c.code)
		if !strings.Contains(got.body, c.says) {
			t.Errorf("%s: %s does not say %q", c.name, got.body, c.says)
		}
	}
	if _, at := s.position(1); at.Head != 0 {
		t.Errorf("head %d after bad input, want 0", at.Head)
	}
	zh := s.as(service, "GET", "api/v1/orders/6", "", "Accept-Language", "zh-CN,zh;q=0.9,en;q=0.8")
	if zh.field("detail") != "订单 6 不存在。" {
		t.Errorf("in Chinese: %s", zh.body)
	}
}

// TestForeignAndAbsentLookTheSame: no path tells a shop's token that another
// shop's order or alert is there.
func TestForeignAndAbsentLookTheSame(t *testing.T) {
	s := newServer(t)
	one := s.token(doorbell.RoleService, "one", 1)
	two := s.token(doorbell.RoleService, "two", 2)
	twoConsole := s.token(doorbell.RoleConsole, "two", 2)
	s.as(one, "POST", "api/v1/orders", `{"id":5,"number":"A-1","shopId":1,"userId":7,"amount":1}`).want(t, "create", 201, "")
	s.pay("A-1", 1).want(t, "pay", 204, "")
	for _, c := range []struct{ token, method, foreign, absent string }{
		{two, "GET", "api/v1/orders/5", "api/v1/orders/6"},
		{two, "POST", "api/v1/orders/5/accept", "api/v1/orders/6/accept"},
		{two, "POST", "api/v1/orders/5/cancel", "api/v1/orders/6/cancel"},
		{two, "POST", "api/v1/orders/5/reminders", "api/v1/orders/6/reminders"},
		{two, "GET", "api/v1/alerts/1/1", "api/v1/alerts/3/1"},
		{twoConsole, "POST", "api/v1/alerts/1/1/accept", "api/v1/alerts/3/1/accept"},
		{twoConsole, "POST", "api/v1/alerts/1/1/receipts", "api/v1/alerts/3/1/receipts"},
		{two, "GET", "api/v1/shops/1/consoles", "api/v1/shops/3/consoles"},
	} {
		foreign := s.as(c.token, c.method, c.foreign, "").want(t, c.foreign, 404, "not_found")
		absent := s.as(c.token, c.method, c.absent, "").want(t, c.absent, 404, "not_found")
		blank := strings.NewReplacer("5", "#", "6", "#", "shop 1", "shop #", "shop 3", "shop #", "Shop 1", "Shop #", "Shop 3", "Shop #")
		if blank.Replace(foreign.field("detail")) != blank.Replace(absent.field("detail")) {
			t.Errorf("%s says %s, %s says %s", c.foreign, foreign.body, c.absent, absent.body)
		}
	}
	if got := s.as(one, "GET", "api/v1/orders/5", ""); got.field("status") != "2" {
		t.Errorf("the order after foreign hands: %s", got.body)
	}
}

func TestSkyReminder(t *testing.T) {
	s := newServer(t)
	service := s.token(doorbell.RoleService, "backend", 1)
	s.as(service, "POST", "api/v1/orders", `{"id":5,"number":"A-1","shopId":1,"userId":77,"amount":1}`).want(t, "create", 201, "")
	customer := s.token(doorbell.RoleCustomer, "77")
	ask := func(id, token string) reply {
		return s.do("GET", "user/order/reminder/"+id, "", "authentication", token)
	}
	check := func(what string, got reply, want string) {
		t.Helper()
		if got.status != 200 || got.body != want {
			t.Errorf("%s: %d %s, want 200 %s", what, got.status, got.body, want)
		}
	}
	if got := ask("5", "bad"); got.status != 401 || got.body != "" {
		t.Errorf("a bad token: %d %q, want 401 with nothing", got.status, got.body)
	}
	check("unpaid", ask("5", customer), `{"code":0,"msg":"订单状态错误","data":null}`)
	check("unknown", ask("6", customer), `{"code":0,"msg":"订单不存在","data":null}`)
	check("no number", ask("abc", customer), `{"code":0,"msg":"订单不存在","data":null}`)
	s.pay("A-1", 1)
	check("paid", ask("5", customer), `{"code":1,"msg":null,"data":null}`)
	check("too soon", ask("5", customer), `{"code":1,"msg":null,"data":null}`)
	check("somebody else", ask("5", s.token(doorbell.RoleCustomer, "78")), `{"code":0,"msg":"订单不存在","data":null}`)
	if _, at := s.position(1); at.Head != 2 {
		t.Errorf("head %d, want 2: the payment and one reminder", at.Head)
	}
}

func TestReceiptsAndConsoles(t *testing.T) {
	s := newServer(t)
	console := s.token(doorbell.RoleConsole, "till", 1)
	s.raise(1, doorbell.NewOrder, 1, "x")
	polled := s.as(console, "GET", "poll?after=0&wait=1&sid=till-1", "")
	id := polled.field("console")
	s.as(console, "PUT", "api/v1/consoles/"+id, `{"audible":false,"reason":"muted","label":"Kitchen"}`).want(t, "hearing", 204, "")
	s.as(s.token(doorbell.RoleConsole, "other", 1), "PUT", "api/v1/consoles/"+id, `{"audible":true}`).want(t, "another's console", 404, "not_found")
	s.as(console, "POST", "api/v1/alerts/1/1/receipts", `{"console":"`+id+`","stage":"silent","reason":"muted"}`).want(t, "receipt", 204, "")
	s.as(console, "POST", "api/v1/alerts/1/1/receipts", `{"console":"`+id+`","stage":"sung"}`).want(t, "a strange stage", 400, "invalid")
	s.as(console, "POST", "api/v1/alerts/1/2/receipts", `{"console":"`+id+`","stage":"shown"}`).want(t, "no such alert", 404, "not_found")
	got := s.as(console, "GET", "api/v1/shops/1/consoles", "").want(t, "consoles", 200, "").body
	for _, want := range []string{`"console":"` + id + `"`, `"sid":"till-1"`, `"label":"Kitchen"`, `"transport":"poll"`, `"audible":false`, `"reason":"muted"`, `"lastReceipt":"`, `"cursor":"`} {
		if !strings.Contains(got, want) {
			t.Errorf("consoles %s, want %s in it", got, want)
		}
	}
	if again := s.as(console, "GET", "poll?wait=0&console="+id, ""); again.field("console") != id {
		t.Errorf("the console that polls again is %s, want %s", again.field("console"), id)
	}
	if list := s.as(console, "GET", "api/v1/alerts?shop=1", "").body; !strings.Contains(list, `"stage":"silent","reason":"muted"`) {
		t.Errorf("alerts without the receipt: %s", list)
	}
}

func TestReadyAndMetrics(t *testing.T) {
	s := newServer(t, func(c *config.Config) { c.Metrics.Addr = "127.0.0.1:0" })
	s.do("GET", "healthz", "").want(t, "healthz", 200, "")
	s.do("GET", "readyz", "").want(t, "readyz", 200, "")
	s.do("POST", "pay/wechat", "{}").want(t, "a callback without headers", 401, "")
	s.pay("NOBODY", 1).want(t, "a payment without an order", 404, "")
	admin := s.token(doorbell.RoleAdmin, "root", 1)
	got := s.as(admin, "GET", "metrics", "").want(t, "metrics for an admin", 200, "")
	for _, want := range []string{
		`doorbell_consoles{transport="sse"} 0`, `doorbell_callbacks_rejected_total{provider="wechat",reason="header_missing"} 1`,
		`doorbell_callbacks_total{provider="wechat",verdict="unknown_order"} 1`,
	} {
		if !strings.Contains(got.body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	// A proxy on this machine that sets no header looks just like this.
	s.do("GET", "metrics", "").want(t, "metrics on loopback", 401, "token_missing")
	s.do("GET", "metrics", "", "X-Forwarded-For", "203.0.113.9").want(t, "metrics through a proxy", 401, "token_missing")
	s.as(s.token(doorbell.RoleConsole, "x", 1), "GET", "metrics", "").want(t, "metrics for a console", 403, "forbidden")
	whole := s.url
	s.url = s.FiguresURL
	if own := s.do("GET", "metrics", "").want(t, "metrics on a port of their own", 200, ""); !strings.Contains(own.body, "doorbell_consoles") {
		t.Errorf("the port of the figures answers %s", own.body)
	}
	for _, path := range []string{"", "readyz", "poll?wait=0", "api/v1/me", "page.json", "pay/wechat"} {
		s.as(admin, "GET", path, "").want(t, "GET /"+path+" there", 404, "not_found")
	}
	s.url = whole
	s.Edge.Drain()
	s.do("GET", "readyz", "").want(t, "readyz while stopping", 503, "unavailable")
	s.do("GET", "healthz", "").want(t, "healthz while stopping", 200, "")
}
