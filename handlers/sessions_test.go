package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
	"doorbell/transport/transporttest"
)

// listed are the sessions of an answer.
type listed struct {
	ID, Name, Label, Role, Parent string
	Shops                         []struct{ ID int64 }
	Paired, This                  bool
	Expires                       time.Time
	Limit                         *time.Time
}

// sessionsOf reads a whole list, page by page.
func (s *testServer) sessionsOf(t *testing.T, path string, headers ...string) (out []listed) {
	t.Helper()
	after := ""
	for range 100 {
		r := s.do("GET", path+"?limit=7&after="+after, "", headers...).want(t, path, 200, "")
		var page struct {
			Sessions, Devices []listed
			Next              *string
		}
		if err := json.Unmarshal([]byte(r.body), &page); err != nil {
			t.Fatal(err)
		}
		out = append(append(out, page.Sessions...), page.Devices...)
		if page.Next == nil {
			return out
		}
		after = *page.Next
	}
	t.Fatal("the list has no end")
	return nil
}

func names(list []listed) string {
	var out []string
	for _, l := range list {
		out = append(out, l.Name)
	}
	return strings.Join(out, " ")
}

// login signs in with a token or ticket and returns the cookie.
func (s *testServer) login(t *testing.T, kind, text string) string {
	t.Helper()
	return cookieOf(t, s.do("POST", "login", `{"`+kind+`":"`+text+`"}`).want(t, "login", 200, ""))
}

// ticketBy creates a ticket with a cookie.
func (s *testServer) ticketBy(t *testing.T, cookie, body string) string {
	t.Helper()
	return s.do("POST", "api/v1/tickets", body, "Cookie", cookie).want(t, "ticket", 200, "").field("ticket")
}

func (s *testServer) idOf(t *testing.T, cookie string) string {
	t.Helper()
	return s.do("GET", "api/v1/me", "", "Cookie", cookie).want(t, "me", 200, "").field("session")
}

// TestRevokedDeviceTakesAllWithIt: what a device created, in any number of steps,
// ends with it: sessions, tickets, streams by cookie and by ticket, push
// subscriptions.
func TestRevokedDeviceTakesAllWithIt(t *testing.T) {
	s := newServer(t)
	tablet := s.paired(t, "kitchen", 1)
	child := s.login(t, "ticket", s.ticketBy(t, tablet, `{"ttl":"719h"}`))
	grandchild := s.login(t, "ticket", s.ticketBy(t, child, `{"ttl":"700h"}`))
	waiting := s.ticketBy(t, grandchild, `{}`)
	s.do("POST", "api/v1/tickets", `{"pair":true}`, "Cookie", child).want(t, "a session pairs", 400, "invalid")
	if list := s.sessionsOf(t, "api/v1/sessions", "Cookie", child); len(list) != 2 {
		t.Errorf("the child sees %v, want itself and its own child", list)
	}
	streams := map[transporttest.Stream]string{}
	for _, d := range []transporttest.Dial{{Cookie: tablet}, {Cookie: grandchild}, {Query: "ticket=" + s.ticketBy(t, child, `{}`)}} {
		for _, tr := range transporttest.Transports() {
			if tr.Name == "poll" { // TestRevocationHistories tests it
				continue
			}
			if d.Query != "" { // single use
				d.Query = "ticket=" + s.ticketBy(t, child, `{}`)
			}
			stream, err := tr.Dial(s.url, d)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(stream.Close)
			streams[stream] = tr.Name
		}
	}
	owner := s.token(doorbell.RoleConsole, "owner", 1)
	device := s.sessionsOf(t, "api/v1/devices", "Authorization", "Bearer "+owner)
	if len(device) != 1 || device[0].Name != "kitchen" || device[0].Limit != nil {
		t.Fatalf("devices %+v, want the kitchen's tablet, without an end", device)
	}
	s.as(owner, "DELETE", "api/v1/devices/"+device[0].ID, "").want(t, "remove", 204, "")
	removed := s.do("GET", "api/v1/me", "", "Cookie", tablet).want(t, "the tablet", 401, "session_removed")
	if !strings.Contains(removed.body, "removed") {
		t.Errorf("it is told %s", removed.body)
	}
	s.do("GET", "api/v1/me", "", "Cookie", child).want(t, "its child", 401, "session_removed")
	s.do("POST", "api/v1/tickets", `{}`, "Cookie", grandchild).want(t, "its grandchild's ticket", 401, "session_removed")
	s.do("POST", "login", `{"ticket":"`+waiting+`"}`).want(t, "a ticket that waited", 401, "token_expired")
	for stream, name := range streams {
		wantBye(t, stream, name)
	}
	s.as(owner, "DELETE", "api/v1/sessions/"+device[0].ID, "").want(t, "remove again", 404, "not_found")
	admin := s.token(doorbell.RoleAdmin, "admin", 1)
	if list := s.sessionsOf(t, "api/v1/sessions", "Authorization", "Bearer "+admin); len(list) != 0 {
		t.Errorf("left over: %+v", list)
	}
}

