package doorbell

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"strconv"
	"time"
)

// Rules are what the configuration decides.
type Rules struct {
	Reminders ReminderRules
	Texts     Texts
	Trial     bool   // alerts say so
	Hooks     []Hook // who is told of events
	Ladders   Ladders
	Accounts  Accounts
}

// Service is what doorbell does: every change of an order or of a shop's log.
// Who may call is the HTTP edge's matter.
type Service struct {
	store Store
	rules Rules
	log   *slog.Logger
	again replays
	ahead stopwatch // of alerts whose time is yet to come: see TellUnheard

	// Accepted is told of an alert that was accepted on a console, and of the one that
	// closed it, after their commit; nil: nobody is. It is set before the first call.
	Accepted func(target, closing Alert)
}

// NewService needs all three.
func NewService(store Store, rules Rules, log *slog.Logger) *Service {
	return &Service{store: store, rules: rules, log: log}
}

func (s *Service) now() time.Time { return Instant(s.store.Now()) }

// alertAbout returns the alert of type t about one of our own orders.
func (s *Service) alertAbout(o Order, t Type, actor string) Alert {
	return Alert{
		Type: t, OrderID: o.ID, Content: s.rules.Texts.For(t, o), Shop: o.Shop, Number: o.Number,
		Source: FromOrder, Time: s.now(), Test: s.rules.Trial, Actor: actor,
	}
}

// Order returns the order, or NotFound when there is none.
func (s *Service) Order(ctx context.Context, id OrderID) (Order, error) {
	return s.store.Order(ctx, id)
}

// CreateOrder takes a new order in, to be paid. The same order again comes
// back with created false; the same number, or id, with other fields is a
// Conflict. A payment that came before its order is settled here.
func (s *Service) CreateOrder(ctx context.Context, o Order) (out Order, created bool, err error) {
	if o.Currency == "" {
		o.Currency = DefaultCurrency
	}
	if err := o.Check(); err != nil {
		return Order{}, false, err
	}
	o.Status, o.PayStatus, o.CreatedAt, o.Account = ToBePaid, Unpaid, s.now(), s.rules.Accounts.Scope(o.Shop)
	err = s.store.Write(ctx, func(tx Tx) error {
		created = false
		known, err := s.sameNumber(tx, o)
		if err == nil {
			out = known
			if !known.sameAs(o) {
				return Refuse(Conflict, "Number %s is taken by an order with other fields.", "订单号 %s 已存在，但内容不同。", o.Number)
			}
			return nil
		}
		if CodeOf(err) != NotFound {
			return err
		}
		if o.ID != 0 {
			if _, err := tx.Order(o.ID); err == nil {
				return Refuse(Conflict, "Id %d is taken by another order.", "订单 id %d 已被占用。", o.ID)
			} else if CodeOf(err) != NotFound {
				return err
			}
		}
		created = true
		if out, err = tx.InsertOrder(o); err != nil {
			return err
		}
		return s.settleWaiting(tx, &out)
	})
	return out, created, err
}

// Remind writes a customer's reminder. by is who asked.
func (s *Service) Remind(ctx context.Context, id OrderID, by string) (alert Alert, err error) {
	err = s.store.Write(ctx, func(tx Tx) error {
		o, err := s.order(tx, id)
		if err != nil {
			return err
		}
		if o, err = o.Remind(s.rules.Reminders, s.now()); err != nil {
			return err
		}
		if err := tx.UpdateOrder(o); err != nil {
			return err
		}
		alert, err = s.write(tx, s.alertAbout(o, Reminder, by))
		return err
	})
	return alert, err
}

// AcceptOrder takes an order in hand: status 2 → 3, and one alert of type 3
// where the status changed or something still rang.
func (s *Service) AcceptOrder(ctx context.Context, id OrderID, by string) (out Order, err error) {
	return s.closeOrder(ctx, s.store.Write, id, TakenCare, by, Order.Accept)
}

// AcceptOrderByHand does what AcceptOrder does where somebody stands before a console and
// waits: calls that flood the API don't keep it waiting.
func (s *Service) AcceptOrderByHand(ctx context.Context, id OrderID, by string) (out Order, err error) {
	return s.closeOrder(ctx, s.store.WritePress, id, TakenCare, by, Order.Accept)
}

// CancelOrder ends an order: status → 6 and one alert of type 4.
func (s *Service) CancelOrder(ctx context.Context, id OrderID, by string) (out Order, err error) {
	return s.closeOrder(ctx, s.store.Write, id, CalledOff, by, Order.Cancel)
}

type writing func(context.Context, func(Tx) error) error

func (s *Service) closeOrder(ctx context.Context, write writing, id OrderID, t Type, by string, rule func(Order) (Order, error)) (out Order, err error) {
	err = write(ctx, func(tx Tx) error {
		before, err := s.order(tx, id)
		if err != nil {
			return err
		}
		if out, err = rule(before); err != nil {
			return err
		}
		rings, err := tx.Ringing(out.Shop, FromOrder, out.ID)
		if err != nil {
			return err
		}
		if out.Status == before.Status && !rings {
			return nil
		}
		if err := tx.UpdateOrder(out); err != nil {
			return err
		}
		_, err = s.write(tx, s.alertAbout(out, t, by))
		return err
	})
	return out, err
}

