package handlers_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/providers"
	"doorbell/transport/transporttest"
)

// price is what every order of the model costs.
const price = 2850

// paidModel is one payment of a history, with its refunds.
type paidModel struct {
	paysim.Payment
	by   paysim.Player
	back int64 // by the delivered refunds
	came bool
}

// stands reports whether the payment pays the order now.
func (p *paidModel) stands() bool { return p.came && p.Minor == price && p.back < p.Minor }

// step is one event of an order.
type step struct {
	what string
	do   func() error // over HTTP, or by the service
	note func()       // in the ledger; called before do if steps run one by one
}

// ledger is the expected state of one order, computed from the facts alone: the
// oracle.
type ledger struct {
	payments  []*paidModel
	created   bool
	cancelled bool
	rings     bool
	was       doorbell.PayStatus
}

// status returns the order's status by the facts, whatever order they came in.
func (l *ledger) status() doorbell.PayStatus {
	status := doorbell.Unpaid
	for _, p := range l.payments {
		switch {
		case !l.created || !p.came || p.Minor != price:
		case p.stands():
			return doorbell.Paid
		default:
			status = doorbell.Refunded
		}
	}
	return status
}

// settle updates the expected ring after a change: it starts when the order
// becomes paid, and ends when no payment is left or the order is cancelled.
func (l *ledger) settle() {
	now := l.status()
	if now != l.was {
		l.rings = now == doorbell.Paid
	}
	l.rings = l.rings && !l.cancelled
	l.was = now
}

// history is one order's life.
type history struct {
	s      *testServer
	rnd    *rand.Rand
	number string
	shop   doorbell.ShopID
	id     doorbell.OrderID
	ledger ledger
	steps  []step
	mu     sync.Mutex // guards id and the ledger where steps run concurrently
}

// newHistory draws a random history: up to three payments by any provider, one in
// eight of another amount; partial and full refunds of them and of payments that
// never come; a cancel; all of it in any order, with some repeats.
func newHistory(s *testServer, sims *providers.Players, seed uint64, i int) (*history, error) {
	h := &history{s: s, rnd: rand.New(rand.NewPCG(seed, uint64(i))), number: fmt.Sprintf("H-%d", i), shop: doorbell.ShopID(i + 1)}
	h.steps = append(h.steps, step{"order", h.create, func() { h.ledger.created = true }})
	for k := range h.rnd.IntN(4) {
		p := &paidModel{Payment: paysim.Payment{Number: h.number, Transaction: fmt.Sprintf("T%d-%d", i, k), Minor: price}, by: sims.All()[h.rnd.IntN(4)]}
		if h.rnd.IntN(8) == 0 {
			p.Minor = price - 1
		}
		h.ledger.payments = append(h.ledger.payments, p)
		if err := h.play(p.by, fmt.Sprintf("payment %d of %d", k, p.Minor), p.by.Paid, p.Payment, func() { p.came = true }); err != nil {
			return nil, err
		}
		if err := h.refunds(p, k); err != nil {
			return nil, err
		}
	}
	if h.rnd.IntN(4) == 0 { // of a payment that never comes
		p := &paidModel{Payment: paysim.Payment{Number: h.number, Transaction: fmt.Sprintf("T%d-never", i), Minor: price}, by: sims.All()[h.rnd.IntN(4)]}
		if err := h.refund(p, "never", price, price); err != nil {
			return nil, err
		}
	}
	for range h.rnd.IntN(len(h.steps) + 1) {
		h.steps = append(h.steps, h.steps[h.rnd.IntN(len(h.steps))])
	}
	if h.rnd.IntN(5) == 0 {
		h.steps = append(h.steps, step{"cancel", h.cancel, func() { h.ledger.cancelled = h.ledger.cancelled || h.ledger.created }})
	}
	h.rnd.Shuffle(len(h.steps), func(a, b int) { h.steps[a], h.steps[b] = h.steps[b], h.steps[a] })
	return h, nil
}

