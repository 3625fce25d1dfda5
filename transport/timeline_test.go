package transport

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
)

// contents returns the texts of the alerts that were sent; fakeLog gives each
// alert its own.
func (f *fakeSink) contents(t *testing.T) (out []string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.got {
		if m.Event == "" {
			var a struct{ Content string }
			if err := json.Unmarshal(m.Data, &a); err != nil {
				t.Fatal(err)
			}
			out = append(out, a.Content)
		}
	}
	return out
}

// TestALogThatGrewPastItsOldHead: a log that lost its tail and grew again looks
// like one that just grew. In whatever order the new alerts come, a console gets a
// reset before it silently misses an alert.
func TestALogThatGrewPastItsOldHead(t *testing.T) {
	for _, c := range []struct {
		name    string
		deliver func(h *Hub, grown []doorbell.Alert)
	}{
		{"found by the audit", func(*Hub, []doorbell.Alert) {}},
		{"heard from its node", func(h *Hub, grown []doorbell.Alert) { h.Deliver(grown) }},
		{"only the last one heard", func(h *Hub, grown []doorbell.Alert) { h.Deliver(grown[3:]) }},
		{"only those of known numbers heard", func(h *Hub, grown []doorbell.Alert) { h.Deliver(grown[:3]) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
				s, f := open(t, h, Subscription{})
				time.Sleep(auditEvery / 2) // between two audits
				h.Deliver(l.commit(1, 10))
				f.drain(s)
				l.cut(1, 7)
				c.deliver(h, l.commit(1, 4)) // 8' 9' 10' 11'
				time.Sleep(3 * auditEvery)
				synctest.Wait()
				f.drain(s)
				if got := f.events(t); !slices.Equal(got, []string{"hello", "reset"}) {
					t.Fatalf("events %v, want one reset; sent %v", got, f.contents(t))
				}
				if got := f.contents(t); len(got) > 10 {
					t.Errorf("sent %v before the reset, from two timelines", got)
				}
				if at := s.Cursor(); at.Epoch != "e1x" || at.Seqs[1] != 11 {
					t.Errorf("goes on from %s, want e1x.1:11", at)
				}
				h.Deliver(l.commit(1, 1))
				f.drain(s)
				if got := f.seqs(t); got[len(got)-1] != 12 {
					t.Errorf("sent %v, want 12 after the reset", got)
				}
			})
		})
	}
}

// TestALogOfTheSameLengthGrewBack: the head has the same number as before.
func TestALogOfTheSameLengthGrewBack(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		s, f := open(t, h, Subscription{})
		h.Deliver(l.commit(1, 10))
		f.drain(s)
		l.cut(1, 7)
		l.commit(1, 3)
		time.Sleep(2 * auditEvery)
		synctest.Wait()
		f.drain(s)
		if got := f.events(t); !slices.Equal(got, []string{"hello", "reset"}) {
			t.Errorf("events %v, want a reset", got)
		}
	})
}

// TestALateMessageOfALostTail: a message that a node sent before the log went
// back, and that arrives later, takes no seq of the new log, whether the alert
// before it survived or not.
func TestALateMessageOfALostTail(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		s, f := open(t, h, Subscription{})
		h.Deliver(l.commit(1, 7))
		f.drain(s)
		late := l.commit(1, 3) // 8 9 10, still under way
		l.cut(1, 7)
		l.set(func() { l.epoch = "e2" }) // another node has noticed
		time.Sleep(2 * auditEvery)
		synctest.Wait()
		h.Deliver(late)
		f.drain(s)
		h.Deliver(l.commit(1, 2))
		time.Sleep(2 * auditEvery)
		synctest.Wait()
		f.drain(s)
		want := []string{"1", "2", "3", "4", "5", "6", "7", "11", "12"}
		if got := f.contents(t); !slices.Equal(got, want) {
			t.Errorf("sent %v, want %v", got, want)
		}
	})
}

// TestALateMessageBeforeAnybodyNoticed: the same while no node knows of the loss:
// a reset follows what was shown of the lost tail.
func TestALateMessageBeforeAnybodyNoticed(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		l.commit(1, 7)
		late := l.commit(1, 1)
		l.cut(1, 7)
		s, f := open(t, h, Subscription{}) // a node that does not know of it
		time.Sleep(auditEvery / 2)
		h.Deliver(late)
		h.Deliver(l.commit(1, 1)) // takes 8 as well
		time.Sleep(2 * auditEvery)
		synctest.Wait()
		f.drain(s)
		if got := f.events(t); !slices.Equal(got, []string{"hello", "reset"}) {
			t.Errorf("events %v after %v, want a reset", got, f.contents(t))
		}
	})
}

