package handlers_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"doorbell/handlers"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
)

func cookieOf(t *testing.T, r reply) string {
	t.Helper()
	c, err := http.ParseSetCookie(r.header.Get("Set-Cookie"))
	if err != nil {
		t.Fatalf("Set-Cookie %q: %v", r.header.Get("Set-Cookie"), err)
	}
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Name != handlers.Cookie {
		t.Errorf("cookie %v, want HttpOnly and SameSite", c)
	}
	return c.Name + "=" + c.Value
}

func TestLoginByTicketAndToken(t *testing.T) {
	s := newServer(t)
	console := s.token(doorbell.RoleConsole, "till", 1)
	made := s.as(console, "POST", "api/v1/tickets", `{}`).want(t, "ticket", 200, "")
	body := `{"ticket":"` + made.field("ticket") + `"}`
	in := s.do("POST", "login", body).want(t, "login", 200, "")
	cookie := cookieOf(t, in)
	s.do("POST", "login", body).want(t, "the same ticket again", 401, "token_expired")
	me := s.do("GET", "api/v1/me", "", "Cookie", cookie).want(t, "me", 200, "")
	if me.field("role") != "console" || !strings.Contains(me.body, `"shops":[{"id":1,"name":"总店"}]`) {
		t.Errorf("me: %s", me.body)
	}
	s.do("POST", "login", `{"token":"`+s.token(doorbell.RoleService, "b", 1)+`"}`).want(t, "a service logs in", 403, "forbidden")
	s.do("POST", "login", `{"token":"x"}`).want(t, "a bad token", 401, "")
	s.do("POST", "login", `{}`).want(t, "neither", 400, "invalid")
	s.do("POST", "login", `{}`, "Content-Type", "text/plain").want(t, "a form's type", 415, "unsupported_media_type")
	s.do("POST", "login", `{}`, "Origin", "https://evil.example").want(t, "a foreign page", 403, "origin_not_allowed")

	// A cookie alone changes nothing from a foreign page.
	s.raise(1, doorbell.NewOrder, 1, "x")
	accept := "api/v1/alerts/1/1/accept"
	s.do("POST", accept, `{}`, "Cookie", cookie, "Origin", "https://evil.example").want(t, "another page accepts", 403, "origin_not_allowed")
	s.do("POST", accept, `{}`, "Cookie", cookie, "Content-Type", "text/plain").want(t, "a form accepts", 415, "unsupported_media_type")
	s.do("POST", accept, `{}`, "Cookie", cookie, "Origin", strings.TrimSuffix(s.url, "/")).want(t, "our page accepts", 200, "")

	s.do("POST", "logout", `{}`, "Cookie", cookie).want(t, "logout", 204, "")
	s.do("GET", "api/v1/me", "", "Cookie", cookie).want(t, "after logout", 401, "token_expired")
}

