package adopt

import (
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"doorbell/internal/doorbell"
)

// columns are what is read of a row of theirs, in the order of scanRow. number and
// the times may be null.
const columns = `id, coalesce(number, ''), status, pay_status, user_id, amount, order_time, checkout_time`

// row is an order as their table has it.
type row struct {
	id        doorbell.OrderID
	number    string // empty for null
	status    doorbell.Status
	payStatus doorbell.PayStatus
	user      int64
	fen       int64 // −1: no amount that can be paid
	ordered   time.Time
	checkout  time.Time
}

// scanRow reads columns. Their times stand in the zone of the JVM that wrote them.
func scanRow(scan func(...any) error, zone *time.Location) (r row, err error) {
	var amount, ordered, checkout sql.NullString
	if err := scan(&r.id, &r.number, &r.status, &r.payStatus, &r.user, &amount, &ordered, &checkout); err != nil {
		return r, err
	}
	if r.fen, err = fen(amount.String); err != nil {
		r.fen = -1
	}
	r.ordered, r.checkout = instant(ordered.String, zone), instant(checkout.String, zone)
	return r, nil
}

// timeLayout is a datetime without a fraction.
const timeLayout = "2006-01-02 15:04:05"

// instant is a datetime of theirs; zero for null, and for what is none.
func instant(text string, zone *time.Location) time.Time {
	whole, _, _ := strings.Cut(text, ".")
	at, err := time.ParseInLocation(timeLayout, whole, zone)
	if err != nil {
		return time.Time{}
	}
	return doorbell.Instant(at)
}

// fen returns an amount in yuan as fen, exactly: no float comes near it.
func fen(yuan string) (int64, error) {
	whole, part, _ := strings.Cut(yuan, ".")
	digits := strings.TrimRight(part, "0")
	if len(digits) > 2 {
		return 0, fmt.Errorf("%q yuan are no whole fen", yuan)
	}
	n, err := strconv.ParseUint(whole+(digits + "00")[:2], 10, 53)
	if err != nil || whole == "" {
		return 0, fmt.Errorf("%q is no amount in yuan", yuan)
	}
	return int64(n), nil // 53 bits
}

// seen is what was known of a row when it was looked at last.
type seen struct {
	number    string
	status    doorbell.Status
	payStatus doorbell.PayStatus
	watched   watched
	ordered   time.Time
}

// watched is how often a row is looked at.
type watched int

const (
	settledRow watched = 0 // not at all
	livelyRow  watched = 1 // at every look
	quietRow   watched = 2 // once a minute: its ending can still be undone
)

// watch tells how often a row that stands so is to be looked at.
func (r row) watch() watched {
	switch r.status {
	case doorbell.Done:
		return settledRow
	case doorbell.Cancelled: // their callback revives what was cancelled
		return quietRow
	default:
		return livelyRow
	}
}

func (r row) same(s seen) bool {
	return r.number == s.number && r.status == s.status && r.payStatus == s.payStatus
}

// order is a row as an order of ours that nothing is known of.
func (r row) order() doorbell.Order {
	o := doorbell.Order{
		ID: r.id, Number: r.number, Shop: Shop, User: r.user, Status: r.status, PayStatus: r.payStatus,
		Money: doorbell.Money{Minor: r.fen, Currency: doorbell.DefaultCurrency}, CreatedAt: r.ordered, PaidAt: r.checkout,
		Account: scopeOf(r.id),
	}
	if !doorbell.ValidNumber(o.Number) { // null, or what could be markup
		o.Number = strconv.FormatInt(int64(r.id), 10)
	}
	if o.Status < doorbell.ToBePaid || o.Status > doorbell.Cancelled {
		o.Status = doorbell.Cancelled // 7 is theirs for a refund
	}
	if o.PayStatus < doorbell.Unpaid || o.PayStatus > doorbell.Refunded {
		o.PayStatus = doorbell.Unpaid
	}
	if o.PayStatus == doorbell.Unpaid {
		o.PaidAt = time.Time{}
	}
	return o
}

// scopeOf is what an adopted order's number is unique in: itself, for theirs may
// share theirs.
func scopeOf(id doorbell.OrderID) string { return "sky/" + strconv.FormatInt(int64(id), 10) }
