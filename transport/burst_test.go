package transport

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"doorbell/internal/doorbell"
)

// TestBursts: a burst contains the same alerts, with the same cursors, as separate
// messages would.
func TestBursts(t *testing.T) {
	types := []doorbell.Type{doorbell.NewOrder, doorbell.Reminder, doorbell.TakenCare, doorbell.CalledOff}
	for _, c := range []struct {
		name string
		sub  Subscription
	}{
		{"one shop", Subscription{Shops: []doorbell.ShopID{7}}},
		{"one shop, cursors", Subscription{Shops: []doorbell.ShopID{7}, Cursors: true}},
		{"shops in no order, cursors", Subscription{Shops: []doorbell.ShopID{7, 1, 12}, Cursors: true}},
		{"some types", Subscription{Shops: []doorbell.ShopID{1, 7}, Cursors: true, Types: TypeSet(0).With(doorbell.TakenCare).With(doorbell.Reminder)}},
		{"plain", Subscription{Shops: []doorbell.ShopID{1, 7}, Plain: true}},
	} {
		for _, inRing := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, ring %v", c.name, inRing), func(t *testing.T) {
				inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
					if inRing {
						open(t, h, Subscription{Shops: []doorbell.ShopID{1, 7, 12}})
					}
					var all []doorbell.Alert
					for _, shop := range c.sub.Shops {
						l.commit(shop, 60)
						l.set(func() {
							for i := range l.logs[shop] {
								l.logs[shop][i].Type = types[i*i%len(types)]
							}
						})
						all = append(all, l.logs[shop]...)
					}
					if inRing {
						h.Deliver(all)
					}
					sub := c.sub
					sub.Start = FromOldest
					s, f := open(t, h, sub)
					f.drain(s)
					sub.Transport = Poll // polls get no bursts
					sub.Window = 500
					single, g := open(t, h, sub)
					if f.bursts == 0 {
						t.Error("no burst was sent")
					}
					compareStreams(t, c.sub, f.got, g.got)
					if s.Cursor().String() != single.Cursor().String() {
						t.Errorf("stands at %v, want %v", s.Cursor(), single.Cursor())
					}
				})
			})
		}
	}
}

// TestABurstCarriesNoMarkup: a plain client that is behind gets no markup either.
func TestABurstCarriesNoMarkup(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, l *fakeLog) {
		l.commit(1, 50)
		l.set(func() {
			for i := range l.logs[1] {
				l.logs[1][i].Content = "<img src=x onerror=alert(1)>"
			}
		})
		s, f := open(t, h, Subscription{Plain: true, Start: FromOldest})
		f.drain(s)
		wantSeqs(t, f, upTo(50))
		if f.bursts == 0 {
			t.Error("no burst was sent")
		}
		for _, m := range f.got {
			if bytes.IndexByte(m.Data, '<') >= 0 {
				t.Fatalf("sent %s", m.Data)
			}
		}
	})
}

// compareStreams compares each shop's alerts in got with those in want, and each
// cursor in got with the alerts before it.
func compareStreams(t *testing.T, sub Subscription, got, want []Message) {
	t.Helper()
	at := doorbell.Cursor{Epoch: "e1", Seqs: map[doorbell.ShopID]doorbell.Seq{}}
	for _, shop := range sub.Shops {
		at.Seqs[shop] = 0
	}
	byShop := func(ms []Message, each func(m Message, shop doorbell.ShopID, seq doorbell.Seq)) map[doorbell.ShopID][]string {
		out := map[doorbell.ShopID][]string{}
		for _, m := range ms {
			var a struct {
				Shop doorbell.ShopID `json:"shopId"`
				Seq  doorbell.Seq    `json:"seq"`
			}
			if err := json.Unmarshal(m.Data, &a); err != nil {
				t.Fatal(err)
			}
			if a.Shop != 0 {
				out[a.Shop] = append(out[a.Shop], string(m.Data))
				each(m, a.Shop, a.Seq)
			}
		}
		return out
	}
	right := byShop(want, func(Message, doorbell.ShopID, doorbell.Seq) {})
	for shop, list := range byShop(got, func(m Message, shop doorbell.ShopID, seq doorbell.Seq) {
		at.Seqs[shop] = seq
		if !sub.Cursors {
			if m.Cursor != "" {
				t.Errorf("cursor %q where none was asked for", m.Cursor)
			}
			return
		}
		c, err := doorbell.ParseCursor(m.Cursor)
		for other, seq := range at.Seqs { // an alert that is filtered out moves the cursor, too
			if err != nil || c.Seqs[other] < seq || sub.Types == 0 && c.Seqs[other] != seq {
				t.Errorf("cursor %s (%v), want %s", m.Cursor, err, at)
			}
		}
		if c.Seqs[shop] != seq {
			t.Errorf("cursor %s with alert %d of shop %d", m.Cursor, seq, shop)
		}
	}) {
		if !slices.Equal(list, right[shop]) {
			t.Errorf("shop %d: %d alerts, want %d:\n%v\nwant\n%v", shop, len(list), len(right[shop]), list, right[shop])
		}
	}
}

// TestCarried: each burst belongs to its message, however many are under way.
func TestCarried(t *testing.T) {
	var c Carried[string]
	queued := 0
	send := func(what string) {
		if what != "" {
			c.Add(queued, what)
		}
		queued++
	}
	var got []string
	written := func() {
		what, _ := c.Written()
		got = append(got, what)
		queued--
	}
	send("")
	send("a")
	send("b")
	written()
	send("c")
	send("")
	written()
	written()
	send("d")
	for range 3 {
		written()
	}
	send("e")
	written()
	if want := []string{"", "a", "b", "c", "", "d", "e"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