// TestSessionEndsWithItsToken: a session, and all that descends from it, ends at
// the latest with its token; a paired device has no end.
func TestSessionEndsWithItsToken(t *testing.T) {
	s := newServer(t)
	for _, role := range []doorbell.Role{doorbell.RoleConsole, doorbell.RoleAdmin} {
		short, err := s.Tokens.Issue(doorbell.Grant{
			Subject: "short", Role: role, Shops: doorbell.ShopSet{List: []doorbell.ShopID{1}}, Expires: time.Now().Add(9 * time.Second),
		})
		if err != nil {
			t.Fatal(err)
		}
		cookies := []string{s.login(t, "token", short)}
		cookies = append(cookies, s.login(t, "ticket", s.ticketBy(t, cookies[0], `{"ttl":"700h"}`)))
		for i, cookie := range cookies {
			list := s.sessionsOf(t, "api/v1/sessions", "Cookie", cookie)
			for _, l := range list {
				if l.Limit == nil || time.Until(*l.Limit) > 9*time.Second || time.Until(l.Expires) > 9*time.Second {
					t.Errorf("%s, step %d: ends %v, at last %v; want within 9 s", role, i, l.Expires, l.Limit)
				}
			}
			s.do("POST", "api/v1/tokens", `{}`, "Cookie", cookie).want(t, "a session makes a token, which nobody can end", 403, "forbidden")
		}
	}
	// What a service grants lives as long as it says.
	service := s.token(doorbell.RoleService, "backend", 1)
	ticket := s.as(service, "POST", "api/v1/tickets", `{"ttl":"700h"}`).field("ticket")
	in := s.do("POST", "login", `{"ticket":"`+ticket+`"}`).want(t, "login", 200, "")
	if until, err := time.Parse(time.RFC3339, in.field("expires")); err != nil || time.Until(until) < 699*time.Hour {
		t.Errorf("the session of a service's ticket lasts until %s, want 700 hours", in.field("expires"))
	}
}

