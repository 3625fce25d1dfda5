package handlers_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
)

// TestTextThatIsNotUTF8: encoding/json would silently put U+FFFD in its place. The
// refusal names the field, and nothing is stored.
func TestTextThatIsNotUTF8(t *testing.T) {
	s := newServer(t)
	service := s.token(doorbell.RoleService, "backend", 1)
	console := s.token(doorbell.RoleConsole, "till", 1)
	const gbk = "\xb2\xbb\xd2\xaa\xc0\xb1" // 不要辣
	for _, c := range []struct{ token, method, path, body, field string }{
		{service, "POST", "api/v1/alerts", `{"type":1,"shopId":1,"orderId":7,"content":"` + gbk + `"}`, "content"},
		{service, "POST", "api/v1/alerts", `{"type":1,"shopId":1,"orderId":7,"content":"\ud83d"}`, "content"},
		{service, "POST", "api/v1/alerts", `{"type":1,"shopId":1,"orderId":7,"content":"\ude00\ud83d"}`, "content"},
		{service, "POST", "api/v1/alerts", `{"type":1,"shopId":1,"orderId":7,"content":"\ud83dx"}`, "content"},
		{service, "POST", "api/v1/alerts", `{"type":1,"shopId":1,"orderId":7,"content":"\ud83d\u0041"}`, "content"},
		{service, "POST", "api/v1/alerts", `{"type":1,"shopId":1,"orderId":7,"content":"x","` + gbk + `":1}`, "body"},
		{service, "POST", "api/v1/alerts", `{"type":1,"shopId":1,"orderId":7,"content":"x"}` + gbk, "body"},
		{service, "POST", "api/v1/orders", `{"number":"` + gbk + `","shopId":1,"userId":7,"amount":1}`, "number"},
		{service, "POST", "api/v1/orders", `{"a":[{"b":"x"},{"b":["` + gbk + `"]}]}`, "a[1].b[0]"},
		{service, "POST", "api/v1/announcements", `{"text":"` + gbk + `"}`, "text"},
		{service, "POST", "api/v1/tickets", `{"shops":[1],"sub":"` + gbk + `"}`, "sub"},
		{service, "POST", "api/v1/tokens", `{"sub":"` + gbk + `"}`, "sub"},
		{console, "PUT", "api/v1/consoles/x", `{"audible":true,"label":"` + gbk + `"}`, "label"},
		{console, "POST", "api/v1/alerts/1/1/receipts", `{"console":"x","stage":"shown","reason":"` + gbk + `"}`, "reason"},
		{console, "PUT", "api/v1/push", `{"endpoint":"x","keys":{"auth":"` + gbk + `"}}`, "keys.auth"},
		{console, "DELETE", "api/v1/push", `{"endpoint":"` + gbk + `"}`, "endpoint"},
		{"", "POST", "login", `{"ticket":"x","label":"` + gbk + `"}`, "label"},
	} {
		got := s.as(c.token, c.method, c.path, c.body).want(t, c.path+" "+c.body, 400, "invalid")
		if !strings.Contains(got.body, `"field":"`+c.field+`"`) {
			t.Errorf("%s %s: %s, want it to name %s", c.path, c.body, got.body, c.field)
		}
	}
	if _, at := s.position(1); at.Head != 0 {
		t.Errorf("%d alerts were kept", at.Head)
	}
	for _, good := range []string{"不要辣", `\u4e0d\u8981\u8fa3`, "😀", `\ud83d\ude00`, `\\ud83d`, `\"\ud83d\ude00\"`, `\/`} {
		s.as(service, "POST", "api/v1/alerts", `{"type":1,"shopId":1,"orderId":7,"content":"`+good+`"}`).want(t, good, 201, "")
	}
}

// TestQueriesThatCannotBeRead: what net/url drops would make a stream start from
// now and not from a cursor, or follow all shops and not one.
func TestQueriesThatCannotBeRead(t *testing.T) {
	s := newServer(t)
	token := s.token(doorbell.RoleConsole, "till", 1, 2)
	for _, c := range []struct{ query, field string }{
		{"after=%zz", "after"},
		{"after=0;x=1", "after"},
		{"shops=%zz", "shops"},
		{"types=1;2", "types"},
		{"wait=0&after=0&%zz=1", "query"},
		{"after=0&sid=%ff", "sid"},
		{"after=0%", "after"},
		{"shops=1&shops=2", "shops"},
		{"shops=1&after=0&%73hops=2", "shops"},
		{"x%20=1&x%20=1", "query"},
	} {
		for _, path := range []string{"poll", "api/v1/shops", "api/v1/alerts", "api/v1/me", "events", "events/x"} {
			if t.Failed() {
				return // a stream would not end
			}
			got := s.as(token, "GET", path+"?"+c.query, "").want(t, path+"?"+c.query, 400, "invalid")
			if !strings.Contains(got.body, `"field":"`+c.field+`"`) {
				t.Errorf("%s?%s: %s, want it to name %s", path, c.query, got.body, c.field)
			}
		}
	}
	s.as(token, "GET", "poll?wait=0&after=0&&types=1%2C2", "").want(t, "an odd one that can be read", 200, "")
}

