package doorbell

import (
	"context"
	"net/http"
	"strconv"
)

// RawCallback is a callback as it came, to be passed on.
type RawCallback struct {
	Header http.Header
	Body   []byte
}

func amountReason(o Order) string {
	return "the order has " + strconv.FormatInt(o.Minor, 10) + " " + o.Currency
}

// forward queues a callback for the shop's own backend.
func (s *Service) forward(tx Tx, raw RawCallback) error {
	now := s.now()
	return tx.Enqueue(Outgoing{Hook: ForwardHook, Message: newMessage(), Header: raw.Header, Body: raw.Body, NextAt: now, CreatedAt: now})
}

// settleWaiting applies the callbacks that came before their order.
func (s *Service) settleWaiting(tx Tx, o *Order) error {
	waiting, err := tx.Waiting(o.Number)
	if err != nil {
		return err
	}
	for _, c := range waiting {
		before := c
		var verdict Verdict
		if *o, verdict, err = s.apply(tx, *o, c.Notice); err != nil {
			return err
		}
		c.Reason = "judged when the order came"
		if verdict == AmountDiffers {
			c.Reason = amountReason(*o)
		}
		if err := s.keep(tx, before, c, verdict); err != nil {
			return err
		}
	}
	return nil
}

// apply writes what a notice does to its order.
func (s *Service) apply(tx Tx, o Order, n Notice) (Order, Verdict, error) {
	actor := "provider:" + n.Provider
	var verdict Verdict
	rings := NewOrder
	switch n.Kind {
	case RefundNotice:
		o, verdict = o.Refund()
		rings = CalledOff
	default:
		o, verdict = o.Pay(n, s.now())
		if verdict == PaidAfterCancel {
			rings = CalledOff
		}
	}
	if verdict != Settled && verdict != PaidAfterCancel {
		return o, verdict, nil
	}
	if err := tx.UpdateOrder(o); err != nil {
		return o, verdict, err
	}
	if _, err := s.write(tx, s.alertAbout(o, rings, actor)); err != nil || verdict != Settled {
		return o, verdict, err
	}
	told := OrderPaid
	if n.Kind == RefundNotice {
		told = OrderRefunded
	}
	return o, verdict, s.tellOrder(tx, told, o)
}

// TakeNotice settles a verified callback: the order, its alert and the line in
// the inbox in one transaction. The verdict says what the provider is told.
func (s *Service) TakeNotice(ctx context.Context, n Notice) (verdict Verdict, err error) {
	if n.Currency == "" {
		n.Currency = DefaultCurrency
	}
	err = s.store.Write(ctx, func(tx Tx) error {
		before, known, err := tx.Callback(n)
		if err != nil {
			return err
		}
		var line Callback
		if line, verdict, err = s.judge(tx, before, known, n); err != nil {
			return err
		}
		if !known && n.Raw != nil {
			if err := s.forward(tx, *n.Raw); err != nil {
				return err
			}
		}
		return s.keep(tx, before, line, verdict)
	})
	if err == nil && verdict.Anomalous() {
		s.log.WarnContext(ctx, "payment anomaly", "provider", n.Provider, "verdict", verdict,
			"number", n.Number, "transaction", n.Transaction, "amount", n.Minor, "currency", n.Currency)
	}
	return verdict, err
}

// keep writes a line of the inbox, and tells of an anomaly when it is new.
func (s *Service) keep(tx Tx, before, line Callback, verdict Verdict) error {
	if verdict.Anomalous() && (before.Verdict != verdict && verdict != OtherOrder || before.Reason != line.Reason) {
		shop := ShopID(0)
		if o, err := tx.OrderByNumber(line.Number); err == nil {
			shop = o.Shop
		} else if CodeOf(err) != NotFound {
			return err
		}
		reason := line.Reason
		if verdict == OtherOrder {
			reason = "again for another order" // which may be another shop's: the inbox tells its number
		}
		err := s.tell(tx, PaymentAnomaly, shop, anomalyEvent{
			Verdict: verdict, Reason: reason, Number: line.Number, Shop: shop, Amount: line.Minor, Currency: line.Currency,
			Transaction: line.Transaction, Provider: line.Provider, Test: s.rules.Trial,
		})
		if err != nil {
			return err
		}
	}
	// What a line settled stays on record when the same notice comes again.
	if verdict != OtherOrder && (verdict != Repeated || !before.Verdict.Succeeded()) {
		line.Verdict = verdict
	}
	return tx.SaveCallback(line)
}

// judge decides on one notice and brings its inbox line up to date.
func (s *Service) judge(tx Tx, line Callback, known bool, n Notice) (Callback, Verdict, error) {
	now := s.now()
	if known && line.Number != n.Number && line.Verdict.Succeeded() {
		line.Times, line.LastAt = line.Times+1, now
		line.Reason = "again for order number " + n.Number
		// The line goes on telling which order the money settled.
		return line, OtherOrder, nil
	}
	first := Callback{Notice: n, FirstAt: now}
	if known {
		first.FirstAt, first.Times, first.Verdict = line.FirstAt, line.Times, line.Verdict
	}
	line = first
	line.Times, line.LastAt, line.Reason = line.Times+1, now, n.Refusal
	if n.Refusal != "" {
		return line, Refused, nil
	}
	o, err := tx.OrderByNumber(n.Number)
	if CodeOf(err) == NotFound {
		return line, UnknownOrder, nil
	}
	if err != nil {
		return line, "", err
	}
	_, verdict, err := s.apply(tx, o, n)
	if verdict == AmountDiffers {
		line.Reason = amountReason(o)
	}
	return line, verdict, err
}

// Replay judges a line of the inbox again, as if its callback had just come:
// its order may be there now. A refused one stays refused.
func (s *Service) Replay(ctx context.Context, n Notice) (verdict Verdict, err error) {
	return s.again(ctx, n, func(*Notice) {})
}

// SettleHeld judges a line of the inbox again and takes its amount, which
// differs from the order's, for good: somebody looked into it.
func (s *Service) SettleHeld(ctx context.Context, n Notice) (verdict Verdict, err error) {
	return s.again(ctx, n, func(n *Notice) { n.CheckAmount = false })
}

func (s *Service) again(ctx context.Context, key Notice, edit func(*Notice)) (verdict Verdict, err error) {
	err = s.store.Write(ctx, func(tx Tx) error {
		before, known, err := tx.Callback(key)
		if err != nil {
			return err
		}
		if !known {
			return Refuse(NotFound, "There is no such callback in the inbox.", "收件箱中没有该回调。")
		}
		line := before
		edit(&line.Notice)
		line.Refusal = before.Reason
		if before.Verdict != Refused {
			line.Refusal = ""
		}
		times := line.Times
		if line, verdict, err = s.judge(tx, line, true, line.Notice); err != nil {
			return err
		}
		line.Times = times // looked at again, not received again
		if verdict.Succeeded() {
			line.Reason = "judged again by hand"
		}
		return s.keep(tx, before, line, verdict)
	})
	return verdict, err
}
