package doorbell

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// LedgerEntry is one line of a shop's day: money that came and what became of it, or
// another alert that rang.
type LedgerEntry struct {
	Seq     Seq       `json:"seq,omitempty"` // of its alert; 0: no alert tells of it
	Type    Type      `json:"type,omitempty"`
	Source  Source    `json:"source"`
	OrderID OrderID   `json:"orderId"`
	Number  string    `json:"number"`
	Time    time.Time `json:"time"` // of its alert, else of the payment
	Test    bool      `json:"test,omitempty"`

	// Of a payment of one of our own orders:
	Paid      bool      `json:"paid,omitempty"`
	Amount    int64     `json:"amount,omitempty"`
	Currency  string    `json:"currency,omitempty"`
	OrderedAt time.Time `json:"orderedAt,omitzero"`

	Reached []Reached    `json:"reached,omitempty"`
	Silent  string       `json:"silent,omitempty"` // why the first console was silent that said so
	Told    []LedgerTold `json:"told,omitempty"`
	Why     []Want       `json:"why,omitempty"` // what is not as it should be; nothing for most
}

// LedgerTold is one step of the ladder that was told of an entry.
type LedgerTold struct {
	To    string    `json:"to"`
	Rung  int       `json:"rung"`  // from 1
	Round int       `json:"round"` // from 1
	At    time.Time `json:"at"`
	State string    `json:"state"`
	Done  time.Time `json:"doneAt,omitzero"`
}

// Want is what an entry lacks.
type Want string

// What an entry may lack.
const (
	NotAlerted   Want = "not_alerted"   // money came, and no alert says so
	NotPaid      Want = "not_paid"      // it rang, and no money came
	NotDelivered Want = "not_delivered" // it left for no console
	NotShown     Want = "not_shown"     // it left for a console that never showed it
	WasSilent    Want = "silent"        // a console says why it was silent
	NotSounded   Want = "not_sounded"   // it was shown, and no console says that it rang
	NotAccepted  Want = "not_accepted"  // it rings still
	WentCold     Want = "expired"       // nobody took care of it within a day
)

// has returns when an entry came so far; zero for not.
func (e LedgerEntry) has(p Progress) time.Time {
	for _, r := range e.Reached {
		if r.Progress == p {
			return r.At
		}
	}
	return time.Time{}
}

// End returns what became of an entry in the end, empty while it rings.
func (e LedgerEntry) End() Progress {
	if len(e.Reached) == 0 {
		return ""
	}
	switch last := e.Reached[len(e.Reached)-1].Progress; last {
	case WasAccepted, WasHandled, WasCancelled, HasExpired:
		return last
	default:
		return ""
	}
}

// Settled reports whether nothing more can become of it.
func (e LedgerEntry) Settled() bool { return e.Seq == 0 || e.End() != "" }

// Judged returns the entry with what it lacks. A cancelled order lacks nothing: nobody
// had to hear of it.
func (e LedgerEntry) Judged() LedgerEntry {
	e.Why = nil
	switch {
	case e.Seq == 0:
		e.Why = []Want{NotAlerted}
		return e
	case e.Type == NewOrder && e.Source == FromOrder && !e.Paid:
		e.Why = append(e.Why, NotPaid)
	case e.End() == WasCancelled:
		return e
	}
	if e.has(WasSounded).IsZero() {
		switch {
		case e.has(WasDelivered).IsZero():
			e.Why = append(e.Why, NotDelivered)
		case e.Silent != "":
			e.Why = append(e.Why, WasSilent)
		case e.has(WasShown).IsZero():
			e.Why = append(e.Why, NotShown)
		default:
			e.Why = append(e.Why, NotSounded)
		}
	}
	switch e.End() {
	case "":
		e.Why = append(e.Why, NotAccepted)
	case HasExpired:
		e.Why = append(e.Why, WentCold)
	default:
	}
	return e
}

// ToldSomebody reports whether a message about it was taken.
func (e LedgerEntry) ToldSomebody() bool {
	for _, t := range e.Told {
		if t.State == Delivered.String() {
			return true
		}
	}
	return false
}

// LedgerDay is a shop's day.
type LedgerDay struct {
	Shop   ShopID
	Day    string // YYYY-MM-DD, by the clock of the shop
	Begins time.Time
	Ends   time.Time
	// AsOf is until when things are in it: what comes later changes no day that is
	// sealed.
	AsOf    time.Time
	Entries []LedgerEntry

	Before string // the hash of the day before; empty for the first
	Hash   string // empty for a day that is not sealed
}

// LedgerHead is where a shop's ledger ends.
type LedgerHead struct {
	Day  string // the last one that is sealed; empty for none
	Ends time.Time
	Hash string
}