// refunds draws the refunds of one payment.
func (h *history) refunds(p *paidModel, k int) error {
	left := p.Minor
	for r := range h.rnd.IntN(4) {
		part := 1 + h.rnd.Int64N(left)
		if h.rnd.IntN(2) == 0 {
			part = left
		}
		left -= part
		if err := h.refund(p, fmt.Sprintf("%d-%d", k, r), part, p.Minor-left); err != nil || left == 0 {
			return err
		}
	}
	return nil
}

func (h *history) refund(p *paidModel, id string, part, soFar int64) error {
	c, err := p.by.Refunded(paysim.Refund{Payment: p.Payment, ID: h.number + "-" + id, Part: part, SoFar: soFar})
	if err != nil {
		return err
	}
	sums := p.by.Name() == "wechat" || p.by.Name() == "webhook"
	counted := false
	h.steps = append(h.steps, step{fmt.Sprintf("%s refund %s of %d, %d so far", p.by.Name(), id, part, soFar), h.delivery(p.by, c), func() {
		switch {
		case !sums:
			p.back = max(p.back, soFar)
		case !counted:
			p.back += part
		}
		counted = true
	}})
	return nil
}

func (h *history) play(by paysim.Player, what string, sign func(paysim.Payment) (paysim.Callback, error), m paysim.Payment, note func()) error {
	c, err := sign(m)
	if err != nil {
		return err
	}
	h.steps = append(h.steps, step{by.Name() + " " + what, h.delivery(by, c), note})
	return nil
}

// delivery sends a callback; its provider must understand the answer. A server that
// has no time answers 503, and the provider sends the callback again.
func (h *history) delivery(by paysim.Player, c paysim.Callback) func() error {
	return func() error {
		w := h.s.deliver(paysim.Path(by), c)
		for tries := 0; w.Code == http.StatusServiceUnavailable && tries < 20; tries++ {
			w = h.s.deliver(paysim.Path(by), c)
		}
		if w.Code >= 500 || w.Code == 401 || w.Code == 400 {
			return fmt.Errorf("%s answered %d %s", by.Name(), w.Code, w.Body)
		}
		return nil
	}
}

func (h *history) create() error {
	o, _, err := h.s.Service.CreateOrder(h.s.t.Context(), doorbell.Order{
		Number: h.number, Shop: h.shop, User: 7, Money: doorbell.Money{Minor: price, Currency: "CNY"},
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.id = o.ID
	return err
}

// cancel does nothing while there is no order.
func (h *history) cancel() error {
	h.mu.Lock()
	id := h.id
	h.mu.Unlock()
	if id == 0 {
		return nil
	}
	o, err := h.s.Service.CancelOrder(h.s.t.Context(), id, "test")
	if err == nil && o.Status == doorbell.Cancelled {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.ledger.cancelled = true
	}
	return err
}

// check compares the program with the ledger.
func (h *history) check() error {
	if !h.ledger.created {
		return nil
	}
	h.ledger.settle()
	o, err := h.s.Service.Order(h.s.t.Context(), h.id)
	if err != nil {
		return err
	}
	page, err := h.s.Service.Alerts(h.s.t.Context(), doorbell.AlertQuery{Shop: h.shop, OpenOnly: true, Limit: 10})
	if err != nil {
		return err
	}
	if want := h.ledger.status(); o.PayStatus != want {
		return fmt.Errorf("pay status %d, want %d", o.PayStatus, want)
	}
	if rings := len(page.Alerts) > 0; rings != h.ledger.rings {
		return fmt.Errorf("rings: %v, want %v", rings, h.ledger.rings)
	}
	if (o.Status == doorbell.Cancelled) != h.ledger.cancelled {
		return fmt.Errorf("status %d, cancelled: %v", o.Status, h.ledger.cancelled)
	}
	return h.checkRefunded(o)
}

// checkRefunded checks the order's refunded amount: that of the payment which pays
// it, which must not be fully refunded if the order is paid.
func (h *history) checkRefunded(o doorbell.Order) error {
	i := slices.IndexFunc(h.ledger.payments, func(p *paidModel) bool {
		return p.came && p.Minor == price && p.Transaction == o.Transaction && p.by.Name() == o.Provider
	})
	switch {
	case o.PayStatus == doorbell.Unpaid:
		if o.RefundedAmount != 0 || o.Transaction != "" {
			return fmt.Errorf("unpaid, with %d refunded of %q", o.RefundedAmount, o.Transaction)
		}
		return nil
	case i < 0:
		return fmt.Errorf("it rests on %q, which is none of its payments", o.Transaction)
	}
	p := h.ledger.payments[i]
	if p.stands() != (o.PayStatus == doorbell.Paid) || o.RefundedAmount != p.back {
		return fmt.Errorf("pay status %d with %d refunded, by %s of which %d went back", o.PayStatus, o.RefundedAmount, p.Transaction, p.back)
	}
	return nil
}

// oneByOne checks after every step. Some orders are accepted in between.
func (h *history) oneByOne() error {
	for i, st := range h.steps {
		st.note()
		if err := st.do(); err != nil {
			return fmt.Errorf("step %d, %s: %w", i, st.what, err)
		}
		if err := h.check(); err != nil {
			return fmt.Errorf("after step %d, %s: %w", i, st.what, err)
		}
		if h.ledger.created && h.ledger.was == doorbell.Paid && !h.ledger.cancelled && h.rnd.IntN(6) == 0 {
			if _, err := h.s.Service.AcceptOrder(h.s.t.Context(), h.id, "cook"); err != nil {
				return fmt.Errorf("accept: %w", err)
			}
			h.ledger.rings = false
		}
	}
	return h.again()
}

// atOnce runs all steps concurrently, and checks the result.
func (h *history) atOnce() error {
	errs := make([]error, len(h.steps))
	var running sync.WaitGroup
	for i, st := range h.steps {
		if st.what != "cancel" { // a cancel may come too early to have an effect
			st.note()
		}
		running.Go(func() { errs[i] = st.do() })
	}
	running.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("%s: %w", h.steps[i].what, err)
		}
	}
	return h.again()
}

