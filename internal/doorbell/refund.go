package doorbell

// An order is paid while one of its payments stands: a refund belongs to one
// payment, and the order falls silent when none is left. Whatever order the
// notices come in, what they say together decides.

// takePayment writes what a payment does to its order, and what the refunds of
// it do that came before it.
func (s *Service) takePayment(tx Tx, o Order, n Notice) (Order, Verdict, error) {
	refunds, err := tx.Refunds(n)
	if err != nil {
		return o, "", err
	}
	if refunds.All(n.Money) && (o.PayStatus != Unpaid || !o.takes(n)) && !o.restsOn(n.Provider, n.Transaction) {
		return o, GivenBack, tx.JudgeRefunds(n, OtherPayment)
	}
	before := o
	o, verdict := o.Pay(n, s.now())
	if verdict != Settled && verdict != PaidAfterCancel {
		return o, verdict, tx.JudgeRefunds(n, OtherPayment)
	}
	if before.PayStatus == Refunded {
		if err := s.retire(tx, before); err != nil {
			return o, verdict, err
		}
	}
	if err := tx.UpdateOrder(o); err != nil {
		return o, verdict, err
	}
	if before.PayStatus == Paid { // it has rung
		return s.refundedBefore(tx, o, n, verdict, refunds)
	}
	rings := NewOrder
	if verdict == PaidAfterCancel {
		rings = CalledOff
	}
	if _, err := s.write(tx, s.alertAbout(o, rings, actorOf(n.Provider))); err != nil {
		return o, verdict, err
	}
	if verdict == Settled {
		if err := s.tellOrder(tx, OrderPaid, o); err != nil {
			return o, verdict, err
		}
	}
	return s.refundedBefore(tx, o, n, verdict, refunds)
}

// refundedBefore writes what the refunds of a payment do that came before it.
func (s *Service) refundedBefore(tx Tx, o Order, n Notice, verdict Verdict, refunds Refunds) (Order, Verdict, error) {
	if len(refunds) == 0 {
		return o, verdict, nil
	}
	o, refunded := o.Refund(refunds.Back(n.Money), n.Minor)
	if err := s.tellRefund(tx, o, refunded, n.Provider); err != nil {
		return o, verdict, err
	}
	return o, verdict, tx.JudgeRefunds(n, refunded)
}

func actorOf(provider string) string { return "provider:" + provider }

// retire marks the payment that an order no longer rests on.
func (s *Service) retire(tx Tx, o Order) error {
	line, known, err := tx.Callback(Notice{Provider: o.Provider, Kind: PaymentNotice, Transaction: o.Transaction})
	if err != nil || !known {
		return err
	}
	line.Verdict = GivenBack
	return tx.SaveCallback(line)
}

// tellRefund writes what a refund of its payment made of an order.
func (s *Service) tellRefund(tx Tx, o Order, verdict Verdict, provider string) error {
	switch verdict {
	case Settled:
		if err := tx.UpdateOrder(o); err != nil {
			return err
		}
		if _, err := s.write(tx, s.alertAbout(o, CalledOff, actorOf(provider))); err != nil {
			return err
		}
		return s.tellOrder(tx, OrderRefunded, o)
	case RefundedInPart:
		if err := tx.UpdateOrder(o); err != nil {
			return err
		}
		return s.tellOrder(tx, OrderRefundedInPart, o)
	default:
		return nil
	}
}

