package doorbell

import (
	"strings"
	"time"
)

// Delivery says that a shop's alerts From to Upto have left for a console, the
// first one that they went to.
type Delivery struct {
	Shop       ShopID
	From, Upto Seq
	Console    string
	By         string // whose console it is
	At         time.Time
}

// Progress is how far an alert has come.
type Progress string

// How far an alert comes. One that rings goes through the first four, and ends with
// one of the others; a later one may come without those before it: somebody accepts
// what he saw on a tablet without sound.
const (
	WasStored    Progress = "stored"
	WasDelivered Progress = "delivered" // it left for a console
	WasShown     Progress = "shown"     // on a screen that somebody could look at
	WasSounded   Progress = "sounded"
	WasAccepted  Progress = "accepted" // on a console
	WasHandled   Progress = "handled"  // taken care of by the shop's own system
	WasCancelled Progress = "cancelled"
	HasExpired   Progress = "expired" // nobody took care of it within ExpiresAfter
)

// ExpiresAfter is how long an alert that nobody takes care of is pressed on people.
// After a day it is history: its order is cold.
const ExpiresAfter = 24 * time.Hour

// Reached says when an alert came so far, and by whom.
type Reached struct {
	Progress Progress  `json:"state"`
	At       time.Time `json:"at"`
	By       string    `json:"by,omitempty"`
	Console  string    `json:"console,omitempty"`
}

// Reached lists how far an alert has come, in that order. It is derived from the log
// and the receipts alone, so that every node says the same at every time. Whatever a
// console says of an alert proves that it was delivered.
func (a AlertState) Reached(now time.Time) []Reached {
	out := []Reached{{Progress: WasStored, At: a.Time, By: a.Actor}}
	if !a.Type.Rings() {
		return out
	}
	var first [3]Reached // delivered, shown, sounded
	note := func(i int, r Reached) {
		if first[i].At.IsZero() || r.At.Before(first[i].At) {
			first[i] = r
		}
	}
	if d := a.Delivered; d != nil {
		note(0, Reached{At: d.At, By: d.By, Console: d.Console})
	}
	for _, r := range a.Receipts {
		word := Reached{At: r.At, By: r.By, Console: r.Console}
		note(0, word) // whoever speaks of it has it
		switch r.Stage {
		case Shown:
			note(1, word)
		case Sounded:
			note(2, word)
		default:
		}
	}
	for i, p := range []Progress{WasDelivered, WasShown, WasSounded} {
		if !first[i].At.IsZero() {
			first[i].Progress = p
			out = append(out, first[i])
		}
	}
	if end, ended := a.end(now); ended {
		out = append(out, end)
	}
	return out
}

// end returns what an alert came to in the end.
func (a AlertState) end(now time.Time) (Reached, bool) {
	switch expires := a.Time.Add(ExpiresAfter); {
	case a.Closed == nil && !now.Before(expires):
		return Reached{Progress: HasExpired, At: expires}, true
	case a.Closed == nil:
		return Reached{}, false
	default:
		return Reached{Progress: a.Closed.progress(), At: a.Closed.At, By: a.Closed.By}, true
	}
}

// progress returns what became of an alert that this closed.
func (c Closing) progress() Progress {
	switch {
	case c.Type == CalledOff:
		return WasCancelled
	case strings.HasPrefix(c.By, string(RoleConsole)+":"):
		return WasAccepted
	default:
		return WasHandled
	}
}
