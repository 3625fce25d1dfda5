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

// settleWaiting applies the payments that came before their order.
func (s *Service) settleWaiting(tx Tx, o *Order) error {
	waiting, err := tx.Waiting(o.Number)
	if err != nil {
		return err
	}
	for _, c := range waiting {
		if !s.rules.Accounts.Serves(c.Provider, c.Account, o.Shop) {
			continue
		}
		before := c
		if _, err := s.orderOf(tx, c.Notice); CodeOf(err) == Conflict {
			continue // several have this number: the provider's next notice tells of it
		} else if err != nil && CodeOf(err) != NotFound && CodeOf(err) != Forbidden {
			return err
		}
		var verdict Verdict
		if *o, verdict, err = s.takePayment(tx, *o, c.Notice); err != nil {
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

// TakeNotice settles a verified callback: the order, its alert and the line in
// the inbox in one transaction. The verdict says what the provider is told.
func (s *Service) TakeNotice(ctx context.Context, n Notice) (verdict Verdict, err error) {
	if n.Currency == "" {
		n.Currency = DefaultCurrency
	}
	if s.replayed(ctx, n) {
		return Repeated, nil
	}
	counted := s.again.take(n)
	err = s.store.WriteUrgent(ctx, func(tx Tx) error {
		before, known, err := tx.Callback(n)
		if err != nil {
			return err
		}
		before.Times += counted
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

// keep writes a line of the inbox, and tells of an anomaly when it is new, or
// is none any more. What a line settled stays on record, whatever comes later
// or late under the same id.
func (s *Service) keep(tx Tx, before, line Callback, verdict Verdict) error {
	if verdict.Anomalous() && (before.Verdict != verdict && verdict != OtherOrder || before.Reason != line.Reason) {
		reason := line.Reason
		if verdict == OtherOrder {
			reason = "again for another order" // which may be another shop's: the inbox tells its number
		}
		if err := s.tellAnomaly(tx, line, verdict, reason); err != nil {
			return err
		}
	}
	if !verdict.Anomalous() && verdict.final() && (before.Verdict == AmountDiffers || before.Verdict == OtherAccount || before.Verdict == SeveralOrders || before.Verdict == RefundFailed) {
		if err := s.tellAnomaly(tx, line, verdict, line.Reason); err != nil {
			return err
		}
	}
	switch {
	case before.Verdict.final() && (verdict == Repeated || !verdict.final()):
		before.Times, before.LastAt = line.Times, line.LastAt
		if verdict == OtherOrder {
			before.Reason = line.Reason
		}
		line = before
	case verdict != OtherOrder:
		line.Verdict = verdict
	}
	return tx.SaveCallback(line)
}

// tellAnomaly tells of money that somebody has to look into, or, by a verdict
// that is no anomaly, no longer has to.
func (s *Service) tellAnomaly(tx Tx, line Callback, verdict Verdict, reason string) error {
	shop := ShopID(0)
	if o, err := s.orderOf(tx, line.Notice); err == nil || CodeOf(err) == Conflict {
		shop = o.Shop
	} else if CodeOf(err) != NotFound && CodeOf(err) != Forbidden {
		return err
	}
	return s.tell(tx, PaymentAnomaly, shop, anomalyEvent{
		Verdict: verdict, Reason: reason, Number: line.Number, Shop: shop, Amount: line.Minor, Currency: line.Currency,
		Transaction: line.Transaction, Provider: line.Provider, Settled: !verdict.Anomalous(), Test: s.rules.Trial,
	})
}

// judge decides on one notice and brings its inbox line up to date.
func (s *Service) judge(tx Tx, line Callback, known bool, n Notice) (Callback, Verdict, error) {
	now := s.now()
	if known && line.Verdict.final() && line.differs(n) {
		line.Times, line.LastAt = line.Times+1, now
		line.Reason = "again for order number " + n.Number
		if n.Account != line.Account {
			line.Reason += " by account " + n.Account
		}
		// The line goes on telling which order the money settled.
		return line, OtherOrder, nil
	}
	first := Callback{Notice: n, FirstAt: now}
	if known {
		first.FirstAt, first.Times, first.Verdict = line.FirstAt, line.Times, line.Verdict
	}
	line = first
	line.Times, line.LastAt, line.Reason = line.Times+1, now, n.Refusal
	switch {
	case n.Decided != "":
		return line, n.Decided, nil
	case n.Refusal != "":
		return line, Refused, nil
	case line.Verdict.final():
		return line, Repeated, nil
	case n.Kind == RefundNotice:
		return s.judgeRefund(tx, line)
	}
	o, err := s.orderOf(tx, n)
	switch CodeOf(err) {
	case NotFound:
		return line, UnknownOrder, nil
	case Forbidden:
		line.Reason = err.Error()
		return line, OtherAccount, nil
	case Conflict:
		line.Reason = err.Error()
		return line, SeveralOrders, nil
	default:
		if err != nil {
			return line, "", err
		}
	}
	_, verdict, err := s.takePayment(tx, o, n)
	if verdict == AmountDiffers {
		line.Reason = amountReason(o)
	}
	return line, verdict, err
}

// Replay judges a line of the inbox again, as if its callback had just come:
// its order may be there now. A refused one stays refused.
func (s *Service) Replay(ctx context.Context, n Notice) (verdict Verdict, err error) {
	return s.rejudge(ctx, n, func(*Notice) {})
}

// SettleHeld judges a line of the inbox again and takes its amount, which
// differs from the order's, for good: somebody looked into it.
func (s *Service) SettleHeld(ctx context.Context, n Notice) (verdict Verdict, err error) {
	return s.rejudge(ctx, n, func(n *Notice) { n.CheckAmount = false })
}

func (s *Service) rejudge(ctx context.Context, key Notice, edit func(*Notice)) (verdict Verdict, err error) {
	err = s.store.WriteUrgent(ctx, func(tx Tx) error {
		before, known, err := tx.Callback(key)
		if err != nil {
			return err
		}
		if !known {
			return Refuse(NotFound, "There is no such callback in the inbox.", "收件箱中没有该回调。")
		}
		line := before
		edit(&line.Notice)
		switch before.Verdict {
		case Refused:
			line.Refusal = before.Reason
		case RefundFailed, Ignored:
			line.Refusal, line.Decided = before.Reason, before.Verdict
		default:
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

// differs reports whether a notice of the same id is about another order.
func (c Callback) differs(n Notice) bool {
	return c.Number != n.Number && n.Number != "" || c.Account != "" && c.Account != n.Account
}

// maxSameNumber bounds the orders of one number that are looked through.
const maxSameNumber = 64

// sameNumber returns the order whose number a new order can't have: of its own
// scope, also where that was called otherwise when the other one was made.
func (s *Service) sameNumber(tx Tx, o Order) (Order, error) {
	known, err := tx.OrderByNumber(o.Account, o.Number)
	if CodeOf(err) != NotFound {
		return known, err
	}
	others, err2 := tx.OrdersByNumber(o.Number, maxSameNumber)
	if err2 != nil {
		return known, err2
	}
	for _, other := range others {
		if s.rules.Accounts.Scope(other.Shop) == o.Account {
			return other, nil
		}
	}
	return known, err
}

// orderOf returns the order that a notice is about: NotFound where there is none of
// its number, Forbidden where they are of shops that the account of the notice
// does not serve, Conflict with one of them where a shop has several.
func (s *Service) orderOf(tx Tx, n Notice) (Order, error) {
	serves := func(o Order) bool { return s.rules.Accounts.Serves(n.Provider, n.Account, o.Shop) }
	if scope, ok := s.rules.Accounts.scopeOf(n.Provider, n.Account); ok {
		o, err := tx.OrderByNumber(scope, n.Number)
		if err == nil && serves(o) {
			return o, nil
		}
		if err != nil && CodeOf(err) != NotFound {
			return o, err
		}
	}
	all, err := s.numbered(tx, n.Number)
	if err != nil {
		return Order{}, err
	}
	payment := n.Transaction
	if n.Kind == RefundNotice {
		payment = n.Payment
	}
	var found, fitting []Order
	for _, o := range all {
		switch {
		case !serves(o):
		case o.restsOn(n.Provider, payment):
			return o, nil
		default:
			found = append(found, o)
			if o.PayStatus == Unpaid && n.Money == o.Money {
				fitting = append(fitting, o)
			}
		}
	}
	if twin, ok := twins(found); ok {
		return twin[0], Refuse(Conflict, "orders %d and %d both have this number", "订单 %d 和 %d 使用同一订单号", twin[0].ID, twin[1].ID)
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(fitting) == 1: // an account that serves several scopes: the amount tells
		return fitting[0], nil
	case len(found) > 1:
		return Order{}, Refuse(Forbidden, "several orders of different accounts have this number", "多个账户的订单使用该订单号")
	default:
		return Order{}, Refuse(Forbidden, "the account serves no shop that has an order of this number", "该账户所服务的门店没有此订单")
	}
}

// numbered returns the orders that have a number; NotFound where there are none.
func (s *Service) numbered(tx Tx, number string) ([]Order, error) {
	all, err := tx.OrdersByNumber(number, maxSameNumber)
	if err != nil {
		return nil, err
	}
	if _, elsewhere := tx.(NewsTx); elsewhere {
		for i := range all {
			if all[i], err = s.order(tx, all[i].ID); err != nil {
				return nil, err
			}
		}
	}
	if len(all) == 0 {
		return nil, Refuse(NotFound, "There is no order %s.", "订单 %s 不存在。", number)
	}
	return all, nil
}

// twins are two of the orders that one shop has.
func twins(orders []Order) (twin [2]Order, ok bool) {
	first := map[ShopID]Order{}
	for _, o := range orders {
		if other, known := first[o.Shop]; known {
			return [2]Order{other, o}, true
		}
		first[o.Shop] = o
	}
	return twin, false
}
