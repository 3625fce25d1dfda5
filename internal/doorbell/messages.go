package doorbell

import "context"

// Message is an alert that rang, in a list that people read and tick off.
type Message struct {
	Alert
	Open   bool
	Read   bool
	Detail Detail
}

// MessageQuery asks for a shop's messages, newest first, of the last few thousand.
type MessageQuery struct {
	Shop   ShopID
	Reader string // who ticks them off: the console of the receipts
	Read   bool   // those that were ticked off; else those that were not
	All    bool   // both
	Offset int
	Limit  int // 0: only their number
}

// Messages reads them, and how many there are in all.
func (s *Service) Messages(ctx context.Context, q MessageQuery) (list []Message, total int, err error) {
	return s.store.Messages(ctx, q)
}

// Customer is who waits for an order, as the shop's own system knows it.
type Customer struct {
	Consignee, Phone, Address  string
	Ordered, EstimatedDelivery string // as that system writes times
}
