package handlers_test

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"doorbell/internal/doorbell"
)

// TestLedgerOfToday: the sum, what does not add up and why, as JSON and as CSV; only
// for the caller's own shops.
func TestLedgerOfToday(t *testing.T) {
	s := newServer(t)
	service, console := s.token(doorbell.RoleService, "till", 1), s.token(doorbell.RoleConsole, "cook", 1)
	for _, o := range []string{`{"id":1,"number":"@A-1","shopId":1,"amount":1250}`, `{"id":2,"number":"A-2","shopId":1,"amount":1}`} {
		s.as(service, "POST", "api/v1/orders", o).want(t, "create", 201, "")
	}
	s.pay("@A-1", 1250).want(t, "pay", 204, "")
	s.pay("A-2", 1).want(t, "pay", 204, "")
	id := s.as(console, "GET", "poll?after=0&wait=1", "").field("console")
	for _, stage := range []string{"shown", "sounded"} {
		s.as(console, "POST", "api/v1/alerts/1/2/receipts", `{"console":"`+id+`","stage":"`+stage+`"}`).want(t, stage, 204, "")
	}
	s.as(console, "POST", "api/v1/alerts/1/1/receipts", `{"console":"`+id+`","stage":"silent","reason":"sound_not_unlocked"}`).want(t, "silent", 204, "")
	s.as(console, "POST", "api/v1/alerts/1/2/accept", `{}`).want(t, "accept", 200, "")

	var day struct {
		Sealed     bool
		Sum        doorbell.LedgerSum
		Exceptions []struct {
			Line   int
			Seq    int
			Amount int
			Why    []string
			Silent string
		}
	}
	body := s.as(console, "GET", "api/v1/ledger?shop=1", "").want(t, "today", 200, "").body
	if err := json.Unmarshal([]byte(body), &day); err != nil {
		t.Fatal(err)
	}
	sum := day.Sum
	if day.Sealed || sum.Paid != 2 || sum.Alerted != 2 || sum.Heard != 1 || sum.Accepted != 1 || sum.Amounts["CNY"] != 1251 || sum.Lacking != 1 {
		t.Errorf("the sum is %+v", sum)
	}
	if e := day.Exceptions; len(e) != 1 || e[0].Line != 1 || e[0].Seq != 1 || e[0].Amount != 1250 || strings.Join(e[0].Why, " ") != "silent not_accepted" || e[0].Silent != "sound_not_unlocked" {
		t.Errorf("what does not add up is %+v", e)
	}
	got := s.as(service, "GET", "api/v1/ledger?shop=1&format=csv", "").want(t, "csv", 200, "")
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(got.body, "\ufeff"))).ReadAll()
	if err != nil || len(rows) != 3 || rows[1][7] != "'@A-1" || rows[2][15] != "accepted" || rows[1][18] != "silent:sound_not_unlocked not_accepted" {
		t.Errorf("the CSV is %v, %v", rows, err)
	}
	s.as(console, "GET", "api/v1/ledger?shop=2", "").want(t, "another's shop", 403, "forbidden")
	s.as(console, "GET", "api/v1/ledger", "").want(t, "no shop", 400, "invalid")
	s.as(console, "GET", "api/v1/ledger?shop=1&day=yesterday", "").want(t, "no day", 400, "invalid")
	s.as(console, "GET", "api/v1/ledger?shop=1&format=xml", "").want(t, "a strange format", 400, "invalid")
	s.as(s.token(doorbell.RoleCustomer, "7", 1), "GET", "api/v1/ledger?shop=1", "").want(t, "a customer", 403, "forbidden")
	if empty := s.as(console, "GET", "api/v1/ledger?shop=1&day=2020-02-29", "").want(t, "a day of before", 200, ""); !strings.Contains(empty.body, `"exceptions":[]`) {
		t.Errorf("a day of before: %s", empty.body)
	}
}
