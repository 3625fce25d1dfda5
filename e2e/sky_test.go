package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"testing"

	"doorbell/transport/transporttest"
)

// TestADayOfSkyTakeOut: orders by every path while everything restarts. Each paid
// order shows on their page at least once and on a console of ours exactly once;
// nothing else rings, and what was accepted or called off is silent.
func TestADayOfSkyTakeOut(t *testing.T) {
	s := newSkySite(t)
	console := s.follow()
	first, second := s.open(), s.open()
	orders := make([]*skyOrder, 0, 200)
	n := transporttest.Size(t, "DOORBELL_TEST_SKY_ORDERS", 40)
	faults := []struct {
		name string
		do   func()
	}{
		{"a click", func() { s.reload(first) }},
		{"nginx", func() { s.stopNginx(); s.startNginx(); s.reload(first); s.reload(second) }},
		{"backend", func() {
			closed(t, s.backend.Stop)
			s.persist("the backend starts", s.backend.Start)
		}},
		{"database", func() {
			s.database.Kill()
			s.persist("the database starts", s.database.Start)
		}},
		{"doorbell", func() {
			s.stop(syscall.SIGKILL)
			late := s.submit() // paid while nobody looks
			s.persist("shortcut", func() error { return s.table.Shortcut(t.Context(), late.id) })
			late.paid = true
			orders = append(orders, late)
			s.start()
			s.reload(first)
			s.reload(second)
		}},
		{"another page, and back", func() {
			if err := second.Navigate(s.front + "other.html"); err != nil {
				t.Fatal(err)
			}
			o := s.submit()
			s.callback(o, fmt.Sprint("t", o.id))
			o.paid = true
			orders = append(orders, o)
			if err := second.NavigateBack(); err != nil {
				t.Fatal(err)
			}
			s.reload(second)
		}},
	}
	for i := 0; len(orders) < n; i++ {
		orders = append(orders, s.day(i))
		if i%5 == 4 {
			f := faults[i/5%len(faults)]
			t.Logf("%s after %d orders", f.name, len(orders))
			f.do()
		}
	}
	for _, o := range orders {
		want := 0
		if o.paid {
			want = 1
			for _, p := range []*page{first, second} {
				eventually(t, fmt.Sprintf("paid order %d is on their page", o.id), func() bool { return p.skyShown()[fmt.Sprintf("1/%d", o.id)] > 0 })
			}
		}
		if o.paid || o.closed {
			eventually(t, fmt.Sprintf("order %d is told", o.id), func() bool {
				return console.count(1, o.id) >= want && (!o.closed || !o.paid || console.count(3, o.id)+console.count(4, o.id) > 0)
			})
		}
	}
	s.judge(console, orders, first, second)
	s.run("verify")
}

// judge is what must hold when all is told.
func (s *skySite) judge(console *heard, orders []*skyOrder, pages ...*page) {
	t := s.t
	t.Helper()
	_, answer := s.call("GET", "api/v1/alerts?shop=1&state=open&limit=500", s.token("console", "--shops", "1"), nil)
	rings := map[int64]bool{}
	list, _ := answer["alerts"].([]any)
	for _, a := range list {
		id, _ := a.(map[string]any)["orderId"].(float64)
		rings[int64(id)] = true
	}
	for _, o := range orders {
		want := 0
		if o.paid {
			want = 1
		}
		if got := console.count(1, o.id); got != want {
			t.Errorf("a console heard order %+v %d times, want %d", *o, got, want)
		}
		if got := console.count(2, o.id); got > 1 || got == 1 != o.hurried {
			t.Errorf("a console heard of order %+v's reminder %d times", *o, got)
		}
		if rings[o.id] != (o.paid && !o.closed) {
			t.Errorf("order %+v rings: %v", *o, rings[o.id])
		}
		for _, p := range pages {
			if got := p.skyShown()[fmt.Sprintf("1/%d", o.id)]; got > 0 != o.paid {
				t.Errorf("their page showed order %+v %d times", *o, got)
			}
		}
	}
	for _, p := range pages {
		if errs := p.js(`localStorage.getItem('errors') || ''`); errs != "" {
			t.Errorf("their page had errors: %s", errs)
		}
	}
}

// day is an order by one of the paths.
func (s *skySite) day(i int) *skyOrder {
	s.t.Helper()
	o := s.submit()
	t := fmt.Sprint("t", o.id)
	confirm := func(format string) { s.put("api/order/confirm", fmt.Sprintf(format, o.id)); o.closed = true }
	switch i % 10 {
	case 0: // WeChat's callback, accepted on the dashboard
		s.callback(o, t)
		o.paid = true
		confirm(`{"id":%d}`)
	case 1: // several times at once, accepted from a notification
		var sent sync.WaitGroup
		for range 3 {
			sent.Go(func() { s.callback(o, t) })
		}
		sent.Wait()
		o.paid = true
		confirm(`{"id":"%d"}`)
	case 2: // the copied shortcut, by the backend's own call
		s.put("user/order/payment", fmt.Sprintf(`{"orderNumber":%q,"payMethod":1}`, o.number))
		o.paid = true
		s.remind(o)
		s.remind(o) // too soon: a success, and no second ring
		o.hurried = true
	case 3: // the table alone
		s.persist("shortcut", func() error { return s.table.Shortcut(s.t.Context(), o.id) })
		o.paid = true
	case 4: // nobody pays, the job cancels
		s.persist("timeout", func() error { return s.table.Timeout(s.t.Context(), o.id) })
		o.closed = true
	case 5: // it pays after the job
		s.persist("timeout", func() error { return s.table.Timeout(s.t.Context(), o.id) })
		s.callback(o, t)
		o.closed = true
	case 6: // turned away
		s.callback(o, t)
		o.paid = true
		s.put("api/order/rejection", fmt.Sprintf(`{"id":%d,"rejectionReason":"忙"}`, o.id))
		o.closed = true
	case 7: // the customer changes his mind
		s.callback(o, t)
		o.paid = true
		s.put(fmt.Sprintf("user/order/cancel/%d", o.id), "")
		o.closed = true
	case 8: // two orders with one number: neither is guessed
		s.persist("submit", func() error { _, err := s.table.Submit(s.t.Context(), o.number, 5, "0.01"); return err })
		s.callback(o, t, http.StatusConflict)
	default: // both: the table by the backend, and WeChat
		s.persist("shortcut", func() error { return s.table.Shortcut(s.t.Context(), o.id) })
		s.callback(o, t)
		o.paid = true
	}
	return o
}