// judgeRefund decides on a refund that is not settled yet.
func (s *Service) judgeRefund(tx Tx, line Callback) (Callback, Verdict, error) {
	n := line.Notice
	paid, known, err := tx.Callback(Notice{Provider: n.Provider, Kind: PaymentNotice, Transaction: n.Payment})
	if err != nil {
		return line, "", err
	}
	if known && n.Number == "" { // Stripe tells it of the payment alone
		n.Number = paid.Number
		line.Number = n.Number
	}
	switch {
	case known && paid.differs(n) && paid.Verdict.final():
		line.Reason = "its payment is of another order, or account"
		return line, OtherOrder, nil
	case known && n.Basis != AllOfIt && n.Currency != paid.Currency && (paid.Verdict.final() || paid.Verdict == AmountDiffers):
		line.Reason = "its payment was in " + paid.Currency
		return line, AmountDiffers, nil
	}
	o, err := s.orderOf(tx, n)
	if code := CodeOf(err); code == NotFound || code == Forbidden || code == Conflict {
		return line, UnknownPayment, nil
	}
	if err != nil {
		return line, "", err
	}
	if !known {
		if !o.restsOn(n.Provider, n.Payment) {
			return line, UnknownPayment, nil
		}
		// The line of the payment is no longer kept.
		paid.Notice = Notice{Provider: n.Provider, Kind: PaymentNotice, Transaction: n.Payment, Number: o.Number, Money: o.Money}
	}
	refunds, err := tx.Refunds(paid.Notice)
	if err != nil {
		return line, "", err
	}
	refunds = append(refunds, line)
	if o.restsOn(n.Provider, n.Payment) {
		verdict, err := s.refundOrder(tx, o, refunds, paid)
		return line, verdict, err
	}
	return s.refundOther(tx, line, paid, refunds)
}

// refundOrder takes back what an order rests on. Another payment of it that
// stands takes its place: the kitchen goes on.
func (s *Service) refundOrder(tx Tx, o Order, refunds Refunds, paid Callback) (Verdict, error) {
	if refunds.All(paid.Money) && o.PayStatus == Paid {
		others, err := tx.Duplicates(o.Number)
		if err != nil {
			return "", err
		}
		for _, other := range others {
			if o.takes(other.Notice) && s.rules.Accounts.Serves(other.Provider, other.Account, o.Shop) {
				return OtherPayment, s.restOn(tx, o, other)
			}
		}
	}
	o, verdict := o.Refund(refunds.Back(paid.Money), paid.Minor)
	if err := s.tellRefund(tx, o, verdict, paid.Provider); err != nil || verdict != Settled || paid.Verdict != PaidAfterCancel {
		return verdict, err
	}
	return verdict, s.giveBack(tx, paid)
}

// giveBack marks a payment that somebody had to look into as given back: nobody
// has to any more.
func (s *Service) giveBack(tx Tx, paid Callback) error {
	paid.Verdict, paid.Reason = GivenBack, "all of it was refunded"
	if err := tx.SaveCallback(paid); err != nil {
		return err
	}
	return s.tellAnomaly(tx, paid, GivenBack, paid.Reason)
}

// restOn lets an order rest on another payment than the one that was given
// back. Nothing rings or falls silent; somebody paid twice, and it is mended.
func (s *Service) restOn(tx Tx, o Order, other Callback) error {
	if err := s.retire(tx, o); err != nil {
		return err
	}
	refunds, err := tx.Refunds(other.Notice)
	if err != nil {
		return err
	}
	o.Provider, o.Transaction, o.PaidAt, o.RefundedAmount = other.Provider, other.Transaction, other.FirstAt, refunds.Back(other.Money)
	if err := tx.UpdateOrder(o); err != nil {
		return err
	}
	other.Verdict, other.Reason = Settled, "the order rests on it since its other payment was given back"
	if o.Status == Cancelled {
		other.Verdict = PaidAfterCancel
	}
	if err := tx.SaveCallback(other); err != nil {
		return err
	}
	return s.tellAnomaly(tx, other, Settled, other.Reason)
}

// refundOther records the refund of a payment that the order does not rest on.
// When all of it went back, nobody needs to look into that payment any more.
func (s *Service) refundOther(tx Tx, line, paid Callback, refunds Refunds) (Callback, Verdict, error) {
	switch paid.Verdict {
	case OtherTransaction, AmountDiffers, OtherAccount, SeveralOrders:
	case GivenBack:
		return line, OtherPayment, nil
	default:
		return line, UnknownPayment, nil
	}
	if !refunds.All(paid.Money) {
		return line, OtherPayment, nil
	}
	return line, OtherPayment, s.giveBack(tx, paid)
}
