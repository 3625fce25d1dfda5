package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/wechat"
)

// call makes one request and returns the status and the answer; 0 where the
// server was not there.
func (s *simulation) call(method, path string, body, into any) int {
	var text io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			s.model.fail("%v", err)
		}
		text = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, "http://127.0.0.1:8080/"+path, text)
	if err != nil {
		s.model.fail("%v", err)
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+s.service)
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close() //nolint:errcheck // read
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return 0
	}
	if into != nil && res.StatusCode < 300 {
		if err := json.Unmarshal(answer, into); err != nil {
			s.model.fail("%s %s: %v in %s", method, path, err, answer)
		}
	}
	if res.StatusCode >= 500 && res.StatusCode != http.StatusServiceUnavailable {
		s.model.fail("%s %s: %d %s", method, path, res.StatusCode, answer)
	}
	return res.StatusCode
}

// insist repeats a call that is idempotent until the server takes it.
func (s *simulation) insist(method, path string, body, into any) int {
	for {
		if status := s.call(method, path, body, into); status != 0 && status != http.StatusServiceUnavailable {
			return status
		}
		time.Sleep(time.Second)
	}
}

// isOpen: the kitchens cook from 10 to 23 o'clock.
func isOpen(at time.Time) bool { return at.Hour() >= 10 && at.Hour() < 23 }

// untilOpen sleeps through the night, but not past the end.
func (s *simulation) untilOpen() {
	for !isOpen(time.Now()) && !s.over() {
		time.Sleep(10 * time.Minute)
	}
}

// sell plays one shop's customers.
func (s *simulation) sell(shop int64, rng *rand.Rand) {
	var orders sync.WaitGroup
	for i := 0; ; i++ {
		mean := 12 * time.Minute
		if h := time.Now().Hour(); h == 12 || h == 18 || h == 19 {
			mean = 2 * time.Minute
		}
		time.Sleep(between(rng, 0, 2*mean))
		if s.untilOpen(); s.over() {
			break
		}
		own := rand.New(rand.NewPCG(rng.Uint64(), 6))
		orders.Go(func() { s.order(shop, fmt.Sprintf("D%d-%d", shop, i), own) })
	}
	orders.Wait()
}

// wechatRetries are the provider's, as far as a restart lasts.
var wechatRetries = []time.Duration{0, 15 * time.Second, 15 * time.Second, 30 * time.Second, 3 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute}

// order plays one customer's order: made, perhaps paid before it arrives, reminded of,
// cancelled.
func (s *simulation) order(shop int64, number string, rng *rand.Rand) {
	var made struct{ ID int64 }
	body := map[string]any{"number": number, "shopId": shop, "userId": 7, "amount": 1250}
	early := rng.IntN(20) == 0 // the callback overtakes the order
	if !early {
		s.insist("POST", "api/v1/orders", body, &made)
		time.Sleep(between(rng, time.Second, 2*time.Minute))
	}
	paid := make(chan struct{})
	go func() {
		s.pay(number)
		close(paid)
	}()
	if early {
		time.Sleep(between(rng, time.Second, time.Minute))
		s.insist("POST", "api/v1/orders", body, &made)
	}
	<-paid
	var last time.Time // when the last reminder rang, by the server's clock
	for sure, n := true, rng.IntN(4); sure && n > 0; n-- {
		time.Sleep(between(rng, time.Second, 3*time.Minute))
		last, sure = s.remind(made.ID, last)
	}
	if rng.IntN(15) == 0 {
		if status := s.insist("POST", fmt.Sprintf("api/v1/orders/%d/cancel", made.ID), nil, nil); status != http.StatusOK {
			s.model.fail("cancel order %d: %d", made.ID, status)
		}
		if status := s.call("POST", fmt.Sprintf("api/v1/orders/%d/reminders", made.ID), nil, nil); status != http.StatusConflict && status != 0 && status != 503 {
			s.model.fail("remind of a cancelled order: %d", status)
		}
	}
}

// pay sends the callback as WeChat Pay does, until it is taken; sometimes once
// more after that.
func (s *simulation) pay(number string) {
	for _, wait := range wechatRetries {
		time.Sleep(wait)
		c, err := s.platform.Sign(wechat.Notice{Content: s.platform.Payment(number, "T"+number, 1250)})
		if err != nil {
			s.model.fail("sign: %v", err)
			return
		}
		if s.notify(c) == nil {
			s.model.ack(number)
			if len(number)%3 == 0 && s.notify(c) != nil { // the answer was lost on its way
				continue
			}
			return
		}
	}
	s.model.fail("the callback for %s was never taken", number)
}

