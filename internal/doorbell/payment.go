package doorbell

import "time"

// NoticeKind is what a provider's notice tells.
type NoticeKind string

// The kinds of notice.
const (
	PaymentNotice NoticeKind = "payment"
	RefundNotice  NoticeKind = "refund"
)

// Notice is a callback that passed verification.
type Notice struct {
	Provider    string // "wechat" …
	Kind        NoticeKind
	Transaction string // the provider's id of the payment, or of the refund
	Number      string // our order's number
	Money
	CheckAmount bool         // the order's amount must equal Money
	BodyHash    string       // SHA-256 of the raw body, hex
	Refusal     string       // why it is not for us although genuine ("other merchant"); empty when it is
	Raw         *RawCallback // to be passed on to the shop's own backend; nil: it is not
}

// Verdict is what became of a verified callback.
type Verdict string

// The verdicts. Those under which the provider is told success are marked ✓.
const (
	Settled          Verdict = "settled"           // ✓ order paid, or refunded; the alert is written
	Repeated         Verdict = "repeated"          // ✓ known already
	OtherTransaction Verdict = "other_transaction" // ✓ the order was paid by another one: somebody paid twice
	PaidAfterCancel  Verdict = "paid_after_cancel" // ✓ alert of type 4, the order stays cancelled
	UnknownOrder     Verdict = "unknown_order"     // the order may come later than its payment
	AmountDiffers    Verdict = "amount_differs"
	OtherOrder       Verdict = "other_order" // this transaction has paid another order
	Refused          Verdict = "refused"     // genuine, but not ours or not a success
)

// Succeeded reports whether the provider is told success, so that it stops
// calling.
func (v Verdict) Succeeded() bool {
	return v == Settled || v == Repeated || v == OtherTransaction || v == PaidAfterCancel
}

// Anomalous reports whether somebody should look into it.
func (v Verdict) Anomalous() bool {
	return v == OtherTransaction || v == PaidAfterCancel || v == AmountDiffers || v == OtherOrder
}

// Callback is a line of the inbox: one notice, however often it came.
type Callback struct {
	Notice
	Verdict Verdict
	Reason  string
	Times   int64
	FirstAt time.Time
	LastAt  time.Time
}

// Pay returns the order as it stands after a payment, and the verdict. The
// order is changed only under Settled and PaidAfterCancel.
func (o Order) Pay(n Notice, now time.Time) (Order, Verdict) {
	if o.PayStatus != Unpaid {
		if o.Provider == n.Provider && o.Transaction == n.Transaction {
			return o, Repeated
		}
		return o, OtherTransaction
	}
	if n.CheckAmount && n.Money != o.Money {
		return o, AmountDiffers
	}
	o.PayStatus, o.Provider, o.Transaction, o.PaidAt = Paid, n.Provider, n.Transaction, now
	if o.Status == Cancelled {
		return o, PaidAfterCancel
	}
	if o.Status == ToBePaid {
		o.Status = ToBeAccepted
	}
	return o, Settled
}

// Refund returns the order as refunded, and Settled, or Repeated when it was.
func (o Order) Refund() (Order, Verdict) {
	if o.PayStatus == Refunded {
		return o, Repeated
	}
	o.PayStatus = Refunded
	return o, Settled
}
