package doorbell

import "context"

// CloseElsewhere writes that a shop's own system has taken care of an order (type 3)
// or called it off (type 4): of our order of that id, and of what it rang for by
// POST /api/v1/alerts. It changes nothing where neither rings, nor an order that can't
// be closed so.
func (s *Service) CloseElsewhere(ctx context.Context, shop ShopID, id OrderID, t Type, by string) error {
	rule := Order.Accept
	if t == CalledOff {
		rule = Order.Cancel
	}
	return s.store.WritePress(ctx, func(tx Tx) error {
		before, err := s.order(tx, id)
		if err != nil && CodeOf(err) != NotFound {
			return err
		}
		if err == nil && before.Shop == shop {
			if err := s.closeOwn(tx, before, rule, t, by); err != nil {
				return err
			}
		}
		rings, err := tx.Ringing(shop, External, id)
		if err != nil || !rings {
			return err
		}
		_, err = s.write(tx, s.external(Raise{Type: t, Shop: shop, OrderID: id}, by))
		return err
	})
}

func (s *Service) closeOwn(tx Tx, before Order, rule func(Order) (Order, error), t Type, by string) error {
	after, err := rule(before)
	if err != nil {
		return nil //nolint:nilerr // not in a state to be closed so: it does not ring for that
	}
	rings, err := tx.Ringing(after.Shop, FromOrder, after.ID)
	if err != nil || after.Status == before.Status && !rings {
		return err
	}
	if err := tx.UpdateOrder(after); err != nil {
		return err
	}
	_, err = s.write(tx, s.alertAbout(after, t, by))
	return err
}
