package doorbell

import "time"

// NoticeKind is what a provider's notice tells.
type NoticeKind string

// The kinds of notice.
const (
	PaymentNotice NoticeKind = "payment"
	RefundNotice  NoticeKind = "refund"
	EventNotice   NoticeKind = "event" // anything else that a provider tells; its Transaction is the event's id
)

// Notice is a callback that passed verification.
type Notice struct {
	Provider    string // "wechat" …
	Account     string // whose callback it is; empty for the only one
	Kind        NoticeKind
	Transaction string // the provider's id of the payment, or of the refund
	Payment     string // of a refund: the payment that it gives back
	Basis       Basis  // of a refund: what Money tells
	Number      string // our order's number
	Money
	CheckAmount bool         // the order's amount must equal Money
	BodyHash    string       // SHA-256 of the raw body, hex
	Refusal     string       // why it is not for us although genuine ("other merchant"); empty when it is
	Decided     Verdict      // what the provider's own words come to, whatever the order: RefundFailed, Ignored; empty: it is judged
	Unusable    bool         // its sender wrote it wrongly: Refusal names the field
	Raw         *RawCallback // to be passed on to the shop's own backend; nil: it is not
}

// Basis is what the amount of a refund tells.
type Basis string

// Providers count differently.
const (
	ThisRefund   Basis = "this"   // this refund alone: those of a payment add up
	RefundsSoFar Basis = "so_far" // all refunds of the payment up to this one: the highest counts
	AllOfIt      Basis = "all"    // no amount: the whole payment
)

// Verdict is what became of a verified callback.
type Verdict string

// The verdicts. Those under which the provider is told success are marked ✓,
// those that a later notice of the same id does not change ■.
const (
	Settled          Verdict = "settled"           // ✓■ order paid, or refunded; the alert is written
	Repeated         Verdict = "repeated"          // ✓■ known already
	OtherTransaction Verdict = "other_transaction" // ✓■ the order was paid by another one: somebody paid twice
	PaidAfterCancel  Verdict = "paid_after_cancel" // ✓■ alert of type 4, the order stays cancelled
	GivenBack        Verdict = "given_back"        // ✓■ a payment that does not count any more: all of it was refunded
	RefundedInPart   Verdict = "refunded_in_part"  // ✓■ the order is paid as before, and says how much went back
	OtherPayment     Verdict = "other_payment"     // ✓■ refund of a payment that the order does not rest on
	UnknownPayment   Verdict = "unknown_payment"   // ✓■ refund of a payment that has not come, or settled nothing: kept for it
	RefundFailed     Verdict = "refund_failed"     // ✓ the provider could not give the money back
	Ignored          Verdict = "ignored"           // ✓ genuine, and of no use here
	UnknownOrder     Verdict = "unknown_order"     // the order may come later than its payment
	AmountDiffers    Verdict = "amount_differs"
	OtherAccount     Verdict = "other_account"  // orders of this number are of shops that the account does not serve
	SeveralOrders    Verdict = "several_orders" // orders of one shop have this number: none is guessed
	OtherOrder       Verdict = "other_order"    // this transaction has paid another order
	Refused          Verdict = "refused"        // genuine, but not ours or not a success
)

// Succeeded reports whether the provider is told success, so that it stops
// calling.
func (v Verdict) Succeeded() bool { return v.final() || v == RefundFailed || v == Ignored }

// final reports whether what was decided stays on record whatever else names
// the same transaction: notices come late and out of order.
func (v Verdict) final() bool {
	switch v {
	case Settled, Repeated, OtherTransaction, PaidAfterCancel, GivenBack, RefundedInPart, OtherPayment, UnknownPayment:
		return true
	default:
		return false
	}
}

// Anomalous reports whether somebody should look into it.
func (v Verdict) Anomalous() bool {
	switch v {
	case OtherTransaction, PaidAfterCancel, AmountDiffers, OtherOrder, OtherAccount, SeveralOrders, RefundFailed:
		return true
	default:
		return false
	}
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

// Pay returns the order as it stands after a payment that counts, and the
// verdict. The order is changed only under Settled and PaidAfterCancel. An
// order whose payment was given back is paid anew by another one. Where the shop's own
// system has said that it is paid, the payment gets its transaction.
func (o Order) Pay(n Notice, now time.Time) (Order, Verdict) {
	switch {
	case o.restsOn(n.Provider, n.Transaction):
		return o, Repeated
	case o.PayStatus == Paid && o.Transaction != "":
		return o, OtherTransaction
	case !o.takes(n):
		return o, AmountDiffers
	case o.PayStatus == Paid: // as the shop's own system says, which keeps no transaction
		o.Provider, o.Transaction = n.Provider, n.Transaction
		return o, Settled
	}
	o.PayStatus, o.Provider, o.Transaction, o.PaidAt, o.RefundedAmount = Paid, n.Provider, n.Transaction, now, 0
	switch o.Status {
	case Cancelled:
		return o, PaidAfterCancel
	case ToBePaid, Accepted: // accepted before its first payment was given back
		o.Status = ToBeAccepted
	default:
	}
	return o, Settled
}

// restsOn reports whether the order's payment is this one.
func (o Order) restsOn(provider, transaction string) bool {
	return o.PayStatus != Unpaid && o.Provider == provider && o.Transaction == transaction
}

// takes reports whether a payment of this amount pays the order.
func (o Order) takes(n Notice) bool { return !n.CheckAmount || n.Money == o.Money }

// Refund returns the order after so much of its payment was given back, all
// refunds together: Settled when that is all of it, RefundedInPart when it is
// more than was known, Repeated when it is not.
func (o Order) Refund(back, paid int64) (Order, Verdict) {
	switch {
	case o.PayStatus == Refunded:
		return o, Repeated
	case back >= paid:
		o.PayStatus, o.RefundedAmount = Refunded, paid
		return o, Settled
	case back <= o.RefundedAmount:
		return o, Repeated
	}
	o.RefundedAmount = back
	return o, RefundedInPart
}

// Refunds are the refunds of one payment that count.
type Refunds []Callback

// Back returns how much of a payment was given back, at most all of it. Refunds in
// another currency than it was made in don't count.
func (r Refunds) Back(paid Money) int64 {
	var sum, most int64
	for _, c := range r {
		switch {
		case c.Basis == AllOfIt:
			return paid.Minor
		case c.Currency != paid.Currency:
		case c.Basis == RefundsSoFar:
			most = max(most, c.Minor)
		default:
			sum += min(c.Minor, MaxID-sum)
		}
	}
	return min(max(sum, most), paid.Minor)
}

// All reports whether nothing of a payment is left.
func (r Refunds) All(paid Money) bool { return len(r) > 0 && r.Back(paid) >= paid.Minor }
