package store

import (
	"fmt"
	"math/rand/v2"

	"doorbell/internal/doorbell"
)

const (
	// nearIDs is how many ids after the last one are tried in turn.
	nearIDs = 32
	// leaps is how many random ids are tried after that.
	leaps = 64
)

func noOrderID() error {
	return doorbell.Refuse(doorbell.Conflict, "There is no free order id left.", "没有可用的订单 id。")
}

// nextOrderID returns an unused order id. It skips ids that order systems chose
// themselves: first one by one, then by random leaps over a range that doubles
// each time. It ends after some 100 tries, whatever ids are taken. The leaps are
// random because fifty ids placed on predictable leaps would block all that are
// left.
func (t *txn) nextOrderID() (doorbell.OrderID, error) {
	var last doorbell.OrderID
	for range nearIDs {
		id, err := t.dialect.drawOrderID(t)
		if err != nil {
			return 0, err
		}
		if taken, err := t.orderIDTaken(id); err != nil || !taken {
			return id, err
		}
		last = id
	}
	reach := int64(nearIDs)
	for range leaps {
		left := doorbell.MaxID - int64(last)
		if left <= 0 {
			break
		}
		reach = min(2*reach, left)
		id := last + 1 + doorbell.OrderID(rand.Int64N(reach))
		taken, err := t.orderIDTaken(id)
		if err != nil {
			return 0, err
		}
		if taken {
			continue
		}
		if err := t.dialect.moveOrderIDs(t, id); err != nil {
			return 0, fmt.Errorf("reserve order id %d: %w", id, err)
		}
		return id, nil
	}
	return 0, noOrderID()
}

func (t *txn) orderIDTaken(id doorbell.OrderID) (taken bool, err error) {
	if err := t.row(`select exists (select 1 from orders where id = ?)`, id).Scan(&taken); err != nil {
		return false, fmt.Errorf("check whether order id %d is free: %w", id, err)
	}
	return taken, nil
}
