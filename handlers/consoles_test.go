package handlers_test

import (
	"fmt"
	"strings"
	"testing"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
	"doorbell/transport/transporttest"
)

// TestAConsolesCursorInOtherShops: who asks for one shop does not see a console's
// cursor in other shops, while it is connected and between two polls.
func TestAConsolesCursorInOtherShops(t *testing.T) {
	s := newServer(t)
	both := s.token(doorbell.RoleConsole, "both", 1, 2)
	stream, err := transporttest.DialWebSocket(s.url, transporttest.Dial{Token: both})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stream.Close)
	s.raise(1, doorbell.NewOrder, 1, "x")
	for range 7 {
		s.raise(2, doorbell.NewOrder, 1, "x")
	}
	s.as(both, "GET", "poll?after=0&wait=1", "").want(t, "poll", 200, "")
	testrun.Eventually(t, "all was sent", func() bool {
		list := s.as(both, "GET", "api/v1/shops/2/consoles", "").body
		return strings.Count(list, `.2:7"`) == 2
	})
	list := s.as(s.token(doorbell.RoleConsole, "one", 1), "GET", "api/v1/shops/1/consoles", "").want(t, "consoles of shop 1", 200, "").body
	if strings.Count(list, `.1:1"`) != 2 || strings.Contains(list, "2:7") {
		t.Errorf("consoles of shop 1: %s, want two cursors in shop 1 alone", list)
	}
}

// TestReceiptsComeFromTheirConsole: otherwise a silent device could be reported as
// one that has sounded, and nobody would learn of it.
func TestReceiptsComeFromTheirConsole(t *testing.T) {
	s := newServer(t)
	s.raise(1, doorbell.NewOrder, 1, "x")
	s.raise(2, doorbell.NewOrder, 1, "x")
	follow := func(token, query string) (console string, leave func()) {
		t.Helper()
		stream, err := transporttest.DialWebSocket(s.url, transporttest.Dial{Token: token, Query: query})
		if err != nil {
			t.Fatal(err)
		}
		hello, err := stream.Next()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stream.Close)
		return reply{body: hello.Raw}.field("console"), stream.Close
	}
	till, other := s.token(doorbell.RoleConsole, "till", 1, 2), s.token(doorbell.RoleConsole, "other", 1, 2)
	own, leave := follow(till, "shops=1")
	foreign, _ := follow(other, "")
	report := func(what, token string, shop int, console string, status int) {
		t.Helper()
		code := ""
		if status == 403 {
			code = "forbidden"
		}
		s.as(token, "POST", fmt.Sprintf("api/v1/alerts/%d/1/receipts", shop), `{"console":"`+console+`","stage":"sounded"}`).want(t, what, status, code)
	}
	report("its own", till, 1, own, 204)
	report("again", till, 1, own, 204)
	report("somebody else's", till, 1, foreign, 403)
	report("one that there is not", till, 1, "c0123456789ABCDE", 403)
	report("of a shop that it does not follow", till, 2, own, 403)
	report("the other's own", other, 2, foreign, 204)

	// Two devices that were given the same name have sessions of their own.
	login := func() string { return cookieOf(t, s.do("POST", "login", `{"token":"`+till+`"}`)) }
	first, second := login(), login()
	polled := s.do("GET", "poll?after=0&wait=1", "", "Cookie", first).want(t, "poll", 200, "").field("console")
	body := `{"console":"` + polled + `","stage":"sounded"}`
	const path, kind = "api/v1/alerts/1/1/receipts", "application/json"
	s.do("POST", path, body, "Cookie", second, "Content-Type", kind).want(t, "another session of that name", 403, "forbidden")
	s.do("POST", path, body, "Cookie", first, "Content-Type", kind).want(t, "the session itself", 204, "")
	const silent = `{"audible":false,"reason":"muted"}`
	s.do("PUT", "api/v1/consoles/"+polled, silent, "Cookie", second, "Content-Type", kind).want(t, "another session says that it is silent", 404, "not_found")
	s.do("PUT", "api/v1/consoles/"+polled, silent, "Cookie", first, "Content-Type", kind).want(t, "it says so itself", 204, "")

	leave()
	testrun.Eventually(t, "it has left", func() bool { return s.streams() == 1 })
	report("of what was shown just before its line was cut", till, 1, own, 204)
}

// TestAPollThatOnlyLooks: a poll that does not wait is not listed as a console,
// however many there are. Its id is still valid for receipts.
func TestAPollThatOnlyLooks(t *testing.T) {
	s := newServer(t)
	token := s.token(doorbell.RoleConsole, "till", 1)
	s.raise(1, doorbell.NewOrder, 1, "x")
	var id string
	for range 50 {
		id = s.as(token, "GET", "poll?after=0&wait=0", "").want(t, "poll", 200, "").field("console")
	}
	if list := s.as(token, "GET", "api/v1/shops/1/consoles", "").body; list != `{"consoles":[]}` {
		t.Errorf("after 50 polls that only looked: %s", list)
	}
	s.as(token, "POST", "api/v1/alerts/1/1/receipts", `{"console":"`+id+`","stage":"shown"}`).want(t, "its receipt", 204, "")
	s.as(token, "PUT", "api/v1/consoles/"+id, `{"audible":true,"label":"Kitchen"}`).want(t, "its hearing", 204, "")
	if again := s.as(token, "GET", "poll?after=0&wait=1&console="+id, "").field("console"); again != id {
		t.Errorf("the poll that waits is console %s, want %s", again, id)
	}
	if list := s.as(token, "GET", "api/v1/shops/1/consoles", "").body; !strings.Contains(list, id) || !strings.Contains(list, "Kitchen") {
		t.Errorf("the poll that waits is not listed with what it said: %s", list)
	}
}

// TestAttentionOfAShop: those who may see the shop get the reason of each console
// that can't ring.
func TestAttentionOfAShop(t *testing.T) {
	s := newServer(t)
	token := s.token(doorbell.RoleConsole, "till", 1)
	stream, err := transporttest.DialWebSocket(s.url, transporttest.Dial{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stream.Close)
	hello, err := stream.Next()
	if err != nil {
		t.Fatal(err)
	}
	console := reply{body: hello.Raw}.field("console")
	const path = "api/v1/shops/1/attention"
	has := func(what, body string) {
		t.Helper()
		if got := s.as(token, "GET", path, "").want(t, what, 200, "").body; !strings.Contains(got, body) {
			t.Errorf("%s: %s, want %s in it", what, got, body)
		}
	}
	has("silent", `"reason":"not_reported"`)
	s.as(token, "PUT", "api/v1/consoles/"+console, `{"audible":true}`).want(t, "hearing", 204, "")
	has("audible", `{"attentive":1,"since":"`)
	s.as(token, "PUT", "api/v1/consoles/"+console, `{"audible":false,"reason":"sound_not_unlocked"}`).want(t, "hearing", 204, "")
	has("locked", `"attentive":false,"reason":"sound_not_unlocked"`)
	has("locked", `{"attentive":0,"since":"`)
	s.as(s.token(doorbell.RoleConsole, "other", 2), "GET", path, "").want(t, "another shop's", 404, "not_found")
	s.as(s.token(doorbell.RoleCustomer, "7", 1), "GET", path, "").want(t, "a customer", 403, "forbidden")
}
