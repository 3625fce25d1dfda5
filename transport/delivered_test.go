package transport

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"doorbell/internal/doorbell"
)

// TestDeliveries: an alert counts as delivered when it has left for a first console,
// once, and not before; what waits in a window has not.
func TestDeliveries(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		taken := func() string {
			var out []string
			for _, d := range h.TakeDeliveries() {
				out = append(out, fmt.Sprintf("%d:%d-%d", d.Shop, d.From, d.Upto))
			}
			slices.Sort(out)
			return strings.Join(out, " ")
		}
		want := func(what, want string) {
			t.Helper()
			synctest.Wait()
			if got := taken(); got != want {
				t.Errorf("%s: delivered %q, want %q", what, got, want)
			}
		}
		l.commit(1, 5)
		slow, slowSink := open(t, h, Subscription{Shops: []doorbell.ShopID{1}, Window: 10})
		quick, quickSink := open(t, h, Subscription{Shops: []doorbell.ShopID{1, 2}, Window: 10})
		slowSink.drain(slow)
		quickSink.drain(quick)
		want("before the first alert", "")
		h.Deliver(l.commit(1, 2))
		want("nothing was written yet", "")
		quickSink.drain(quick)
		want("the quick one has them", "1:6-7")
		slowSink.drain(slow)
		want("the slow one comes later", "")
		h.Deliver(append(l.commit(1, 1), l.commit(2, 1)...))
		quickSink.drain(quick)
		slowSink.drain(slow)
		want("two shops", "1:8-8 2:1-1")
		orders, ordersSink := open(t, h, Subscription{Shops: []doorbell.ShopID{3}, Window: 10, Types: TypeSet(0).With(doorbell.NewOrder)})
		ordersSink.drain(orders)
		h.Deliver(l.commit(3, 1))
		ordersSink.drain(orders)
		want("a stream without reminders says nothing", "")
	})
}
