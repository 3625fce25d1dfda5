package doorbell

import (
	"context"
	"slices"
	"time"
)

// News is what another program has done with an order that it keeps.
type News struct {
	Known  Order // as it was when it was looked at last; to be paid where it never was
	Stands Order // as it stands
	Fresh  bool  // the two differ
	Told   bool  // the order is kept here as well: it has rung, or was hurried
	First  bool  // it was never looked at
	Quiet  bool  // somebody else rings for what is paid without a callback
}

// NewsTx is a transaction on orders that another program keeps.
type NewsTx interface {
	News(id OrderID) (News, error)
	// Look notes that an order was looked at; UpdateOrder does so too.
	Look(id OrderID) error
}

// promptly is how old a payment may be that rings although its order was accepted
// before anybody looked: longer ago, a ring would only be noise.
const promptly = time.Minute

// alerts are what the consoles are to be told. rings says that an alert of the order
// still does.
func (n News) alerts(rings bool, now time.Time) []Type {
	before, after := n.Known, n.Stands
	paid := after.PayStatus == Paid
	switch {
	case !n.Fresh:
	case after.Status == Cancelled || after.PayStatus == Refunded:
		if rings || n.Told && before.PayStatus == Paid && before.Status != Cancelled {
			return []Type{CalledOff}
		}
	case paid && after.Status == ToBeAccepted:
		if !n.Quiet && (before.PayStatus != Paid || before.Status == Cancelled || before.Status == ToBePaid) {
			return []Type{NewOrder}
		}
	case after.Status == Accepted || after.Status == OnTheWay || after.Status == Done:
		switch {
		case rings, n.Told && before.Status == ToBeAccepted && before.PayStatus == Paid:
			return []Type{TakenCare}
		case !n.Quiet && !n.Told && paid && before.PayStatus != Paid && now.Sub(after.PaidAt) < promptly:
			return []Type{NewOrder, TakenCare}
		}
	default:
	}
	return nil
}

// order reads an order, after the consoles were told what another program has done
// with it.
func (s *Service) order(tx Tx, id OrderID) (Order, error) {
	if elsewhere, ok := tx.(NewsTx); ok {
		if err := s.takeNews(tx, elsewhere, id); err != nil {
			return Order{}, err
		}
	}
	return tx.Order(id)
}

// ByElsewhere is who causes the alerts of orders that another program keeps.
const ByElsewhere = "sky.adopt"

func (s *Service) takeNews(tx Tx, elsewhere NewsTx, id OrderID) error {
	n, err := elsewhere.News(id)
	if err != nil || !n.Fresh && !n.First {
		return err
	}
	o := n.Stands
	rings, err := tx.Ringing(o.Shop, FromOrder, id)
	if err != nil {
		return err
	}
	tell := n.alerts(rings, s.now())
	if len(tell) == 0 && !n.Told {
		return elsewhere.Look(id)
	}
	if slices.Contains(tell, NewOrder) && o.PaidAt.IsZero() {
		o.PaidAt = s.now()
	}
	if err := tx.UpdateOrder(o); err != nil {
		return err
	}
	for _, t := range tell {
		if _, err := s.write(tx, s.alertAbout(o, t, ByElsewhere)); err != nil {
			return err
		}
		if t == NewOrder {
			err = s.tellOrder(tx, OrderPaid, o)
		} else if t == CalledOff && o.PayStatus == Refunded {
			err = s.tellOrder(tx, OrderRefunded, o)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// LookElsewhere looks at an order that another program keeps: what that one has done
// with it is told to the consoles, and a payment settled that came before it.
func (s *Service) LookElsewhere(ctx context.Context, id OrderID) error {
	return s.store.WriteUrgent(ctx, func(tx Tx) error {
		o, err := s.order(tx, id)
		if CodeOf(err) == NotFound {
			return nil
		}
		if err != nil || o.PayStatus != Unpaid {
			return err
		}
		return s.settleWaiting(tx, &o)
	})
}