// TestSessionsAreListedAndEnded: an admin sees all, a service its shops', a
// console its own; many come page by page; foreign ones look like missing ones.
func TestSessionsAreListedAndEnded(t *testing.T) {
	s := newServer(t)
	mine, theirs := s.token(doorbell.RoleConsole, "mine", 1), s.token(doorbell.RoleConsole, "theirs", 2)
	both := s.token(doorbell.RoleConsole, "both", 1, 2)
	first := s.login(t, "token", mine)
	for i := range 450 { // more than one step of the store's
		if _, _, err := s.Logins.Open(t.Context(), doorbell.Login{Grant: doorbell.Grant{
			Subject: fmt.Sprint("other-", i), Role: doorbell.RoleConsole, Shops: doorbell.ShopSet{List: []doorbell.ShopID{2}}, Source: "x",
		}}); err != nil {
			t.Fatal(err)
		}
	}
	second, foreign := s.login(t, "token", mine), s.login(t, "token", theirs)
	s.login(t, "token", both)
	child := s.login(t, "ticket", s.ticketBy(t, second, `{"sub":"child"}`))
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	service1, service12 := s.token(doorbell.RoleService, "backend", 1), s.token(doorbell.RoleService, "backend", 1, 2)
	admin := s.token(doorbell.RoleAdmin, "admin", 1)
	for _, c := range []struct {
		who     string
		headers []string
		want    string
	}{
		{"the token that made them", bearer(mine), "child mine mine"},
		{"a session", []string{"Cookie", second}, "child mine"},
		{"another session", []string{"Cookie", first}, "mine"},
		{"a child", []string{"Cookie", child}, "child"},
		{"a service of shop 1", bearer(service1), "child mine mine"},
		{"another console's token", bearer(s.token(doorbell.RoleConsole, "mine", 1, 3)), ""},
	} {
		if got := names(s.sessionsOf(t, "api/v1/sessions", c.headers...)); got != c.want {
			t.Errorf("%s sees %q, want %q", c.who, got, c.want)
		}
	}
	for _, token := range []string{service12, admin} {
		seen := map[string]bool{}
		list := s.sessionsOf(t, "api/v1/sessions", bearer(token)...)
		for _, l := range list {
			seen[l.ID] = true
			if strings.Contains(first, l.ID) || strings.Contains(foreign, l.ID) {
				t.Errorf("the id %s is of the cookie", l.ID)
			}
		}
		if len(list) != 455 || len(seen) != 455 {
			t.Errorf("%d sessions, %d different; want 455", len(list), len(seen))
		}
	}
	for what, call := range map[string][]string{
		"a service of shop 1": bearer(service1), "another session": {"Cookie", first}, "a child": {"Cookie", child}, "a console": bearer(mine),
	} {
		foreignID, absent := s.idOf(t, foreign), "sAAAAAAAAAAAAAAAAAAA"
		a := s.do("DELETE", "api/v1/sessions/"+foreignID, "{}", call...).want(t, what+" ends a foreign one", 404, "not_found")
		b := s.do("DELETE", "api/v1/sessions/"+absent, "{}", call...).want(t, what+" ends an absent one", 404, "not_found")
		if a.field("detail") != b.field("detail") {
			t.Errorf("%s is told %s and %s", what, a.body, b.body)
		}
	}
	s.do("DELETE", "api/v1/sessions/"+s.idOf(t, second), "{}", "Cookie", child).want(t, "a child ends its parent", 404, "not_found")
	s.do("DELETE", "api/v1/sessions/"+s.idOf(t, second), "{}", bearer(service1)...).want(t, "its shop's service does", 204, "")
	s.do("GET", "api/v1/me", "", "Cookie", child).want(t, "the child of what was ended", 401, "session_removed")
	s.do("GET", "api/v1/me", "", "Cookie", first).want(t, "its sister", 200, "")
	s.do("DELETE", "api/v1/sessions/"+s.idOf(t, foreign), "{}", bearer(admin)...).want(t, "an admin ends any", 204, "")
	gone := s.do("DELETE", "api/v1/sessions/"+s.idOf(t, first), "{}", "Cookie", first).want(t, "one ends itself", 204, "")
	if c, err := http.ParseSetCookie(gone.header.Get("Set-Cookie")); err != nil || c.MaxAge >= 0 {
		t.Errorf("its cookie stays: %q", gone.header.Get("Set-Cookie"))
	}
	s.do("GET", "api/v1/sessions?after=x", "", bearer(admin)...).want(t, "a place that is none", 400, "invalid")
	s.as(s.token(doorbell.RoleCustomer, "7", 1), "GET", "api/v1/sessions", "").want(t, "a customer", 403, "forbidden")
}

// TestStolenTablet: it sees and ends only itself, and so do its descendants; a
// link's session and a token can remove it.
func TestStolenTablet(t *testing.T) {
	s := newServer(t)
	kitchen, bar := s.paired(t, "kitchen", 1), s.paired(t, "bar", 1)
	service := s.token(doorbell.RoleService, "backend", 1)
	link := s.login(t, "ticket", s.as(service, "POST", "api/v1/tickets", `{"sub":"link","ttl":"720h"}`).field("ticket"))
	child := s.login(t, "ticket", s.ticketBy(t, kitchen, `{}`))
	for who, cookie := range map[string]string{"tablet": kitchen, "child": child} {
		for _, path := range []string{"api/v1/devices/", "api/v1/sessions/"} {
			for _, other := range []string{bar, link} {
				s.do("DELETE", path+s.idOf(t, other), "{}", "Cookie", cookie).want(t, "the "+who+" removes another", 404, "not_found")
			}
		}
		for _, path := range []string{"api/v1/devices", "api/v1/sessions"} {
			if got := names(s.sessionsOf(t, path, "Cookie", cookie)); strings.Contains(got, "bar") || strings.Contains(got, "link") {
				t.Errorf("the %s sees %s", who, got)
			}
		}
	}
	if got := names(s.sessionsOf(t, "api/v1/devices", "Cookie", link)); got != "bar kitchen" {
		t.Errorf("the owner sees %q", got)
	}
	s.do("DELETE", "api/v1/sessions/"+s.idOf(t, bar), "{}", "Cookie", link).want(t, "the owner's link removes it", 204, "")
	s.do("DELETE", "api/v1/devices/"+s.idOf(t, kitchen), "{}", "Cookie", kitchen).want(t, "a tablet removes itself", 204, "")
	s.do("GET", "api/v1/me", "", "Cookie", child).want(t, "its child", 401, "session_removed")
}

