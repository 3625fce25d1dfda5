package handlers_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"doorbell/internal/doorbell"
)

// paired pairs a device of a shop and returns its cookie.
func (s *testServer) paired(t *testing.T, name string, shop int64) string {
	t.Helper()
	service := s.token(doorbell.RoleService, "backend", shop)
	made := s.as(service, "POST", "api/v1/tickets", `{"sub":"`+name+`","pair":true,"life":"15m"}`).want(t, "pairing ticket", 200, "")
	in := s.do("POST", "login", `{"ticket":"`+made.field("ticket")+`","label":"Android Chrome"}`).want(t, "pairing", 200, "")
	s.do("POST", "login", `{"ticket":"`+made.field("ticket")+`"}`).want(t, "pairing again", 401, "token_expired")
	return cookieOf(t, in)
}

// TestDevices: only consoles of their shop can see and revoke paired devices.
func TestDevices(t *testing.T) {
	s := newServer(t)
	kitchen := s.paired(t, "kitchen", 1)
	bar := s.paired(t, "bar", 2)
	owner := s.token(doorbell.RoleConsole, "owner", 1)
	list := s.as(owner, "GET", "api/v1/devices", "").want(t, "devices", 200, "")
	if !strings.Contains(list.body, `"name":"kitchen"`) || !strings.Contains(list.body, `"label":"Android Chrome"`) || strings.Contains(list.body, "bar") {
		t.Errorf("devices of shop 1: %s", list.body)
	}
	if own := s.do("GET", "api/v1/devices", "", "Cookie", kitchen); !strings.Contains(own.body, `"this":true`) {
		t.Errorf("its own list: %s", own.body)
	}
	id := func(cookie string) string {
		body := s.do("GET", "api/v1/devices", "", "Cookie", cookie).body
		return strings.Split(strings.Split(body, `"id":"`)[1], `"`)[0]
	}
	s.as(owner, "DELETE", "api/v1/devices/"+id(bar), "").want(t, "a foreign device", 404, "not_found")
	s.as(owner, "DELETE", "api/v1/devices/x", "").want(t, "an absent one", 404, "not_found")
	s.as(owner, "POST", "api/v1/tickets", `{"pair":true}`).want(t, "a console pairs", 400, "invalid")
	subscribe := `{"endpoint":"https://fcm.googleapis.com/x","keys":{"p256dh":"BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM","auth":"` + base64.RawURLEncoding.EncodeToString(make([]byte, 16)) + `"},"shopId":1,"language":"zh"}`
	s.do("PUT", "api/v1/push", subscribe, "Cookie", kitchen).want(t, "push", 204, "")
	for what, c := range map[string]struct {
		body, cookie string
		status       int
	}{
		"a foreign shop":      {strings.Replace(subscribe, `"shopId":1`, `"shopId":2`, 1), kitchen, 403},
		"an address of ours":  {strings.Replace(subscribe, "fcm.googleapis.com", "127.0.0.1", 1), kitchen, 400},
		"a key of zeros":      {strings.Replace(subscribe, "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM", base64.RawURLEncoding.EncodeToString(make([]byte, 65)), 1), kitchen, 400},
		"a key that is none":  {strings.Replace(subscribe, "p256dh\":\"", "p256dh\":\"AA", 1), kitchen, 400},
		"a foreign session's": {subscribe, bar, 403},
	} {
		s.do("PUT", "api/v1/push", c.body, "Cookie", c.cookie).want(t, what, c.status, "")
	}
	s.as(owner, "PUT", "api/v1/push", subscribe).want(t, "a token, no session", 409, "conflict")
	if to, err := s.Store.Pushes(t.Context(), 1); err != nil || len(to) != 1 {
		t.Errorf("pushes %v, %v; want the kitchen's", to, err)
	}
	s.as(owner, "DELETE", "api/v1/devices/"+id(kitchen), "").want(t, "revoke", 204, "")
	s.do("GET", "api/v1/me", "", "Cookie", kitchen).want(t, "the revoked one", http.StatusUnauthorized, "")
	if to, err := s.Store.Pushes(t.Context(), 1); err != nil || len(to) != 0 {
		t.Errorf("pushes after the revocation: %v, %v", to, err)
	}
	s.do("GET", "api/v1/me", "", "Cookie", bar).want(t, "the other shop's", 200, "")
	s.do("DELETE", "api/v1/push", `{"endpoint":"https://fcm.googleapis.com/x"}`, "Cookie", bar).want(t, "forget what is not there", 204, "")
}
