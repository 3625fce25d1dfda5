package webhook

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
)

// TestTheClockIsSetBack by an hour: what waited to be sent is sent within
// seconds, once, and not in a hot loop where nobody takes it; an alert that nobody
// hears is told of when it has rung for its time, and once.
func TestTheClockIsSetBack(t *testing.T) {
	inBubble(t, []doorbell.Hook{{Name: "printer", Events: []doorbell.EventType{doorbell.OrderUnheard}}, {Name: "dead", Events: []doorbell.EventType{"none"}}}, func(b *bench, start func(string) context.CancelFunc) {
		b.to["dead"].answer = func(int) int { return 500 }
		before := doorbell.Instant(time.Now().Add(time.Hour)) // as it was called then
		err := b.store.Write(b.t.Context(), func(tx doorbell.Tx) error {
			for _, hook := range []string{"printer", "dead"} {
				if err := tx.Enqueue(doorbell.Outgoing{Hook: hook, Message: "m-" + hook, Event: "order.paid", Shop: 1, Body: []byte(`{}`), NextAt: before, CreatedAt: before}); err != nil {
					return err
				}
			}
			_, err := tx.Append(doorbell.Alert{Type: doorbell.NewOrder, OrderID: 7, Shop: 1, Number: "A-1", Source: doorbell.External, Content: "x", Time: before})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer start("one")()
		time.Sleep(2 * lookAtClock)
		synctest.Wait()
		if n := len(b.to["printer"].received()); n != 1 {
			t.Errorf("%d messages of before are sent within %v, want 1", n, 2*lookAtClock)
		}
		tell := func(what string, want int) {
			t.Helper()
			if n, err := b.service.TellUnheard(b.t.Context(), time.Minute); err != nil || n != want {
				t.Errorf("%s: %d are told of, %v; want %d", what, n, err, want)
			}
		}
		tell("first seen", 0)
		time.Sleep(59 * time.Second)
		tell("not yet a minute", 0)
		time.Sleep(2 * time.Second)
		tell("a minute", 1)
		tell("again", 0)
		time.Sleep(2 * lookAtClock)
		synctest.Wait()
		if n := len(b.to["printer"].received()); n != 2 {
			t.Errorf("the printer was told %d times, want of the order and that nobody heard", n)
		}
		if n := len(b.to["dead"].received()); n < 3 || n > fewSteps+1 {
			t.Errorf("who takes nothing was asked %d times in 80 s, want as often as the steps say", n)
		}
	})
}