// called returns the routes of a method with sample values.
func (s *testServer) called(method string) (paths []string) {
	for _, r := range s.Edge.Routes() {
		if r.Method == method {
			path := strings.NewReplacer(":id", "1", ":shop", "1", ":seq", "1", ":console", "x", ":sid", "x", "*file", "console/console.js").Replace(r.Path)
			paths = append(paths, strings.TrimPrefix(path, "/"))
		}
	}
	slices.Sort(paths)
	return paths
}

// TestHead: HEAD answers as GET does, without a body, and does nothing.
func TestHead(t *testing.T) {
	s := newServer(t)
	admin := s.token(doorbell.RoleAdmin, "root", 1)
	checked := 0
	for _, path := range s.called(http.MethodGet) {
		if s.Edge.IsStream("/" + path) {
			if got := s.as(admin, "HEAD", path, ""); got.status != http.StatusMethodNotAllowed || strings.Contains(got.header.Get("Allow"), "HEAD") {
				t.Errorf("HEAD /%s: %d, Allow %q; want 405 of a stream", path, got.status, got.header.Get("Allow"))
			}
			continue
		}
		get, head := s.as(admin, "GET", path, ""), s.as(admin, "HEAD", path, "")
		same := func(name string) bool { return get.header.Get(name) == head.header.Get(name) }
		if head.status != get.status || head.body != "" || !same("Content-Type") || !same("ETag") || !same("Cache-Control") || !same("Allow") {
			t.Errorf("HEAD /%s: %d %q %v\nGET: %d %v", path, head.status, head.body, head.header, get.status, get.header)
		}
		checked++
	}
	if checked < 15 {
		t.Errorf("only %d routes were tried", checked)
	}
	login := s.do("POST", "login", `{"token":"`+admin+`"}`)
	s.do("HEAD", "api/v1/me", "", "Cookie", cookieOf(t, login)).want(t, "HEAD by cookie", 200, "")
	if got := s.do("PUT", "healthz", ""); got.status != 405 || got.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("PUT: %d, Allow %q", got.status, got.header.Get("Allow"))
	}
	// The reminder's GET rings; a HEAD must not.
	service := s.token(doorbell.RoleService, "backend", 1)
	order := s.as(service, "POST", "api/v1/orders", `{"number":"A-1","shopId":1,"userId":7,"amount":100}`)
	s.pay("A-1", 100)
	_, before := s.position(1)
	path := "user/order/reminder/" + order.field("id")
	customer := s.token(doorbell.RoleCustomer, "7")
	s.do("HEAD", path, "", "authentication", customer).want(t, "HEAD of the reminder", 200, "")
	s.do("HEAD", path, "").want(t, "without a token", 401, "")
	if _, after := s.position(1); after.Head != before.Head {
		t.Error("HEAD has rung")
	}
}

// TestPreflightsAllowWhatTheRoutesHave, whichever are added.
func TestPreflightsAllowWhatTheRoutesHave(t *testing.T) {
	s := newServer(t, func(c *config.Config) {
		c.Auth.Origins, c.Server.BasePath = []string{"https://admin.example"}, "/bell/"
	})
	checked := map[string]int{}
	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH"} {
		for _, path := range s.called(method) {
			if !s.Edge.CrossOrigin("/" + path) {
				continue
			}
			path = strings.TrimPrefix(path, "bell/")
			got := s.do("OPTIONS", path, "", "Origin", "https://admin.example", "Access-Control-Request-Method", method).want(t, path, 204, "")
			allowed := strings.Split(got.header.Get("Access-Control-Allow-Methods"), ", ")
			if !slices.Contains(allowed, method) || got.header.Get("Access-Control-Allow-Origin") == "" {
				t.Errorf("the preflight of %s allows %v, want %s", path, allowed, method)
			}
			checked[method]++
		}
	}
	if checked["DELETE"] < 2 || checked["GET"] < 10 || checked["POST"] < 10 {
		t.Errorf("tried only %v", checked)
	}
	if got := s.do("OPTIONS", "api/v1/devices/x", "", "Origin", "https://admin.example").header.Get("Access-Control-Allow-Methods"); strings.Contains(got, "POST") {
		t.Errorf("a device can't be posted to, the preflight says %s", got)
	}
	s.do("OPTIONS", "api/v1/me", "", "Origin", "https://evil.example").want(t, "a foreign page", 403, "origin_not_allowed")
}

// TestAnswersAreNotKept: answers are not cached, and their type is not guessed.
func TestAnswersAreNotKept(t *testing.T) {
	s := newServer(t)
	admin := s.token(doorbell.RoleAdmin, "root", 1)
	answers := map[string]reply{"nothing": s.do("GET", "nothing", ""), "405": s.do("PUT", "healthz", ""), "401": s.do("GET", "api/v1/me", ""), "a callback": s.do("POST", "pay/wechat", "{}")}
	for _, path := range s.called(http.MethodGet) {
		if !s.Edge.IsStream("/"+path) || path == "poll" {
			answers[path] = s.as(admin, "GET", path+"?wait=0&shop=1&shops=1", "")
		}
	}
	for path, got := range answers {
		kept := got.header.Get("ETag") != "" && got.header.Get("Cache-Control") == "no-cache" // a page's file: revalidated each time
		if got.header.Get("Cache-Control") != "no-store" && !kept || got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("/%s: %d with Cache-Control %q, X-Content-Type-Options %q", path, got.status, got.header.Get("Cache-Control"), got.header.Get("X-Content-Type-Options"))
		}
	}
}
