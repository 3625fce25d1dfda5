package store

import (
	"encoding/json"
	"fmt"

	"doorbell/internal/doorbell"
)

// detailOf selects the details on an alert's card: those that came with the alert,
// else, for an alert that rings, those of its order. A reminder from an external
// system comes without details: it shows those of its order's latest alert that
// has some.
const detailOf = `coalesce(
	(select d.detail from alert_details d where d.shop_id = a.shop_id and d.seq = a.seq),
	case when a.type not in (1, 2) then null
	when a.source = 'order' then (select o.detail from orders o where o.id = a.order_id and o.shop_id = a.shop_id)
	else (select d.detail from alerts e join alert_details d on d.shop_id = e.shop_id and d.seq = e.seq
		where e.shop_id = a.shop_id and e.source = a.source and e.order_id = a.order_id and e.seq < a.seq order by e.seq desc limit 1)
	end, '')`

// refundedOf selects the refunded amount and its currency for an order that rings.
const refundedOf = `coalesce((select o.refunded_amount from orders o where a.source = 'order' and a.type in (1, 2) and o.id = a.order_id and o.shop_id = a.shop_id), 0),
	coalesce((select o.currency from orders o where a.source = 'order' and a.type in (1, 2) and o.id = a.order_id and o.shop_id = a.shop_id), '')`

// SaveDetail implements doorbell.LogTx.
func (t *txn) SaveDetail(shop doorbell.ShopID, seq doorbell.Seq, d doorbell.Detail) error {
	err := t.exec(`insert into alert_details (shop_id, seq, detail) values (?, ?, ?)`, shop, seq, detailText(d))
	if err != nil {
		return fmt.Errorf("save the details of alert %d of shop %d: %w", seq, shop, err)
	}
	return nil
}

// detailText returns the details as the column's text, empty for none.
func detailText(d doorbell.Detail) string {
	if d.IsZero() {
		return ""
	}
	b, err := json.Marshal(d)
	if err != nil { // strings can always be encoded
		panic(err)
	}
	return string(b)
}

func parseDetail(text string) (d doorbell.Detail, err error) {
	if text == "" {
		return d, nil
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return d, fmt.Errorf("read the details: %w", err)
	}
	return d, nil
}