// TestTicketPreview: returns what a ticket would give, with the server's own
// names, and spends nothing; without the ticket nothing is revealed.
func TestTicketPreview(t *testing.T) {
	s := newServer(t)
	service := s.token(doorbell.RoleService, "backend", 1)
	ticket := s.as(service, "POST", "api/v1/tickets", `{"sub":"kitchen","pair":true,"life":"15m"}`).field("ticket")
	for range 2 {
		r := s.do("POST", "api/v1/tickets/preview", `{"ticket":"`+ticket+`"}`).want(t, "preview", 200, "")
		if !strings.Contains(r.body, `"shops":[{"id":1,"name":"总店"}]`) || r.field("pairs") != "true" || r.field("sub") != "kitchen" || strings.Contains(r.body, ticket) {
			t.Errorf("preview: %s", r.body)
		}
	}
	s.do("POST", "api/v1/tickets/preview", `{"ticket":"`+ticket+`"}`, "Origin", "https://evil.example").want(t, "another page", 403, "origin_not_allowed")
	s.do("POST", "api/v1/tickets/preview", `{"ticket":"`+ticket+`"}`, "Content-Type", "text/plain").want(t, "a form", 415, "unsupported_media_type")
	s.login(t, "ticket", ticket)
	used := s.do("POST", "api/v1/tickets/preview", `{"ticket":"`+ticket+`"}`).want(t, "a used one", 401, "token_expired")
	never := s.do("POST", "api/v1/tickets/preview", `{"ticket":"AAAAAAAAAAAAAAAAAAAAAAAAAA"}`).want(t, "one that never was", 401, "token_expired")
	if used.field("detail") != never.field("detail") {
		t.Errorf("told %s and %s", used.body, never.body)
	}
}

// TestGeneration: a new secret, the end of the trial and a restore end all
// sessions and tickets, and a paired device is told to pair again.
func TestGeneration(t *testing.T) {
	s := newServer(t)
	secret := func(c string) *auth.Tokens {
		tokens, err := auth.NewHS256([]byte(strings.Repeat(c, 32)), auth.Expected{})
		if err != nil {
			t.Fatal(err)
		}
		return tokens
	}
	was := auth.Generation("drawn", secret("a"), true)
	if again := auth.Generation("drawn", secret("a"), true); again != was {
		t.Errorf("the same gives %s and %s", was, again)
	}
	shops := doorbell.ShopSet{List: []doorbell.ShopID{1}}
	logins := auth.NewLogins(s.Store, auth.LoginRules{Generation: was})
	device, _, err := logins.Open(t.Context(), doorbell.Login{Paired: true, Grant: doorbell.Grant{Subject: "kitchen", Role: doorbell.RoleConsole, Shops: shops}})
	if err != nil {
		t.Fatal(err)
	}
	ticket, _, err := logins.MakeTicket(t.Context(), doorbell.Grant{Subject: "x", Role: doorbell.RoleConsole, Shops: shops, Expires: time.Now().Add(time.Hour)}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	g, _, err := logins.Check(t.Context(), device)
	if err != nil {
		t.Fatal(err)
	}
	for what, generation := range map[string]string{
		"a new secret": auth.Generation("drawn", secret("b"), true), "the trial's end": auth.Generation("drawn", secret("a"), false), "a restore": auth.Generation("again", secret("a"), true),
	} {
		after := auth.NewLogins(s.Store, auth.LoginRules{Generation: generation})
		if _, _, err := after.Check(t.Context(), device); doorbell.CodeOf(err) != auth.SessionOutdated || !strings.Contains(err.Error(), "doorbell pair") {
			t.Errorf("after %s: %v, want session_outdated with what to do", what, err)
		}
		if live, err := after.Live(t.Context(), []string{g.Session}); err != nil || len(live) != 0 {
			t.Errorf("after %s: %v, %v; its streams go on", what, live, err)
		}
		if page, err := after.List(t.Context(), doorbell.Grant{Role: doorbell.RoleAdmin}, "", 10); err != nil || len(page.Logins) != 0 {
			t.Errorf("after %s: listed %v, %v", what, page, err)
		}
		if _, err := after.Ticket(t.Context(), ticket); doorbell.CodeOf(err) != auth.TokenExpired {
			t.Errorf("after %s: the ticket: %v", what, err)
		}
	}
	if _, _, err := logins.Check(t.Context(), device); err != nil {
		t.Errorf("where nothing changed: %v", err)
	}
}