// cutUnderRead is a log that goes back and gets a new epoch while a console's read
// is under way.
type cutUnderRead struct {
	*fakeLog
	armed bool
	cut   func()
}

func (l *cutUnderRead) AlertsAfter(ctx context.Context, shop doorbell.ShopID, after doorbell.Seq, limit int) ([]doorbell.Alert, error) {
	out, err := l.fakeLog.AlertsAfter(ctx, shop, after, limit)
	if l.armed {
		l.armed = false
		l.cut()
	}
	return out, err
}

// TestAReadOfALostTail: what a console's read returns after its session moved to a
// new epoch is dropped, even if its numbers follow the new head.
func TestAReadOfALostTail(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		l.commit(1, 200)
		cutting := &cutUnderRead{fakeLog: l}
		h.log = cutting
		cutting.cut = func() {
			l.cut(1, 100+Window-1)
			l.set(func() { l.epoch = "e2" })
			h.AuditNow()
			time.Sleep(5 * auditEvery)
		}
		cutting.armed = true // its first page: 97 to 128
		s, f := open(t, h, Subscription{Start: FromCursor, Cursor: doorbell.Cursor{Epoch: "e1", Seqs: map[doorbell.ShopID]doorbell.Seq{1: 100}}})
		f.drain(s)
		time.Sleep(2 * auditEvery)
		synctest.Wait()
		f.drain(s)
		h.Deliver(l.commit(1, 1))
		f.drain(s)
		got := f.contents(t)
		if last := got[len(got)-1]; last != "201" || slices.Contains(got, "110") {
			t.Errorf("sent %v, want 201 after the reset and nothing of the lost tail", got)
		}
	})
}

// TestALostTailThatNobodyFollowed: no console here follows the shop whose alerts
// are lost; one comes back when the log has grown again, and gets a reset.
func TestALostTailThatNobodyFollowed(t *testing.T) {
	for _, c := range []struct {
		name       string
		left, grow int
		want       []string
	}{
		{"nothing was lost", 10, 3, []string{"hello"}},
		{"shorter", 7, 1, []string{"hello", "reset"}},
		{"as long as it was", 7, 3, []string{"hello", "reset"}},
		{"longer", 7, 5, []string{"hello", "reset"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
				h.Deliver(l.commit(9, 10))
				for shop := range doorbell.ShopID(3 * maxWitnesses / 4) { // other shops commit, too
					h.Deliver(l.commit(20+shop, 2))
				}
				time.Sleep(2 * auditEvery)
				l.cut(9, c.left)
				l.commit(9, c.grow) // by another node
				time.Sleep(2 * auditEvery)
				s, f := open(t, h, Subscription{Shops: []doorbell.ShopID{9}, Start: FromCursor, Cursor: doorbell.Cursor{Epoch: "e1", Seqs: map[doorbell.ShopID]doorbell.Seq{9: 8}}})
				f.drain(s)
				if got := f.events(t); !slices.Equal(got, c.want) {
					t.Errorf("events %v, want %v; sent %v", got, c.want, f.seqs(t))
				}
			})
		})
	}
}

// TestWitnessesArePrunedAndBounded: a pruned alert does not count as lost, and the
// latest commits are kept, however many shops there are.
func TestWitnessesArePrunedAndBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		for shop := range doorbell.ShopID(1000) {
			h.Deliver(l.commit(1+shop, 2))
		}
		if got := h.unfollowed(); len(got) != maxWitnesses || got[maxWitnesses-1].shop != 1000 {
			t.Errorf("%d witnesses, the last of shop %d; want %d, the last of 1000", len(got), got[len(got)-1].shop, maxWitnesses)
		}
		l.commit(1000, 1)
		l.set(func() { l.first[1000] = 3 })
		time.Sleep(3 * auditEvery)
		if epoch, _ := h.epochKnown(); epoch != "e1" {
			t.Errorf("epoch %s after pruning, want e1", epoch)
		}
	})
}
