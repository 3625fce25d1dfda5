package handlers_test

import (
	"strings"
	"testing"

	"doorbell/internal/doorbell"
)

// TestDesk: an admin sees a payment that waits for its order, judges it again once
// the order is there, and has a message that was given up sent again; others may
// not.
func TestDesk(t *testing.T) {
	s := newServer(t)
	admin, service := s.token(doorbell.RoleAdmin, "admin", 1), s.token(doorbell.RoleService, "backend", 1)
	s.as(service, "POST", "api/v1/orders", `{"number":"A-1","shopId":1,"userId":7,"amount":200}`).want(t, "order", 201, "")
	s.pay("A-1", 100) // of another amount
	for _, path := range []string{"inbox", "outbox"} {
		s.as(service, "GET", "api/v1/"+path, "").want(t, path+" by a service", 403, "forbidden")
	}
	inbox := s.as(admin, "GET", "api/v1/inbox", "").want(t, "inbox", 200, "").body
	for _, part := range []string{`"number":"A-1"`, `"amount":100`, `"verdict":"amount_differs"`, `"waits":true`, `"transactionId":"TA-1"`} {
		if !strings.Contains(inbox, part) {
			t.Errorf("the inbox lacks %s: %s", part, inbox)
		}
	}
	again := s.as(admin, "POST", "api/v1/inbox/replay", `{"provider":"wechat","kind":"payment","transactionId":"TA-1"}`).want(t, "replay", 200, "")
	if again.body != `{"settled":false,"verdict":"amount_differs"}` {
		t.Errorf("judged again: %s, want the amount to count still", again.body)
	}
	if _, at := s.position(1); at.Head != 0 {
		t.Errorf("head %d, want no ring for the wrong amount", at.Head)
	}
	err := s.Store.Write(t.Context(), func(tx doorbell.Tx) error {
		return tx.Enqueue(doorbell.Outgoing{Hook: "printer", Message: "msg_1", Event: doorbell.EventTypes[0], Shop: 1, Body: []byte("{}"), State: doorbell.GivenUp, Attempts: 9, LastError: "no route"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.as(admin, "GET", "api/v1/outbox", "").want(t, "outbox", 200, "").body; !strings.Contains(got, `"state":"given_up","attempts":9`) || !strings.Contains(got, "no route") {
		t.Errorf("the outbox: %s", got)
	}
	s.as(admin, "POST", "api/v1/outbox/1/replay", "").want(t, "send again", 204, "")
	if got := s.as(admin, "GET", "api/v1/outbox", "").body; !strings.Contains(got, `"state":"waiting","attempts":0`) {
		t.Errorf("afterwards: %s", got)
	}
}
