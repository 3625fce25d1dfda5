package doorbell

import (
	"context"
	"time"
)

// Tx is one transaction as the rules see it. Its methods fail with NotFound
// where an Error says so, and otherwise with errors of the database, after
// which the transaction can only be given up.
type Tx interface {
	OrderTx
	LogTx
	InboxTx
	KeyTx
	OutboxTx
}

// OrderTx reads and writes orders. A read locks the row until the end.
type OrderTx interface {
	Order(id OrderID) (Order, error)
	OrderByNumber(number string) (Order, error)
	InsertOrder(o Order) (Order, error) // chooses the id where it is 0
	UpdateOrder(o Order) error
}

// LogTx writes a shop's log. Every method locks the shop's head, so an order
// is to be read first: the head is the last lock that is taken.
type LogTx interface {
	// Append gives the alert the shop's next seq. Types 3 and 4 close what
	// rings for the same order.
	Append(a Alert) (Alert, error)
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
type InboxTx interface {
	// Callback is the line for this provider, kind and transaction.
	Callback(n Notice) (Callback, bool, error)
	SaveCallback(c Callback) error
	// Waiting are the callbacks that came before their order.
	Waiting(number string) ([]Callback, error)
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
// returns. Unavailable means that nothing was changed.
type Store interface {
	Write(ctx context.Context, change func(Tx) error) error
	Reader
	SaveReceipt(ctx context.Context, r Receipt) error
}

// Reader reads without a transaction of the caller's.
type Reader interface {
	Order(ctx context.Context, id OrderID) (Order, error)
	Alerts(ctx context.Context, q AlertQuery) (AlertPage, error)
	// Unheard are alerts that have rung since before and that no console said
	// to have sounded, oldest first; those told of already are left out.
	Unheard(ctx context.Context, before time.Time, limit int) ([]Alert, error)
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
type Position struct{ Head, Oldest Seq }

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
