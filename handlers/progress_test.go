package handlers_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// TestHowFarAnAlertCame: each state of an alert is told with who and when, in the list
// and by itself, and of one by itself also who was told that nobody took it.
func TestHowFarAnAlertCame(t *testing.T) {
	s := newServer(t)
	console := s.token(doorbell.RoleConsole, "till", 1)
	a := s.raise(1, doorbell.NewOrder, 1, "x")
	id := s.as(console, "GET", "poll?after=0&wait=1", "").field("console")
	states := func(body string) (out []string) {
		t.Helper()
		var v struct {
			Reached []doorbell.Reached
			Alerts  []struct{ Reached []doorbell.Reached }
		}
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatal(err)
		}
		if v.Alerts != nil {
			v.Reached = v.Alerts[len(v.Alerts)-1].Reached
		}
		for _, r := range v.Reached {
			out = append(out, string(r.Progress)+"/"+r.By)
		}
		return out
	}
	want := func(what, want string) {
		t.Helper()
		for _, path := range []string{"api/v1/alerts/1/1", "api/v1/alerts?shop=1"} {
			if got := strings.Join(states(s.as(console, "GET", path, "").want(t, path, 200, "").body), " "); got != want {
				t.Errorf("%s, %s: %s, want %s", what, path, got, want)
			}
		}
	}
	testrun.Eventually(t, "the delivery is noted", func() bool {
		return strings.Contains(s.as(console, "GET", "api/v1/alerts/1/1", "").body, `"delivered"`)
	})
	want("an answer has left", "stored/ delivered/till")
	for _, stage := range []string{"shown", "sounded"} {
		s.as(console, "POST", "api/v1/alerts/1/1/receipts", `{"console":"`+id+`","stage":"`+stage+`"}`).want(t, stage, 204, "")
	}
	want("it rings", "stored/ delivered/till shown/till sounded/till")
	at := doorbell.Instant(time.Now())
	err := s.Store.Write(t.Context(), func(tx doorbell.Tx) error {
		_, _, err := tx.Claim(doorbell.Escalation{Shop: 1, Seq: a.Seq, Step: doorbell.Step{Rung: 1, Round: 2}, To: "owner", Message: "m", At: at})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	told := s.as(console, "GET", "api/v1/alerts/1/1", "").body
	if !strings.Contains(told, `"told":[{"to":"owner","rung":2,"round":3,"at":"`+at.Format(doorbell.TimeLayout[:19])) || !strings.Contains(told, `"state":"waiting"`) {
		t.Errorf("who was told is not in %s", told)
	}
	s.as(console, "POST", "api/v1/alerts/1/1/accept", `{}`).want(t, "accept", 200, "")
	want("accepted", "stored/ delivered/till shown/till sounded/till accepted/console:till")
	s.as(console, "GET", "api/v1/alerts/1/9", "").want(t, "absent", 404, "not_found")
}
