package transport

import (
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
)

// pollOnce opens a poll, runs it and leaves.
func pollOnce(t *testing.T, h *Hub, sub Subscription) string {
	t.Helper()
	sub.Transport, sub.Shops = Poll, []doorbell.ShopID{1}
	s, err := h.Open(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	s.Run(t.Context(), &fakeSink{})
	s.Leave(t.Context(), 0, "gone")
	return s.ID()
}

// TestConsolesThatCameAndWentAreBounded: a client that never sends its id creates
// a new console with each poll, whether it waits or only looks.
func TestConsolesThatCameAndWentAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, _ *fakeLog) {
		var last string
		for i := range 3 * maxLingering {
			last = pollOnce(t, h, Subscription{Unlisted: i%2 == 0})
		}
		if n, gone := len(h.consoles), len(h.gone.order); n > maxLingering || gone > maxGone || len(h.gone.byID) != gone {
			t.Errorf("%d listed, %d (%d) remembered; want at most %d and %d", n, gone, len(h.gone.byID), maxLingering, maxGone)
		}
		if !h.Sends(last, doorbell.Grant{}, 1) {
			t.Error("the last one is forgotten")
		}
		// Polls that send their id take no further place.
		for range maxLingering {
			last = pollOnce(t, h, Subscription{Console: last})
		}
		time.Sleep(goneLinger + pollLinger + 2*time.Second)
		synctest.Wait()
		if h.lingers != 0 || len(h.consoles) != 0 || h.Sends(last, doorbell.Grant{}, 1) {
			t.Errorf("after %v: %d linger, %d listed; want none, and the last one forgotten", goneLinger, h.lingers, len(h.consoles))
		}
	})
}
