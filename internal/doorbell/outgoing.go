package doorbell

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// EventType is what an outgoing webhook tells.
type EventType string

// The events. All but AlertCreated and PaymentAnomaly are told once for each
// order and change.
const (
	AlertCreated        EventType = "alert.created"
	OrderPaid           EventType = "order.paid"
	OrderRefunded       EventType = "order.refunded"
	OrderRefundedInPart EventType = "order.refunded_in_part"
	OrderAccepted       EventType = "order.accepted"
	OrderUnheard        EventType = "order.unheard"   // rang, and no console has sounded in time
	PaymentAnomaly      EventType = "payment.anomaly" // money that somebody has to look into
	ShopUnattended      EventType = "shop.unattended" // it is open, and no console could ring
	ShopAttended        EventType = "shop.attended"   // one can again
	AlertEscalated      EventType = "alert.escalated" // it rings still, and the next one on the ladder is told
	PageLost            EventType = "page.lost"       // a plain page stands there, dead, and was not loaded anew
)

// EventTypes are all of them.
var EventTypes = []EventType{AlertCreated, OrderPaid, OrderRefunded, OrderRefundedInPart, OrderAccepted, OrderUnheard, PaymentAnomaly, ShopUnattended, ShopAttended, PageLost, AlertEscalated}

// Hook is an address that is told of events.
type Hook struct {
	Name   string
	Events []EventType // none: all
	Shops  []ShopID    // none: all
}

// wants reports whether the hook is told of such an event. One of no shop, an
// anomaly of an order that is no longer there, is for hooks of all shops.
func (h Hook) wants(t EventType, shop ShopID) bool {
	return (len(h.Events) == 0 || slices.Contains(h.Events, t)) && (len(h.Shops) == 0 || slices.Contains(h.Shops, shop))
}

// ForwardHook is the hook of callbacks that are passed on as they came.
const ForwardHook = "wechat-forward"

// Outgoing is one message to one hook, kept until it is taken.
type Outgoing struct {
	ID      int64
	Hook    string
	Message string // msg_…, the same at every attempt
	Event   EventType
	Shop    ShopID
	About   Seq         // the alert that must still ring when it is sent; 0: whatever happens
	Header  http.Header // of a callback that is passed on; nil for an event
	Body    []byte

	State     OutgoingState
	Attempts  int
	NextAt    time.Time
	CreatedAt time.Time
	LastError string // why the last attempt was none
}

// OutgoingState is what became of a message.
type OutgoingState int

// The states of a message.
const (
	Waiting   OutgoingState = 0
	Delivered OutgoingState = 1
	GivenUp   OutgoingState = 2
	Withdrawn OutgoingState = 3 // nobody needs to be told any more
)

// String returns the state in a word.
func (s OutgoingState) String() string {
	return map[OutgoingState]string{Waiting: "waiting", Delivered: "delivered", GivenUp: "given_up", Withdrawn: "withdrawn"}[s]
}

// OutboxTx keeps what is to be told.
type OutboxTx interface {
	Enqueue(o Outgoing) error
}

// event is what a hook gets (Standard Webhooks 1.0, "payload structure").
type event struct {
	Type EventType `json:"type"`
	Time string    `json:"timestamp"`
	Data any       `json:"data"`
}

// tell queues an event for whoever wants it, in the transaction of the change
// that it tells of.
func (s *Service) tell(tx Tx, t EventType, shop ShopID, data any) error {
	return s.tellAbout(tx, t, shop, data, 0, "")
}

// tellAbout is tell of an alert that must still ring when it is sent. One hook is
// left out: it is told otherwise.
func (s *Service) tellAbout(tx Tx, t EventType, shop ShopID, data any, about Seq, but string) error {
	for _, h := range s.rules.Hooks {
		if h.Name == but || !h.wants(t, shop) {
			continue
		}
		if err := s.enqueueEvent(tx, h.Name, newMessage(), t, shop, data, about); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) enqueueEvent(tx Tx, hook, message string, t EventType, shop ShopID, data any, about Seq) error {
	now := s.now()
	body, err := json.Marshal(event{t, now.Format(TimeLayout), data})
	if err != nil {
		return err
	}
	return tx.Enqueue(Outgoing{Hook: hook, Message: message, Event: t, Shop: shop, About: about, Body: body, NextAt: now, CreatedAt: now})
}

func newMessage() string { return "msg_" + rand.Text() }

// orderEvent is the data of order.paid, order.refunded and
// order.refunded_in_part.
type orderEvent struct {
	OrderID     OrderID `json:"orderId"`
	Number      string  `json:"number"`
	Shop        ShopID  `json:"shopId"`
	Amount      int64   `json:"amount"`
	Currency    string  `json:"currency"`
	Transaction string  `json:"transactionId"`
	Provider    string  `json:"provider"`
	PaidAt      string  `json:"paidAt"`
	Refunded    int64   `json:"refundedAmount,omitempty"` // all refunds together
	Test        bool    `json:"test,omitempty"`
}

func (s *Service) tellOrder(tx Tx, t EventType, o Order) error {
	return s.tell(tx, t, o.Shop, orderEvent{
		OrderID: o.ID, Number: o.Number, Shop: o.Shop, Amount: o.Minor, Currency: o.Currency, Transaction: o.Transaction,
		Provider: o.Provider, PaidAt: stamp(o.PaidAt), Refunded: o.RefundedAmount, Test: s.rules.Trial,
	})
}

// stamp returns a time in RFC 3339 with milliseconds; empty for the zero time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(TimeLayout)
}

// acceptedEvent is the data of order.accepted.
type acceptedEvent struct {
	OrderID OrderID `json:"orderId"`
	Number  string  `json:"number"`
	Shop    ShopID  `json:"shopId"`
	Source  Source  `json:"source"`
	By      string  `json:"by"`
	At      string  `json:"at"`
	Test    bool    `json:"test,omitempty"`
}

// unheardEvent is the data of order.unheard.
type unheardEvent struct {
	OrderID OrderID `json:"orderId"`
	Number  string  `json:"number"`
	Shop    ShopID  `json:"shopId"`
	Seconds int64   `json:"seconds"` // since it rang
	Shown   bool    `json:"shown"`   // some console got it, and none sounded; false: none got it
	Alert   Alert   `json:"alert"`
}

// anomalyEvent is the data of payment.anomaly.
type anomalyEvent struct {
	Verdict     Verdict `json:"verdict"`
	Reason      string  `json:"reason"`
	Number      string  `json:"number"`
	Shop        ShopID  `json:"shopId,omitempty"`
	Amount      int64   `json:"amount"`
	Currency    string  `json:"currency"`
	Transaction string  `json:"transactionId"`
	Provider    string  `json:"provider"`
	Settled     bool    `json:"settled,omitempty"` // nobody needs to look into it any more
	Test        bool    `json:"test,omitempty"`
}

// write appends an alert and tells of it.
func (s *Service) write(tx Tx, a Alert) (Alert, error) {
	a, err := tx.Append(a)
	if err != nil {
		return a, err
	}
	if err := s.tell(tx, AlertCreated, a.Shop, a); err != nil || a.Type != TakenCare {
		return a, err
	}
	return a, s.tell(tx, OrderAccepted, a.Shop, acceptedEvent{
		OrderID: a.OrderID, Number: a.Number, Shop: a.Shop, Source: a.Source, By: a.Actor, At: stamp(a.Time), Test: a.Test,
	})
}
