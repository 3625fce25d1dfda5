package webhook

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"doorbell/internal/doorbell"
	"doorbell/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestStepsLastADay: as long as providers retry, and no step is shorter than
// the one before it.
func TestStepsLastADay(t *testing.T) {
	var sum time.Duration
	for _, d := range steps {
		sum += d
	}
	if sum < 23*time.Hour || sum > 26*time.Hour || !slices.IsSorted(steps) {
		t.Errorf("the steps take %v: %v; want about a day, rising", sum, steps)
	}
}

// TestEvents: what happens to an order is told, in order, once, and signed so
// that a receiver's own library takes it.
func TestEvents(t *testing.T) {
	hooks := []doorbell.Hook{
		{Name: "all"},
		{Name: "paid", Events: []doorbell.EventType{doorbell.OrderPaid}},
		{Name: "shop2", Shops: []doorbell.ShopID{2}},
	}
	inBubble(t, hooks, func(b *bench, start func(string) context.CancelFunc) {
		defer start("one")()
		o := b.order(1, "A-1")
		b.take(b.notice("A-1", doorbell.PaymentNotice, 99)) // held
		b.take(b.notice("A-1", doorbell.PaymentNotice, 99)) // and again
		b.take(b.notice("A-1", doorbell.PaymentNotice, 100))
		b.take(b.notice("A-1", doorbell.PaymentNotice, 100)) // twice
		if n, err := b.service.TellUnheard(b.t.Context(), time.Minute); err != nil || n != 0 {
			t.Errorf("unheard at once: %d, %v", n, err)
		}
		time.Sleep(2 * time.Minute)
		for range 2 {
			if _, err := b.service.TellUnheard(b.t.Context(), time.Minute); err != nil {
				t.Error(err)
			}
		}
		if _, err := b.service.AcceptOrder(b.t.Context(), o.ID, "cook"); err != nil {
			t.Error(err)
		}
		part := b.notice("A-1", doorbell.RefundNotice, 30)
		part.Transaction = "R-1"
		b.take(part)
		b.take(part) // twice
		b.take(b.notice("A-1", doorbell.RefundNotice, 70))
		b.order(2, "B-1")
		b.take(b.notice("B-1", doorbell.PaymentNotice, 100))
		elsewhere := b.notice("B-1", doorbell.PaymentNotice, 100)
		elsewhere.Number = "A-1" // shop 1's order, by shop 2's transaction
		b.take(elsewhere)
		time.Sleep(time.Minute)
		synctest.Wait()
		all := b.to["all"].received()
		var shop1 []message
		for _, m := range all {
			if m.told(t).Data["number"] != "B-1" {
				shop1 = append(shop1, m)
			}
		}
		want := []string{
			"payment.anomaly", "alert.created", "order.paid", "payment.anomaly", "order.unheard", "alert.created", "order.accepted",
			"order.refunded_in_part", "alert.created", "order.refunded",
		}
		if got := types(t, shop1); !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
		if got := types(t, b.to["paid"].received()); !slices.Equal(got, []string{"order.paid", "order.paid"}) {
			t.Errorf("the hook of payments was told %v", got)
		}
		if got := types(t, b.to["shop2"].received()); !slices.Equal(got, []string{"alert.created", "order.paid", "payment.anomaly"}) {
			t.Errorf("the hook of shop 2 was told %v", got)
		}
		for _, m := range b.to["shop2"].received() {
			if bytes.Contains(m.body, []byte("A-1")) {
				t.Errorf("the hook of shop 2 was told of shop 1's order: %s", m.body)
			}
		}
		verifier, err := standardwebhooks.NewWebhookRaw([]byte(strings.Repeat("h", 32)))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, m := range all {
			if err := verifier.VerifyIgnoringTimestamp(m.body, m.header); err != nil || seen[m.id] {
				t.Errorf("message %s: %v, seen before: %v", m.id, err, seen[m.id])
			}
			seen[m.id] = true
		}
		paid := b.to["paid"].received()[0].told(t).Data
		for key, want := range map[string]any{"number": "A-1", "amount": float64(100), "currency": "CNY", "transactionId": "T-A-1", "provider": "wechat", "shopId": float64(1)} {
			if paid[key] != want {
				t.Errorf("order.paid has %s %v, want %v", key, paid[key], want)
			}
		}
		if at, _ := paid["paidAt"].(string); !strings.HasSuffix(at, "Z") {
			t.Errorf("paidAt is %q", at)
		}
	})
}

