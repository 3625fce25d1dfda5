package doorbell

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxID is the highest id: JSON numbers are exact up to 2^53−1 in a browser.
const MaxID = 1<<53 - 1

// ShopID names one outlet; always positive.
type ShopID int64

// OrderID names an order; 1 to MaxID.
type OrderID int64

// String returns the id in decimal.
func (id ShopID) String() string { return strconv.FormatInt(int64(id), 10) }

// Status is where an order stands, with the numbers of the contract.
type Status int

// The states of an order.
const (
	ToBePaid     Status = 1
	ToBeAccepted Status = 2
	Accepted     Status = 3
	OnTheWay     Status = 4
	Done         Status = 5
	Cancelled    Status = 6
)

// PayStatus is what became of an order's money.
type PayStatus int

// The states of a payment.
const (
	Unpaid   PayStatus = 0
	Paid     PayStatus = 1
	Refunded PayStatus = 2
)

// DefaultCurrency is what an order without one is in.
const DefaultCurrency = "CNY"

// Money is an amount in the currency's minor unit: 1250 is 12.50 in CNY and
// 1250 in JPY.
type Money struct {
	Minor    int64  `json:"amount"`
	Currency string `json:"currency"` // ISO 4217, upper case
}

// Order is a shop's order as far as ringing needs it. Times are UTC, cut to
// the millisecond; zero means not yet.
type Order struct {
	ID        OrderID   `json:"id"`
	Number    string    `json:"number"` // the providers' out_trade_no
	Shop      ShopID    `json:"shopId"`
	User      int64     `json:"userId"`
	Status    Status    `json:"status"`
	PayStatus PayStatus `json:"payStatus"`
	Money
	RefundedAmount int64     `json:"refundedAmount"` // of the payment that it rests on
	Provider       string    `json:"provider,omitempty"`
	Account        string    `json:"-"` // the scope of its number: see Accounts
	Transaction    string    `json:"transactionId"`
	CreatedAt      time.Time `json:"createdAt"`
	PaidAt         time.Time `json:"paidAt,omitzero"`
	RemindedAt     time.Time `json:"remindedAt,omitzero"`
	Detail         Detail    `json:"detail,omitzero"` // as it was created; never changed
}

// numberPattern is the set that payment providers allow; it can carry no
// markup, so that content made from it can't either.
var numberPattern = regexp.MustCompile(`^[0-9A-Za-z_\-|*@]{1,64}$`)

// currencies are those of ISO 4217 that money is paid in. A list, because RMB
// is three capitals too, and no payment in CNY would ever settle its order.
const currencies = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP " +
	"CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY " +
	"KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD " +
	"OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD " +
	"TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG"

// ValidCurrency reports whether a currency is one of ISO 4217, in capitals.
func ValidCurrency(currency string) bool {
	return len(currency) == 3 && !strings.Contains(currency, " ") && strings.Contains(currencies, currency)
}

// ValidNumber reports whether number may be an order's number.
func ValidNumber(number string) bool { return numberPattern.MatchString(number) }

// Check returns an Invalid that names every bad field of a new order, or nil.
func (o Order) Check() error {
	var fields []Field
	bad := func(field, message string) { fields = append(fields, Field{field, message}) }
	if !ValidNumber(o.Number) {
		bad("number", "must be 1 to 64 of 0-9 A-Z a-z _ - | * @")
	}
	if o.Shop < 1 || o.Shop > MaxID {
		bad("shopId", "must be from 1 to 9007199254740991")
	}
	if o.User < 0 || o.User > MaxID {
		bad("userId", "must be from 0 to 9007199254740991")
	}
	if o.ID < 0 || o.ID > MaxID {
		bad("id", "must be from 1 to 9007199254740991")
	}
	if o.Minor < 0 || o.Minor > MaxID {
		bad("amount", "must be from 0 to 9007199254740991, in the currency's minor unit")
	}
	if !ValidCurrency(o.Currency) {
		bad("currency", "must be three capital letters of ISO 4217, say CNY")
	}
	o.Detail.check(bad)
	if fields == nil {
		return nil
	}
	e := Refuse(Invalid, "The order has bad fields: %s.", "订单字段有误：%s。", fieldNames(fields))
	e.Fields = fields
	return e
}

func fieldNames(fields []Field) string {
	var names []byte
	for i, f := range fields {
		if i > 0 {
			names = append(names, ", "...)
		}
		names = append(names, f.Field...)
	}
	return string(names)
}

// sameAs reports whether a repeated create call means o: every field that the
// caller gave is equal.
func (o Order) sameAs(again Order) bool {
	return o.Number == again.Number && o.Shop == again.Shop && o.User == again.User &&
		o.Money == again.Money && (again.ID == 0 || again.ID == o.ID) && o.Detail.equal(again.Detail)
}

// ReminderRules say when a customer may ring.
type ReminderRules struct {
	Interval time.Duration // at most one ring per order in this time
	Statuses []Status
}

// clockSlack is how far the clocks of two nodes may be apart: a reminder that
// another node has just noted is no sign of a clock that was set back.
const clockSlack = 5 * time.Second

// Remind returns the order with its reminder noted, or why it can't be: not
// paid, or not in a state to hurry (Conflict); too soon after the last one
// (TooSoon, with the time to wait).
func (o Order) Remind(rules ReminderRules, now time.Time) (Order, error) {
	if o.PayStatus != Paid || !slices.Contains(rules.Statuses, o.Status) {
		return o, Refuse(Conflict, "Order %d is not in a state to be hurried.", "订单 %d 当前状态不能催单。", o.ID)
	}
	// A last one that is yet to come was noted before a clock was set back: how
	// long ago that was nobody knows, and until the clock has caught up nobody
	// could ring. It counts no more.
	setBack := o.RemindedAt.Sub(now) > clockSlack
	if wait := o.RemindedAt.Add(rules.Interval).Sub(now); !o.RemindedAt.IsZero() && !setBack && wait > 0 {
		wait = min(wait, rules.Interval)
		e := Refuse(TooSoon, "Order %d was hurried a moment ago; again in %d s.", "订单 %d 刚刚催过，请 %d 秒后再试。",
			o.ID, int(math.Ceil(wait.Seconds())))
		e.RetryAfter = wait
		return o, e
	}
	o.RemindedAt = now
	return o, nil
}

// Accept returns the order as taken by the shop. An order that was accepted
// before comes back unchanged; one to be paid or cancelled is a Conflict.
func (o Order) Accept() (Order, error) {
	switch o.Status {
	case ToBePaid:
		return o, Refuse(Conflict, "Order %d is not paid.", "订单 %d 尚未支付。", o.ID)
	case Cancelled:
		return o, Refuse(Conflict, "Order %d is cancelled.", "订单 %d 已取消。", o.ID)
	case ToBeAccepted:
		o.Status = Accepted
	default: // accepted before
	}
	return o, nil
}

// Cancel returns the order as cancelled; one that was comes back unchanged,
// one that is done is a Conflict.
func (o Order) Cancel() (Order, error) {
	if o.Status == Done {
		return o, Refuse(Conflict, "Order %d is done.", "订单 %d 已完成。", o.ID)
	}
	o.Status = Cancelled
	return o, nil
}
