package transport

import (
	"sync"
	"testing"
	"testing/synctest"

	"doorbell/internal/doorbell"
)

// TestFarBehindConsolesTakeTurns: one that missed much waits while others read on,
// and then gets all of it; one that missed a little, and what is live, wait for
// nobody.
func TestFarBehindConsolesTakeTurns(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		const missed = 2 * farBehind
		l.rewrite("e1", 1, missed, 1)
		for range cap(h.turns) {
			h.turns <- struct{}{} // others have all turns
		}
		s, err := h.Open(t.Context(), Subscription{Transport: WebSocket, Shops: []doorbell.ShopID{1}, Start: FromOldest})
		if err != nil {
			t.Fatal(err)
		}
		far := &fakeSink{}
		var running sync.WaitGroup
		running.Go(func() { s.Run(t.Context(), far) })
		synctest.Wait()
		if got := far.seqs(t); len(got) != 0 {
			t.Errorf("far behind, and not its turn: got %v", got)
		}
		cursor := doorbell.Cursor{Epoch: "e1", Seqs: map[doorbell.ShopID]doorbell.Seq{1: missed - farBehind/2}}
		a, near := open(t, h, Subscription{Start: FromCursor, Cursor: cursor})
		near.drain(a)
		h.Deliver(l.commit(1, 1))
		near.drain(a)
		if got := near.seqs(t); len(got) != farBehind/2+1 || got[len(got)-1] != missed+1 {
			t.Errorf("a little behind: got %d up to the live one, want %d", len(got), farBehind/2+1)
		}
		for range cap(h.turns) {
			<-h.turns
		}
		running.Wait()
		far.drain(s)
		wantSeqs(t, far, upTo(missed+1))
		s.Leave(t.Context(), 0, "test")
	})
}