// TestRetries: a receiver that is away gets everything when it is back, each
// message under its own id, with a time of its own; one that refuses for good
// is given up, told, and served by hand.
func TestRetries(t *testing.T) {
	inBubble(t, []doorbell.Hook{{Name: "printer", Events: []doorbell.EventType{doorbell.OrderPaid}}}, func(b *bench, start func(string) context.CancelFunc) {
		printer := b.to["printer"]
		stop := start("one")
		printer.answer = func(attempt int) int {
			if attempt < 4 {
				return []int{0, 500, 429, 302}[attempt%4]
			}
			return 200
		}
		for _, number := range []string{"A-1", "A-2", "A-3"} {
			b.order(1, number)
			b.take(b.notice(number, doorbell.PaymentNotice, 100))
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		count := map[string]int{}
		stamps := map[string]bool{}
		for _, m := range printer.received() {
			count[m.told(t).Data["number"].(string)]++
			stamps[m.id+m.header.Get("webhook-timestamp")] = true
		}
		for number, n := range count {
			if n != 4 {
				t.Errorf("%s was sent %d times, want 4", number, n)
			}
		}
		if len(count) != 3 || len(stamps) != 12 {
			t.Errorf("%d orders, %d times: want 3 and 12", len(count), len(stamps))
		}
		printer.answer = func(int) int { return 500 }
		b.order(1, "A-4")
		b.take(b.notice("A-4", doorbell.PaymentNotice, 100))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		given, err := b.store.Outgoing(b.t.Context(), store.OutgoingQuery{State: doorbell.GivenUp, Limit: 10})
		if err != nil || len(given) != 1 || given[0].Attempts != fewSteps+1 || given[0].LastError != "HTTP 500" {
			t.Fatalf("given up: %+v, %v; want one after %d attempts", given, err, fewSteps+1)
		}
		if !strings.Contains(b.logs.String(), "webhook given up") {
			t.Error("nobody was told that it was given up")
		}
		stop()
		printer.answer = func(int) int { return 200 }
		if n, err := b.store.SendAgain(b.t.Context(), 0); err != nil || n != 1 {
			t.Errorf("sent again: %d, %v", n, err)
		}
		defer start("two")()
		time.Sleep(time.Minute)
		synctest.Wait()
		last := printer.received()
		if waiting, givenUp, err := b.store.Backlog(b.t.Context()); err != nil || waiting+givenUp != 0 || last[len(last)-1].told(t).Data["number"] != "A-4" {
			t.Errorf("after the replay: %d wait, %d given up, %v", waiting, givenUp, err)
		}
	})
}

// TestSlowReceiverDelaysNobody: one hook hangs; the other is told at once.
func TestSlowReceiverDelaysNobody(t *testing.T) {
	hooks := []doorbell.Hook{{Name: "hangs", Events: []doorbell.EventType{doorbell.OrderPaid}}, {Name: "quick", Events: []doorbell.EventType{doorbell.OrderPaid}}}
	inBubble(t, hooks, func(b *bench, start func(string) context.CancelFunc) {
		b.to["hangs"].answer = func(int) int { time.Sleep(20 * time.Second); return 200 }
		defer start("one")()
		for _, number := range []string{"A-1", "A-2", "A-3"} {
			b.order(1, number)
			b.take(b.notice(number, doorbell.PaymentNotice, 100))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(b.to["quick"].received()); n != 3 {
			t.Errorf("the quick one was told of %d orders, want 3", n)
		}
		time.Sleep(time.Minute)
	})
}

// TestForwarded: a callback is passed on as it came, once, and nothing of it is
// kept after that.
func TestForwarded(t *testing.T) {
	inBubble(t, nil, func(b *bench, start func(string) context.CancelFunc) {
		backend := b.to[doorbell.ForwardHook]
		away := true
		backend.answer = func(int) int {
			if away {
				return 0
			}
			return 200
		}
		b.order(1, "A-1")
		n := b.notice("A-1", doorbell.PaymentNotice, 100)
		body := []byte("{\"resource\" :\t\"as it is\"}\n")
		n.Raw = &doorbell.RawCallback{Header: http.Header{"Wechatpay-Nonce": {"n"}, "Content-Type": {"application/json"}}, Body: body}
		defer start("one")()
		b.take(n)
		b.take(n)
		time.Sleep(time.Minute)
		backend.mu.Lock()
		away = false
		backend.got = nil
		backend.mu.Unlock()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		got := backend.received()
		if len(got) != 1 || !slices.Equal(got[0].body, body) || got[0].header.Get("Wechatpay-Nonce") != "n" || got[0].header.Get("webhook-id") != "" {
			t.Errorf("passed on: %+v; want the body and headers as they came, once", got)
		}
		if left, err := b.store.Outgoing(b.t.Context(), store.OutgoingQuery{Any: true, Limit: 10}); err != nil || len(left) != 0 {
			t.Errorf("kept: %+v, %v", left, err)
		}
	})
}

// TestOneNodeSends: of two nodes one sends; when it goes the other does.
func TestOneNodeSends(t *testing.T) {
	inBubble(t, []doorbell.Hook{{Name: "printer", Events: []doorbell.EventType{doorbell.OrderPaid}}}, func(b *bench, start func(string) context.CancelFunc) {
		stop := start("one")
		time.Sleep(time.Second)
		defer start("two")()
		for i, number := range []string{"A-1", "A-2"} {
			b.order(1, number)
			b.take(b.notice(number, doorbell.PaymentNotice, 100))
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := len(b.to["printer"].received()); n != i+1 {
				t.Errorf("%d messages after %s, want %d", n, number, i+1)
			}
			stop()
		}
	})
}