// again repeats everything, as providers do: nothing changes.
func (h *history) again() error {
	if err := h.check(); err != nil {
		return err
	}
	_, before := h.s.position(int64(h.shop))
	for _, st := range h.steps {
		if st.what == "cancel" {
			continue
		}
		if err := st.do(); err != nil {
			return fmt.Errorf("%s, again: %w", st.what, err)
		}
	}
	if _, after := h.s.position(int64(h.shop)); after != before {
		return fmt.Errorf("the same again wrote alerts: %v, then %v", before, after)
	}
	return h.check()
}

func (h *history) String() string {
	var b strings.Builder
	for i, st := range h.steps {
		fmt.Fprintf(&b, "\n  %d %s", i, st.what)
	}
	return b.String()
}

// TestMoneyModel compares the program with a ledger that the test keeps: payments,
// duplicates, refunds, cancels, late orders and repeats in any order, one by one
// and concurrently, with all providers. What rings, is paid and is refunded must
// agree with the ledger. make long runs 100,000 histories.
func TestMoneyModel(t *testing.T) {
	histories, seed := transporttest.Size(t, "DOORBELL_TEST_MONEY", 200), transporttest.Seed(t)
	s, sims := allProviders(t)
	next := make(chan int)
	var differences, steps int
	var mu sync.Mutex // guards both
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for i := range next {
				h, err := newHistory(s, sims, seed, i)
				if err == nil && i%3 == 0 {
					err = h.atOnce()
				} else if err == nil {
					err = h.oneByOne()
				}
				mu.Lock()
				if err != nil {
					differences++
					if differences <= 5 {
						t.Errorf("seed %d, history %d: %v; its steps:%s", seed, i, err, h)
					}
				} else {
					steps += len(h.steps)
				}
				mu.Unlock()
			}
		})
	}
	for i := range histories {
		next <- i
	}
	close(next)
	running.Wait()
	if findings := s.audit(); len(findings) > 0 {
		t.Errorf("the audit finds %v", findings)
	}
	t.Logf("%d histories of %d steps (seed %d): %d differences", histories, steps, seed, differences)
}