func (s *simulation) notify(c paysim.Callback) error {
	req, err := c.Request("http://127.0.0.1:8080/pay/wechat")
	if err != nil {
		return err
	}
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	return paysim.Answer(s.platform, res)
}

// remind holds the answer against the interval. It returns when the last one
// rang; not sure where the server did not say.
func (s *simulation) remind(order int64, last time.Time) (at time.Time, sure bool) {
	var alert struct{ Time time.Time }
	before := time.Now()
	status := s.call("POST", fmt.Sprintf("api/v1/orders/%d/reminders", order), nil, &alert)
	interval := s.cfg.Reminder.Interval
	switch status {
	case http.StatusAccepted:
		s.model.count(&s.model.reminders)
		if !last.IsZero() && alert.Time.Sub(last) < interval {
			s.model.fail("order %d rang %v after the last reminder", order, alert.Time.Sub(last))
		}
		return alert.Time, true
	case http.StatusTooManyRequests:
		s.model.count(&s.model.tooSoon)
		if last.IsZero() || before.Sub(last) >= interval+time.Second {
			s.model.fail("order %d: too soon, %v after the last reminder", order, before.Sub(last))
		}
	case 0, http.StatusServiceUnavailable:
		return last, false // it may have rung all the same
	default:
		s.model.fail("remind of order %d: %d", order, status)
	}
	return last, true
}

// audit holds the API against the model now and then, and another system
// brings in many alerts at once: more than a console's window holds.
func (s *simulation) audit(rng *rand.Rand) {
	for i := 0; !s.over(); i++ {
		time.Sleep(between(rng, 10*time.Minute, 90*time.Minute))
		s.auditShop(int64(1 + rng.IntN(3)))
		s.burst(int64(1+rng.IntN(3)), fmt.Sprint("B", i))
	}
}

func (s *simulation) burst(shop int64, name string) {
	for _, kind := range []int{2, 3} {
		for i := range 40 {
			body := map[string]any{"type": kind, "shopId": shop, "number": fmt.Sprintf("%s-%d", name, i)}
			if status := s.call("POST", "api/v1/alerts", body, nil); status != http.StatusCreated && status != 0 && status != http.StatusServiceUnavailable {
				s.model.fail("raise: %d", status)
			}
		}
	}
}

func (s *simulation) auditShop(shop int64) {
	type page struct {
		Alerts []struct{ Seq int64 }
		Cursor string
	}
	var open, all page
	if s.call("GET", fmt.Sprintf("api/v1/alerts?shop=%d&state=open&limit=500", shop), nil, &open) != http.StatusOK ||
		s.call("GET", fmt.Sprintf("api/v1/alerts?shop=%d&limit=500", shop), nil, &all) != http.StatusOK {
		return
	}
	cursor, err := doorbell.ParseCursor(open.Cursor)
	if err != nil {
		s.model.fail("%v", err)
		return
	}
	head := int64(cursor.Seqs[doorbell.ShopID(shop)])
	for range 120 { // the archivist hears of it in time
		if s.model.knows(shop, head) {
			break
		}
		time.Sleep(5 * time.Second)
	}
	if !s.model.knows(shop, head) {
		s.model.fail("shop %d is at %d and no console was shown all of that", shop, head)
		return
	}
	want, got := s.model.open(shop, head), map[int64]bool{}
	for _, a := range open.Alerts {
		got[a.Seq] = true
	}
	if fmt.Sprint(want) != fmt.Sprint(got) {
		s.model.fail("shop %d at %d: open are %v, want %v", shop, head, got, want)
	}
	for i, a := range all.Alerts {
		if i > 0 && a.Seq != all.Alerts[i-1].Seq-1 {
			s.model.fail("shop %d: the history goes from %d to %d", shop, all.Alerts[i-1].Seq, a.Seq)
		}
	}
	if n := len(all.Alerts); n > 0 && n < 500 && all.Alerts[n-1].Seq > 1 && !s.model.mayBePruned(shop, all.Alerts[n-1].Seq-1) {
		s.model.fail("shop %d: alert %d is gone before its time", shop, all.Alerts[n-1].Seq-1)
	}
	s.model.count(&s.model.audits)
}

// settle waits until the consoles have shown everything.
func (s *simulation) settle() {
	var heads struct {
		Alerts []struct{ Seq int64 }
	}
	for shop := int64(1); shop <= 3; shop++ {
		s.insist("GET", fmt.Sprintf("api/v1/alerts?shop=%d&limit=1", shop), nil, &heads)
		if len(heads.Alerts) == 0 {
			continue
		}
		for range 600 {
			if s.model.knows(shop, heads.Alerts[0].Seq) {
				break
			}
			time.Sleep(time.Second)
		}
	}
}