func TestServiceTokensAreWarnedOf(t *testing.T) {
	s := newServer(t)
	errand := s.token(doorbell.RoleService, "errand", 1) // made for an hour
	soon, err := s.Tokens.Issue(doorbell.Grant{
		Subject: "backend", Role: doorbell.RoleService, Shops: doorbell.ShopSet{All: true},
		Issued: time.Now().Add(-360 * 24 * time.Hour), Expires: time.Now().Add(5 * 24 * time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	late, err := s.Tokens.Issue(doorbell.Grant{
		Subject: "late", Role: doorbell.RoleService, Shops: doorbell.ShopSet{All: true}, Expires: time.Now().Add(8 * 24 * time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.as(errand, "GET", "api/v1/me", "")
		s.as(soon, "GET", "api/v1/me", "")
		s.as(late, "GET", "api/v1/me", "")
	}
	if logs := s.Log.String(); strings.Count(logs, "expires soon") != 1 || !strings.Contains(logs, "sub=backend") {
		t.Errorf("want one warning, of backend:\n%s", logs)
	}
}

func TestTicketsAndTokensStayWithinTheCaller(t *testing.T) {
	s := newServer(t)
	service := s.token(doorbell.RoleService, "backend", 1, 2)
	console := s.token(doorbell.RoleConsole, "till", 1)
	for _, path := range []string{"api/v1/tickets", "api/v1/tokens"} {
		s.as(service, "POST", path, `{"shops":[3]}`).want(t, path+" of a foreign shop", 403, "forbidden")
		s.as(service, "POST", path, `{"shops":["*"]}`).want(t, path+" of all shops", 403, "forbidden")
		s.as(service, "POST", path, `{"shops":[]}`).want(t, path+" of none", 400, "invalid")
		s.as(service, "POST", path, `{"shops":["x"]}`).want(t, path+" of nonsense", 400, "invalid")
		s.as(service, "POST", path, `{"ttl":"0s1"}`).want(t, path+" for nonsense", 400, "invalid")
	}
	s.as(console, "POST", "api/v1/tokens", `{}`).want(t, "a console makes tokens", 403, "forbidden")
	made := s.as(service, "POST", "api/v1/tokens", `{"sub":"page","shops":[2],"ttl":"1h"}`).want(t, "token", 200, "")
	me := s.as(made.field("token"), "GET", "api/v1/me", "").want(t, "me", 200, "")
	if me.field("sub") != "page" || me.field("role") != "console" || !strings.Contains(me.body, `"id":2`) || strings.Contains(me.body, `"id":1`) {
		t.Errorf("the token is %s", me.body)
	}
	// A ticket opens one stream.
	ticket := s.as(service, "POST", "api/v1/tickets", `{"shops":[1]}`).field("ticket")
	s.do("GET", "poll?wait=0&ticket="+ticket, "").want(t, "a stream by ticket", 200, "")
	s.do("GET", "poll?wait=0&ticket="+ticket, "").want(t, "the same ticket", 401, "token_expired")
	ticket = s.as(service, "POST", "api/v1/tickets", `{"shops":[1]}`).field("ticket")
	s.do("GET", "poll?wait=0&shops=2&ticket="+ticket, "").want(t, "another shop than the ticket's", 403, "forbidden")
	// A console's own end limits what it hands on.
	short, err := s.Tokens.Issue(doorbell.Grant{Subject: "s", Role: doorbell.RoleConsole, Shops: doorbell.ShopSet{List: []doorbell.ShopID{1}}, Expires: time.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	ticket = s.as(short, "POST", "api/v1/tickets", `{"ttl":"10h"}`).field("ticket")
	in := s.do("POST", "login", `{"ticket":"`+ticket+`"}`).want(t, "login", 200, "")
	if until, err := time.Parse(time.RFC3339, in.field("expires")); err != nil || time.Until(until) > time.Minute {
		t.Errorf("the session lasts until %s, want a minute at most", in.field("expires"))
	}
}

func TestOrigins(t *testing.T) {
	s := newServer(t, func(c *config.Config) { c.Auth.Origins = []string{"https://admin.example"} })
	console := s.token(doorbell.RoleConsole, "till", 1)
	refused := s.as(console, "GET", "api/v1/me", "", "Origin", "https://evil.example").want(t, "a foreign page", 403, "origin_not_allowed")
	for _, want := range []string{"https://evil.example", "auth", "origins"} {
		if !strings.Contains(refused.body, want) {
			t.Errorf("the refusal %s does not say %s", refused.body, want)
		}
	}
	if n := strings.Count(s.Log.String(), "origin not allowed"); n != 1 {
		t.Errorf("%d lines in the log, want one", n)
	}
	s.as(console, "GET", "api/v1/me", "", "Origin", "https://evil.example")
	if n := strings.Count(s.Log.String(), "origin not allowed"); n != 1 {
		t.Errorf("%d lines in the log after a second time, want one a minute", n)
	}
	check := func(r reply) {
		t.Helper()
		if r.header.Get("Access-Control-Allow-Origin") != "https://admin.example" || r.header.Get("Access-Control-Allow-Credentials") != "true" || r.header.Get("Vary") != "Origin" {
			t.Errorf("%d with %v, want CORS for the allowed page", r.status, r.header)
		}
	}
	check(s.as(console, "GET", "api/v1/me", "", "Origin", "https://admin.example").want(t, "the allowed page", 200, ""))
	check(s.do("GET", "api/v1/me", "", "Origin", "https://admin.example").want(t, "an error is readable too", 401, "token_missing"))
	check(s.as(console, "GET", "poll?wait=0", "", "Origin", "https://admin.example").want(t, "poll", 200, ""))
	for _, path := range []string{"api/v1/orders", "events", "events/x", "poll", "login"} {
		pre := s.do("OPTIONS", path, "", "Origin", "https://admin.example", "Access-Control-Request-Method", "POST").want(t, "preflight "+path, 204, "")
		check(pre)
		if !strings.Contains(pre.header.Get("Access-Control-Allow-Headers"), "Idempotency-Key") {
			t.Errorf("preflight of %s allows %q", path, pre.header.Get("Access-Control-Allow-Headers"))
		}
	}
	own := strings.TrimSuffix(s.url, "/")
	s.as(console, "GET", "api/v1/me", "", "Origin", own).want(t, "our own page", 200, "")
	s.as(console, "GET", "api/v1/me", "", "Origin", strings.Replace(own, "http:", "https:", 1)).want(t, "another scheme", 403, "origin_not_allowed")
	s.as(console, "GET", "api/v1/me", "", "Origin", own+"1").want(t, "another port", 403, "origin_not_allowed")
	if r := s.do("GET", "client.js", "", "Origin", "https://admin.example"); r.header.Get("Access-Control-Allow-Origin") != "https://admin.example" {
		t.Error("an allowed page can't import client.js")
	}
}

func TestTrustedProxy(t *testing.T) {
	s := newServer(t, func(c *config.Config) { c.Server.TrustedProxies = []string{"127.0.0.1"} })
	console := s.token(doorbell.RoleConsole, "till", 1)
	s.as(console, "GET", "api/v1/me", "", "Origin", "https://bell.example", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "bell.example").
		want(t, "our page through the proxy", 200, "")
	in := s.do("POST", "login", `{"token":"`+console+`"}`, "X-Forwarded-Proto", "https")
	if c, err := http.ParseSetCookie(in.header.Get("Set-Cookie")); err != nil || !c.Secure {
		t.Errorf("cookie %q, want it Secure behind https", in.header.Get("Set-Cookie"))
	}
	off := newServer(t)
	off.as(off.token(doorbell.RoleConsole, "till", 1), "GET", "api/v1/me", "", "Origin", "https://bell.example", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "bell.example").
		want(t, "a stranger who says so", 403, "origin_not_allowed")
}

func TestBasePath(t *testing.T) {
	s := newServer(t, func(c *config.Config) { c.Server.BasePath = "/bell/" })
	s.do("GET", "healthz", "").want(t, "healthz under the path", 200, "")
	if r := s.do("GET", "", ""); r.status != 200 || !strings.Contains(r.body, `src="static/console/console.js"`) {
		t.Errorf("the console under a path: %d", r.status)
	}
	in := s.do("POST", "login", `{"token":"`+s.token(doorbell.RoleConsole, "till", 1)+`"}`)
	if c, err := http.ParseSetCookie(in.header.Get("Set-Cookie")); err != nil || c.Path != "/bell/" {
		t.Errorf("cookie %q, want Path=/bell/", in.header.Get("Set-Cookie"))
	}
}

func TestPages(t *testing.T) {
	s := newServer(t)
	for path, kind := range map[string]string{
		"": "text/html", "demo": "text/html", "client.js": "text/javascript", "static/client/ladder.js": "text/javascript",
		"static/shared/page.css": "text/css", "static/sounds/1.zh.mp3": "audio/mpeg", "favicon.ico": "image/svg+xml",
	} {
		r := s.do("GET", path, "").want(t, path, 200, "")
		if !strings.HasPrefix(r.header.Get("Content-Type"), kind) || !strings.Contains(r.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("/%s: %v", path, r.header)
		}
		if again := s.do("GET", path, "", "If-None-Match", r.header.Get("ETag")); again.status != http.StatusNotModified {
			t.Errorf("/%s again: %d, want 304", path, again.status)
		}
	}
	for _, path := range []string{"static/nothing.js", "static/../go.mod", "static/", "static/sounds", "static/console"} {
		s.do("GET", path, "").want(t, path, 404, "not_found")
	}
	// Addresses that a page of an earlier version still uses.
	for _, path := range []string{"static/ticker.js", "static/courier.js"} {
		r := s.do("GET", path, "").want(t, path, http.StatusFound, "")
		s.do("GET", "static/"+r.header.Get("Location"), "").want(t, path+" where it is now", 200, "")
	}
}

// TestOwnSounds: of a shop's folder only clips that replace shipped ones are
// served, and the pages may connect to this server only.
func TestOwnSounds(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, fstest.MapFS{
		"1.zh.mp3": {Data: []byte("our own")}, "salaries.xlsx": {Data: []byte("x")}, "0.mp3": {Data: []byte("x")}, "sub/1.zh.mp3": {Data: []byte("x")},
	}); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, func(c *config.Config) { c.Console.Sounds = dir })
	if got := s.do("GET", "static/sounds/1.zh.mp3", "").want(t, "our clip", 200, ""); got.body != "our own" {
		t.Errorf("served %q", got.body)
	}
	s.do("GET", "static/sounds/2.en.mp3", "").want(t, "a shipped clip", 200, "")
	for _, name := range []string{"salaries.xlsx", "0.mp3", "sub/1.zh.mp3", "sub", ""} {
		s.do("GET", "static/sounds/"+name, "").want(t, name, 404, "not_found")
	}
	if csp := s.do("GET", "", "").header.Get("Content-Security-Policy"); !strings.Contains(csp, "connect-src 'self';") || strings.Contains(csp, "ws:") {
		t.Errorf("policy %s", csp)
	}
	// The microphone is for the two pages that listen to their own chime.
	for page, microphone := range map[string]string{"": "(self)", "doctor": "(self)", "demo": "()", "ledger": "()", "admin": "()", "static/client/ladder.js": "()"} {
		got := s.do("GET", page, "").header.Get("Permissions-Policy")
		if want := "camera=(), geolocation=(), microphone=" + microphone; got != want {
			t.Errorf("/%s has the policy %q, want %q", page, got, want)
		}
	}
}