// Bound names the day behind last, or the one that d begins in where last is empty, and
// ends it at its midnight by the shop's clock. It begins where the day before ended, so
// that a shop that moves to another zone loses no hour and counts none twice.
func (d LedgerDay) Bound(last string, zone *time.Location) LedgerDay {
	day := d.Begins.In(zone)
	if at, err := time.ParseInLocation(time.DateOnly, last, zone); err == nil {
		day = at.AddDate(0, 0, 1)
	}
	y, m, n := day.Date()
	midnight := time.Date(y, m, n, 0, 0, 0, 0, zone)
	d.Day = midnight.Format(time.DateOnly)
	if last == "" {
		d.Begins = Instant(midnight)
	}
	if d.Ends = Instant(time.Date(y, m, n+1, 0, 0, 0, 0, zone)); d.Ends.Before(d.Begins) {
		d.Ends = d.Begins
	}
	return d
}

// LedgerSum is a day in numbers. Of the payments: Paid = Alerted = Heard = Accepted,
// but for what was Cancelled and what is listed as an exception.
type LedgerSum struct {
	Paid      int              `json:"paid"`
	Alerted   int              `json:"alerted"`
	Heard     int              `json:"heard"`
	Accepted  int              `json:"accepted"` // also by the shop's own system
	Cancelled int              `json:"cancelled"`
	Amounts   map[string]int64 `json:"amounts"`   // paid, by currency, in its minor unit
	Reminders int              `json:"reminders"` // customers' reminders
	External  int              `json:"external"`  // orders that are kept elsewhere
	Lacking   int              `json:"exceptions"`
	Escalated int              `json:"escalated"` // entries of which somebody was told
}

// Sum counts a day.
func (d LedgerDay) Sum() LedgerSum {
	s := LedgerSum{Amounts: map[string]int64{}}
	for _, e := range d.Entries {
		switch {
		case e.Paid:
			s.count(e)
		case e.Type == Reminder:
			s.Reminders++
		case e.Source == External:
			s.External++
		}
		if len(e.Why) > 0 {
			s.Lacking++
		}
		if e.ToldSomebody() {
			s.Escalated++
		}
	}
	return s
}

func (s *LedgerSum) count(e LedgerEntry) {
	s.Paid++
	s.Amounts[e.Currency] += e.Amount
	if e.Seq > 0 {
		s.Alerted++
	}
	if !e.has(WasSounded).IsZero() {
		s.Heard++
	}
	switch e.End() {
	case WasAccepted, WasHandled:
		s.Accepted++
	case WasCancelled:
		s.Cancelled++
	default:
	}
}

// Exceptions are the entries that lack something.
func (d LedgerDay) Exceptions() (out []LedgerEntry) {
	for _, e := range d.Entries {
		if len(e.Why) > 0 {
			out = append(out, e)
		}
	}
	return out
}

// Settled reports whether nothing more can become of the day's entries.
func (d LedgerDay) Settled() bool {
	for _, e := range d.Entries {
		if !e.Settled() {
			return false
		}
	}
	return true
}

// Body is an entry as it is sealed.
func (e LedgerEntry) Body() string {
	b, err := json.Marshal(e)
	if err != nil { // numbers, texts and times of this era always encode
		panic(err)
	}
	return string(b)
}

// LedgerChain hashes a day, entry by entry: each hash is over all before it, so that
// nothing can be changed, added or taken out without all that follow being other.
type LedgerChain struct{ hash string }

// Chain begins the hash of a day that has n entries and follows the day before.
func (d LedgerDay) Chain(n int) *LedgerChain {
	head := fmt.Sprintf("doorbell ledger 1\n%d\n%s\n%d\n%d\n%d\n%d\n%s\n", d.Shop, d.Day, d.Begins.UnixMilli(), d.Ends.UnixMilli(), d.AsOf.UnixMilli(), n, d.Before)
	c := &LedgerChain{}
	c.Add(head)
	return c
}

// Add goes on with one entry's body and returns the hash up to it.
func (c *LedgerChain) Add(body string) string {
	sum := sha256.Sum256([]byte(c.hash + "\n" + body))
	c.hash = hex.EncodeToString(sum[:])
	return c.hash
}

// Hash is that of all that was added.
func (c *LedgerChain) Hash() string { return c.hash }

// String names an entry as a person looks for it.
func (e LedgerEntry) String() string {
	var b strings.Builder
	if e.Seq > 0 {
		fmt.Fprintf(&b, "alert %d, ", e.Seq)
	}
	if e.Number != "" {
		fmt.Fprintf(&b, "order %s", e.Number)
	} else {
		fmt.Fprintf(&b, "order %d", e.OrderID)
	}
	return b.String()
}
