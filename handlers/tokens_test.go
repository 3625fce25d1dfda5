package handlers_test

import (
	"encoding/json"
	"testing"
	"time"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
	"doorbell/transport/transporttest"
)

// tokensOf returns the listed tokens by their sub.
func (s *testServer) tokensOf(t *testing.T, admin string) map[string]map[string]any {
	t.Helper()
	var list struct {
		Tokens []map[string]any `json:"tokens"`
	}
	if err := json.Unmarshal([]byte(s.as(admin, "GET", "api/v1/tokens", "").want(t, "list", 200, "").body), &list); err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]any{}
	for _, one := range list.Tokens {
		out[one["sub"].(string)] = one
	}
	return out
}

// TestTokensAreRevoked: a revoked token is refused, and so is all that was made by
// it, on two nodes; its streams end there, and those of others go on.
func TestTokensAreRevoked(t *testing.T) {
	often := func(c *config.Config) { c.Stream.Heartbeat = time.Second }
	s := newServer(t, often)
	other := newServer(t, often, func(c *config.Config) { c.Database, c.Auth = s.Config.Database, s.Config.Auth })
	admin, backend, bystander := s.token(doorbell.RoleAdmin, "admin", 1), s.token(doorbell.RoleService, "backend", 1), s.token(doorbell.RoleConsole, "bystander", 1)
	made := s.as(backend, "POST", "api/v1/tokens", `{"sub":"made"}`).want(t, "a token by it", 200, "").field("token")
	ticket := func() string {
		return s.as(backend, "POST", "api/v1/tickets", `{"sub":"ticket"}`).want(t, "a ticket by it", 200, "").field("ticket")
	}
	cookie := cookieOf(t, s.do("POST", "login", `{"ticket":"`+ticket()+`"}`).want(t, "a session by it", 200, ""))
	unspent := ticket()
	dial := func(n *testServer, d transporttest.Dial) transporttest.Stream {
		stream, err := transporttest.DialSSE(n.url, d)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stream.Close)
		return stream
	}
	ending := map[string]transporttest.Stream{
		"its own on this node": dial(s, transporttest.Dial{Token: backend}), "its own on the other": dial(other, transporttest.Dial{Token: backend}),
		"by a ticket": dial(other, transporttest.Dial{Query: "ticket=" + ticket()}), "of what it made": dial(other, transporttest.Dial{Token: made}),
	}
	dial(other, transporttest.Dial{Token: bystander})
	list := s.tokensOf(t, admin)
	for _, sub := range []string{"admin", "backend", "made"} {
		if list[sub] == nil || list[sub]["revoked"] != nil {
			t.Fatalf("%s is not listed as good: %v", sub, list)
		}
	}
	if list["made"]["used"] != nil || list["made"]["parent"] != list["backend"]["id"] || list["backend"]["used"] == nil || list["admin"]["this"] != true {
		t.Errorf("the list: %v", list)
	}
	s.as(backend, "GET", "api/v1/tokens", "").want(t, "a service lists", 403, "forbidden")
	path := "api/v1/tokens/" + list["backend"]["id"].(string)
	s.as(backend, "DELETE", path, "").want(t, "a service revokes", 403, "forbidden")
	s.as(admin, "DELETE", path, "").want(t, "revoke", 204, "")
	for what, token := range map[string]string{"it": backend, "what it made": made} {
		s.as(token, "GET", "api/v1/me", "").want(t, what, 401, "token_revoked")
	}
	s.do("GET", "api/v1/me", "", "Cookie", cookie).want(t, "the session", 401, "session_removed")
	s.do("POST", "login", `{"ticket":"`+unspent+`"}`).want(t, "the unspent ticket", 401, "token_expired")
	testrun.Eventually(t, "the other node knows", func() bool { return other.as(made, "GET", "api/v1/me", "").status == 401 })
	for what, stream := range ending {
		for {
			m, err := stream.Next()
			if err != nil {
				t.Errorf("%s ended with %v, want bye", what, err)
				break
			}
			if m.Event == "bye" {
				if m.Reason != "auth" {
					t.Errorf("%s: bye for %s", what, m.Reason)
				}
				break
			}
		}
	}
	other.as(bystander, "GET", "api/v1/me", "").want(t, "another token", 200, "")
	testrun.Eventually(t, "the bystander's stream alone goes on", func() bool { return other.streams() == 1 })
	again := newServer(t, func(c *config.Config) { c.Database, c.Auth = s.Config.Database, s.Config.Auth })
	again.as(backend, "GET", "api/v1/me", "").want(t, "after a restart", 401, "token_revoked")
	if got := s.tokensOf(t, admin)["backend"]; got["revoked"] == nil || got["revokedBy"] != "admin:admin" {
		t.Errorf("listed as %v, want revoked by the admin", got)
	}
}