// RaiseAlert rings for an order that is kept elsewhere. key may have an empty
// Value: then every call is a new alert. With a key, a repeat with the same
// body gets the first alert and created false, one with another body is a
// Conflict.
func (s *Service) RaiseAlert(ctx context.Context, r Raise, key Key) (alert Alert, created bool, err error) {
	if err := r.Check(); err != nil {
		return Alert{}, false, err
	}
	hash := ""
	if key.Value != "" {
		hash = bodyHash(r)
	}
	err = s.store.Write(ctx, func(tx Tx) error {
		created = false
		if key.Value != "" {
			before, seq, found, err := tx.Key(key)
			if err != nil {
				return err
			}
			if found && before != hash {
				return Refuse(Conflict, "This Idempotency-Key was used with another body.", "该 Idempotency-Key 已用于不同的请求内容。")
			}
			if found {
				alert, err = tx.Alert(key.Shop, seq)
				return err
			}
		}
		created = true
		if alert, err = s.write(tx, s.external(r, key.Subject)); err != nil {
			return err
		}
		if !r.IsZero() {
			if err := tx.SaveDetail(alert.Shop, alert.Seq, r.Detail); err != nil {
				return err
			}
		}
		if key.Value == "" {
			return nil
		}
		return tx.SaveKey(key, hash, alert.Seq, alert.Time)
	})
	return alert, created, err
}

func (s *Service) external(r Raise, by string) Alert {
	a := Alert{
		Type: r.Type, OrderID: r.orderID(), Content: r.Content, Shop: r.Shop, Number: r.Number,
		Source: External, Time: s.now(), Test: s.rules.Trial, Actor: by,
	}
	if a.Content == "" {
		number := r.Number
		if number == "" {
			number = strconv.FormatInt(int64(a.OrderID), 10)
		}
		a.Content = s.rules.Texts.For(r.Type, Order{ID: a.OrderID, Shop: r.Shop, Number: number})
	}
	return a
}

// bodyHash tells two bodies apart by what they say, not by how they are spaced.
func bodyHash(r Raise) string {
	b, err := json.Marshal(r)
	if err != nil { // integers and strings always encode
		panic(err)
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// AcceptAlert silences an alert: it writes a type 3 for its order, unless a 3
// or 4 follows it already, and returns the one that silences it. Our own
// order's status goes 2 → 3 with it. An alert that does not ring is a
// Conflict. It is pressed by hand, so calls that flood the API don't keep it
// waiting.
func (s *Service) AcceptAlert(ctx context.Context, shop ShopID, seq Seq, by string) (closing Alert, err error) {
	// Read first without a lock: the order row must be locked before the head.
	page, err := s.store.Alerts(ctx, AlertQuery{Shop: shop, Before: seq + 1, After: seq - 1, Limit: 1})
	if err != nil {
		return Alert{}, err
	}
	if len(page.Alerts) == 0 {
		return Alert{}, Refuse(NotFound, "Shop %d has no alert %d.", "门店 %d 没有提醒 %d。", shop, seq)
	}
	target := page.Alerts[0].Alert
	if !target.Type.Rings() {
		return Alert{}, Refuse(Conflict, "Alert %d does not ring.", "提醒 %d 无需处理。", seq)
	}
	var closed bool // before
	err = s.store.WritePress(ctx, func(tx Tx) error {
		order, own, err := s.ownOrder(tx, target)
		if err != nil {
			return err
		}
		if closing, closed, err = tx.ClosedBy(target); err != nil || closed {
			return err
		}
		if own && order.Status == ToBeAccepted {
			order.Status = Accepted
			if err := tx.UpdateOrder(order); err != nil {
				return err
			}
		}
		about := Order{ID: target.OrderID, Shop: target.Shop, Number: target.Number}
		if about.Number == "" {
			about.Number = strconv.FormatInt(int64(target.OrderID), 10)
		}
		a := s.alertAbout(about, TakenCare, by)
		a.Source, a.Number, a.Test = target.Source, target.Number, target.Test
		closing, err = s.write(tx, a)
		return err
	})
	if err == nil && !closed && s.Accepted != nil {
		s.Accepted(target, closing)
	}
	return closing, err
}

// ownOrder returns the order of an alert of ours, locked; own is false for an
// external one, and for one whose order is no longer kept.
func (s *Service) ownOrder(tx Tx, a Alert) (o Order, own bool, err error) {
	if a.Source != FromOrder {
		return Order{}, false, nil
	}
	o, err = s.order(tx, a.OrderID)
	if CodeOf(err) == NotFound {
		return Order{}, false, nil
	}
	return o, err == nil, err
}

// Alerts reads a shop's log, newest first.
func (s *Service) Alerts(ctx context.Context, q AlertQuery) (AlertPage, error) {
	return s.store.Alerts(ctx, q)
}

// Alert returns one alert of a shop, and who was told that nobody took care of it.
func (s *Service) Alert(ctx context.Context, shop ShopID, seq Seq) (a AlertState, told []Escalation, err error) {
	page, err := s.store.Alerts(ctx, AlertQuery{Shop: shop, Before: seq + 1, After: seq - 1, Limit: 1})
	if err != nil {
		return a, nil, err
	}
	if len(page.Alerts) == 0 {
		return a, nil, Refuse(NotFound, "Shop %d has no alert %d.", "门店 %d 没有提醒 %d。", shop, seq)
	}
	told, err = s.store.Escalations(ctx, shop, seq)
	return page.Alerts[0], told, err
}

// Receive notes how far an alert got on a console.
func (s *Service) Receive(ctx context.Context, r Receipt) error {
	switch r.Stage {
	case Shown, Sounded, Silent:
	default:
		return InvalidField("stage", "must be shown, sounded or silent", "必须是 shown、sounded 或 silent")
	}
	if len(r.Console) == 0 || len(r.Console) > 64 {
		return InvalidField("console", "must be the console's id", "必须是控制台的 id")
	}
	if len(r.Reason) > 200 {
		return InvalidField("reason", "must be at most 200 bytes", "最多 200 字节")
	}
	r.At = s.now()
	return s.store.SaveReceipt(ctx, r)
}
