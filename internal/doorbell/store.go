package doorbell

import (
	"context"
	"time"
)

// Tx is one transaction as the rules see it. Its methods fail with NotFound
// where an Error says so, and otherwise with errors of the database, after
// which the transaction can only be given up.
type Tx interface { //nolint:interfacebloat // a table's methods each
	OrderTx
	LogTx
	InboxTx
	KeyTx
	OutboxTx
	AttendanceTx
	EscalationTx
}

// OrderTx reads and writes orders. A read locks the row until the end.
type OrderTx interface {
	Order(id OrderID) (Order, error)
	// OrderByNumber is the order of this number in a scope.
	OrderByNumber(scope, number string) (Order, error)
	// OrdersByNumber are those of all scopes, oldest first, at most limit.
	OrdersByNumber(number string, limit int) ([]Order, error)
	InsertOrder(o Order) (Order, error) // chooses the id where it is 0
	UpdateOrder(o Order) error
}

// LogTx writes a shop's log. Every method locks the shop's head, so an order
// is to be read first: the head is the last lock that is taken.
type LogTx interface { //nolint:interfacebloat // one row of statements under one lock
	// Append gives the alert the shop's next seq. Types 3 and 4 close what
	// rings for the same order.
	Append(a Alert) (Alert, error)
	// SaveDetail keeps what was ordered beside the alert that was just appended.
	SaveDetail(shop ShopID, seq Seq, d Detail) error
	// Alert is NotFound where the shop has no such seq, or no longer.
	Alert(shop ShopID, seq Seq) (Alert, error)
	// ClosedBy is the first alert of type 3 or 4 of a's order after a.
	ClosedBy(a Alert) (closing Alert, closed bool, err error)
	// MarkUnheard notes that somebody was told that nobody heard an alert. It
	// reports false, and changes nothing, where the alert rings no more, was
	// heard, or was told of before.
	MarkUnheard(shop ShopID, seq Seq) (bool, error)
	// Ringing reports whether an alert of this order still rings.
	Ringing(shop ShopID, source Source, order OrderID) (bool, error)
}

// InboxTx keeps verified callbacks.
type InboxTx interface { //nolint:interfacebloat // one table
	// Callback is the line for this provider, kind and transaction.
	Callback(n Notice) (Callback, bool, error)
	SaveCallback(c Callback) error
	// Waiting are the payments that came before their order, of any account.
	Waiting(number string) ([]Callback, error)
	// Duplicates are the payments of orders of this number that no order rests
	// on and that were not given back, oldest first.
	Duplicates(number string) ([]Callback, error)
	// Refunds are those of a payment that count, whether it has come or not.
	Refunds(payment Notice) (Refunds, error)
	// JudgeRefunds gives a verdict to the refunds that waited for their payment.
	JudgeRefunds(payment Notice, v Verdict) error
}

// Key is an Idempotency-Key in its scope.
type Key struct {
	Subject string
	Shop    ShopID
	Value   string
}

// KeyTx keeps idempotency keys beside the alerts that they made.
type KeyTx interface {
	Key(k Key) (bodyHash string, seq Seq, found bool, err error)
	SaveKey(k Key, bodyHash string, seq Seq, at time.Time) error
}

// Store keeps everything. Write runs change in one transaction: it is
// committed when change returns nil, else nothing happened. change may run
// more than once, so it sets results and does nothing else. Alerts
// appended are handed to the consoles after the commit and before Write
// returns. Unavailable means that nothing was changed, nor will be: a change
// that has waited too long for its turn is never run.
type Store interface { //nolint:interfacebloat // three lanes, and what is written beside them
	// Now returns the time by the clock that all nodes share.
	Now() time.Time
	Write(ctx context.Context, change func(Tx) error) error
	// WriteUrgent is Write ahead of all that Write has queued: for money, and for
	// telling that nobody hears. Callers that flood the API don't keep it waiting.
	WriteUrgent(ctx context.Context, change func(Tx) error) error
	// WritePress is Write ahead of what Write has queued, behind WriteUrgent: for
	// what somebody pressed on a console, who stands there and waits.
	WritePress(ctx context.Context, change func(Tx) error) error
	Reader
	SaveReceipt(ctx context.Context, r Receipt) error
}

// Reader reads without a transaction of the caller's.
type Reader interface { //nolint:interfacebloat // what is read outside a change
	Order(ctx context.Context, id OrderID) (Order, error)
	// Received is the line of the inbox for this provider, kind and transaction;
	// NotFound when there is none.
	Received(ctx context.Context, key Notice) (Callback, error)
	Alerts(ctx context.Context, q AlertQuery) (AlertPage, error)
	Messages(ctx context.Context, q MessageQuery) (list []Message, total int, err error)
	// Escalations are the steps by which people were told of an alert, in the order
	// that they were told.
	Escalations(ctx context.Context, shop ShopID, seq Seq) ([]Escalation, error)
	// Unheard are alerts that have rung since before and that no console said
	// to have sounded, oldest first; those told of already are left out.
	Unheard(ctx context.Context, before time.Time, limit int) ([]Alert, error)
	// UnheardAfter are those that were written after a time: a clock that was set
	// back since has it yet to come.
	UnheardAfter(ctx context.Context, after time.Time, limit int) ([]Alert, error)
	// Timings are how a shop's alerts from one time to another were heard and
	// taken care of; the latest 20,000.
	Timings(ctx context.Context, shop ShopID, from, to time.Time) ([]Timing, error)
}

// AlertQuery asks for a shop's alerts, newest first.
type AlertQuery struct {
	Shop     ShopID
	OpenOnly bool
	Type     Type // 0: all
	Before   Seq  // 0: from the newest
	After    Seq
	Search   string // part of a number or a text; empty: all
	Limit    int    // 1 to 500
}

// AlertPage is one answer. Alerts and Cursor are of one snapshot. Next is
// Before for the page that follows, 0 when there is none.
type AlertPage struct {
	Alerts []AlertState
	Cursor Cursor
	Next   Seq
}

// AlertState is an alert with what became of it.
type AlertState struct {
	Alert
	Open     bool
	Closed   *Closing // nil while open, and for types that do not ring
	Receipts []Receipt
	// Delivered says that it left for a console; nil where nobody has noted that.
	Delivered *Delivery
	Detail    Detail // its own, else its order's; zero for none
	Refunded  Money  // what went back of the payment of its order, if it rings
}

// Closing tells what silenced an alert.
type Closing struct {
	Type Type
	Seq  Seq
	By   string
	At   time.Time
}

// Position is where a shop's log stands: the last seq given, and the oldest one
// kept, which is Head+1 when none is. A shop that never had an alert is at 0, 1.
type Position struct {
	Head, Oldest Seq
	Nonce        Nonce // of the alert at Head
}

// Stage is how far an alert got on a console.
type Stage string

// The stages of a receipt.
const (
	Shown   Stage = "shown"
	Sounded Stage = "sounded"
	Silent  Stage = "silent" // with the reason
)

// Receipt is a console's word on an alert: idempotent by (Shop, Seq, Console,
// Stage), the first one counts.
type Receipt struct {
	Shop    ShopID    `json:"-"`
	Seq     Seq       `json:"-"`
	Console string    `json:"console"`
	Stage   Stage     `json:"stage"`
	Reason  string    `json:"reason,omitempty"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
}
