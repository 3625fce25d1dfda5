package doorbell

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestReached(t *testing.T) {
	begin := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	receipt := func(console string, stage Stage, seconds int) Receipt {
		return Receipt{Console: console, Stage: stage, By: "tab of " + console, At: at(seconds)}
	}
	order := AlertState{Alert: Alert{Type: NewOrder, Time: begin, Actor: "provider:wechat"}, Open: true}
	closed := func(t Type, by string) *Closing { return &Closing{Type: t, Seq: 2, By: by, At: at(30)} }
	for _, c := range []struct {
		name string
		edit func(*AlertState)
		now  int
		want string
	}{
		{"just stored", func(*AlertState) {}, 1, "stored@0"},
		{"on its way", func(a *AlertState) { a.Delivered = &Delivery{Console: "c1", At: at(1)} }, 2, "stored@0 delivered@1/c1"},
		{"a muted console has it", func(a *AlertState) { a.Receipts = []Receipt{receipt("c1", Silent, 2)} }, 3, "stored@0 delivered@2/c1"},
		{"a receipt that came before the note", func(a *AlertState) {
			a.Delivered = &Delivery{Console: "c1", At: at(5)}
			a.Receipts = []Receipt{receipt("c2", Shown, 3), receipt("c1", Shown, 5)}
		}, 6, "stored@0 delivered@3/c2 shown@3/c2"},
		{"a screen that is off rings", func(a *AlertState) { a.Receipts = []Receipt{receipt("c1", Sounded, 2)} }, 3, "stored@0 delivered@2/c1 sounded@2/c1"},
		{"accepted on a console", func(a *AlertState) {
			a.Receipts = []Receipt{receipt("c1", Sounded, 2), receipt("c2", Sounded, 1)}
			a.Closed = closed(TakenCare, "console:cook")
		}, 40, "stored@0 delivered@1/c2 sounded@1/c2 accepted@30"},
		{"handled by the shop's own system", func(a *AlertState) { a.Closed = closed(TakenCare, "service:till") }, 40, "stored@0 handled@30"},
		{"cancelled", func(a *AlertState) { a.Closed = closed(CalledOff, "provider:wechat") }, 40, "stored@0 cancelled@30"},
		{"the last second of a day", func(*AlertState) {}, 86_399, "stored@0"},
		{"nobody for a day", func(*AlertState) {}, 86_400, "stored@0 expired@86400"},
		{"taken after two days", func(a *AlertState) { a.Closed = closed(TakenCare, "console:cook") }, 200_000, "stored@0 accepted@30"},
		{"what never rings", func(a *AlertState) { a.Type, a.Open = TakenCare, false }, 200_000, "stored@0"},
	} {
		a := order
		c.edit(&a)
		var got []string
		for _, r := range a.Reached(at(c.now)) {
			word := fmt.Sprintf("%s@%.0f", r.Progress, r.At.Sub(begin).Seconds())
			if r.Console != "" {
				word += "/" + r.Console
			}
			got = append(got, word)
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: %s, want %s", c.name, text, c.want)
		}
	}
}
