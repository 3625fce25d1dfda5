package transport

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// twoNodes runs two hubs over one log that can ask each other, in virtual time.
func twoNodes(t *testing.T, test func(t *testing.T, a, b *Hub, link *fakeBus)) {
	t.Helper()
	testrun.Bubble(t, func(t *testing.T) {
		l := newLog()
		buses := []*fakeBus{{follows: map[doorbell.ShopID]bool{}}, {follows: map[doorbell.ShopID]bool{}}}
		var hubs []*Hub
		for _, b := range buses {
			hubs = append(hubs, New(Options{Log: l, Logger: slog.New(slog.DiscardHandler), Heartbeat: 15 * time.Second, Bus: b}))
		}
		buses[0].others, buses[1].others = hubs[1:], hubs[:1]
		test(t, hubs[0], hubs[1], buses[0])
	})
}

func heldBy(subject, session string, shops ...doorbell.ShopID) Subscription {
	return Subscription{Shops: shops, Grant: doorbell.Grant{Subject: subject, Session: session}}
}

// TestAnnouncedOnAllNodes: an announcement reaches the consoles of every node
// once, and the count includes all nodes.
func TestAnnouncedOnAllNodes(t *testing.T) {
	twoNodes(t, func(t *testing.T, a, b *Hub, _ *fakeBus) {
		_, here := open(t, a, Subscription{Shops: []doorbell.ShopID{1}})
		_, there := open(t, b, Subscription{Shops: []doorbell.ShopID{1}})
		_, other := open(t, b, Subscription{Shops: []doorbell.ShopID{2}})
		if n := a.AnnounceToAll(t.Context(), "closing", []doorbell.ShopID{1}, false); n != 2 {
			t.Errorf("counted %d consoles, want 2", n)
		}
		for f, want := range map[*fakeSink]int{here: 1, there: 1, other: 0} {
			n := 0
			for _, name := range f.events(t) {
				if name == "announce" {
					n++
				}
			}
			if n != want {
				t.Errorf("%d announcements, want %d", n, want)
			}
		}
		if n := b.AnnounceToAll(t.Context(), "all", nil, false); n != 3 {
			t.Errorf("counted %d consoles of all shops, want 3", n)
		}
	})
}

// TestConsolesOfAllNodes: every node lists a shop's consoles, and each console may
// report to any node, for itself and for no other.
func TestConsolesOfAllNodes(t *testing.T) {
	twoNodes(t, func(t *testing.T, a, b *Hub, link *fakeBus) {
		first, _ := open(t, b, heldBy("tab", "s1", 1))
		time.Sleep(time.Second)
		open(t, a, heldBy("tab", "s2", 1))
		ctx, mine := t.Context(), doorbell.Grant{Subject: "tab", Session: "s1"}
		word := Hearing{Audible: true, Label: "Kitchen"}
		if known, err := a.SetHearingOfAny(ctx, first.ID(), mine, word); !known || err != nil {
			t.Errorf("a report to the wrong node: known %v, %v", known, err)
		}
		for _, foreign := range []doorbell.Grant{{Subject: "tab", Session: "s2"}, {Subject: "other"}} {
			if known, _ := a.SetHearingOfAny(ctx, first.ID(), foreign, Hearing{}); known {
				t.Errorf("%+v reported for another holder's console", foreign)
			}
			if known, _ := a.SendsAny(ctx, first.ID(), foreign, 1); known {
				t.Errorf("%+v sends receipts of another holder's console", foreign)
			}
		}
		if known, err := a.SendsAny(ctx, first.ID(), mine, 1); !known || err != nil {
			t.Errorf("a receipt at the wrong node: known %v, %v", known, err)
		}
		if known, _ := a.SendsAny(ctx, first.ID(), mine, 2); known {
			t.Error("a receipt of a shop that the console does not follow is accepted")
		}
		a.NoteReceiptOfAny(ctx, first.ID(), doorbell.Sounded, time.Now())
		list := a.ConsolesOfAll(ctx, 1)
		if len(list) != 2 || list[0].Console != first.ID() || list[0].Label != "Kitchen" || list[0].Audible == nil || !*list[0].Audible || list[0].LastReceipt.IsZero() {
			t.Errorf("consoles %+v, want both, the first with its label and its report", list)
		}
		link.down = errors.New("gone")
		if known, err := a.SetHearingOfAny(ctx, first.ID(), mine, word); known || !errors.Is(err, ErrNodesSilent) {
			t.Errorf("without the bus: known %v, %v; want ErrNodesSilent", known, err)
		}
		if list := a.ConsolesOfAll(ctx, 1); len(list) != 1 {
			t.Errorf("without the bus %d consoles, want this node's one", len(list))
		}
	})
}

// TestAPollOnAnotherNode: a polling console keeps its id, its label and its report
// from node to node, and is listed once; nobody can take another holder's id.
func TestAPollOnAnotherNode(t *testing.T) {
	twoNodes(t, func(t *testing.T, a, b *Hub, _ *fakeBus) {
		poll := func(h *Hub, subject, console string) string {
			t.Helper()
			sub := heldBy(subject, "", 1)
			sub.Transport, sub.Console = Poll, console
			s, err := h.Open(t.Context(), sub)
			if err != nil {
				t.Fatal(err)
			}
			s.Run(t.Context(), &fakeSink{})
			s.Leave(context.Background(), 0, "answered")
			return s.ID()
		}
		id := poll(a, "tab", "")
		if known, _ := a.SetHearingOfAny(t.Context(), id, doorbell.Grant{Subject: "tab"}, Hearing{Audible: true, Label: "Till"}); !known {
			t.Fatal("its report is not accepted")
		}
		for i, h := range []*Hub{b, a, a, b, b} {
			if got := poll(h, "tab", id); got != id {
				t.Fatalf("poll %d: console %s, want %s", i, got, id)
			}
			list := a.ConsolesOfAll(t.Context(), 1)
			if len(list) != 1 || list[0].Label != "Till" || list[0].Audible == nil {
				t.Fatalf("poll %d: consoles %+v, want one, with its label and report", i, list)
			}
		}
		if got := poll(a, "thief", id); got == id {
			t.Error("another subject took the console's id")
		}
		if list := a.ConsolesOfAll(t.Context(), 1); len(list) != 2 {
			t.Errorf("%d consoles, want both", len(list))
		}
		for _, h := range []*Hub{a, b} {
			h.forgetPolls(t.Context(), time.Now().Add(time.Hour))
			if h.lingers != 0 {
				t.Errorf("%d consoles that have left are counted", h.lingers)
			}
		}
	})
}

// TestAttentionOfAllNodes: a shop's attention is that of all nodes, whichever is
// asked: attended since the first console came, unattended since the last went.
func TestAttentionOfAllNodes(t *testing.T) {
	twoNodes(t, func(t *testing.T, a, b *Hub, link *fakeBus) {
		cook := doorbell.Grant{Subject: "cook"}
		begin := time.Now()
		want := func(what string, attentive, consoles, since int) {
			t.Helper()
			for name, h := range map[string]*Hub{"a": a, "b": b} {
				got := h.AttentionOfAll(t.Context(), 1)
				if got.Attentive != attentive || len(got.Consoles) != consoles || since >= 0 && got.Since.Sub(begin).Round(time.Second) != time.Duration(since)*time.Second {
					t.Errorf("%s, node %s: %d attentive of %d since %v; want %d of %d since %d s", what, name, got.Attentive, len(got.Consoles), got.Since.Sub(begin), attentive, consoles, since)
				}
			}
		}
		here, _ := open(t, a, Subscription{Grant: cook})
		there, _ := open(t, b, Subscription{Grant: cook})
		want("nobody has spoken", 0, 2, -1)
		time.Sleep(10 * time.Second)
		b.SetHearing(there.ID(), cook, Hearing{Audible: true})
		want("the other node's", 1, 2, 10)
		time.Sleep(10 * time.Second)
		a.SetHearing(here.ID(), cook, Hearing{Audible: true})
		want("both", 2, 2, 10)
		time.Sleep(10 * time.Second)
		b.SetHearing(there.ID(), cook, Hearing{})
		want("the first is muted", 1, 2, 20)
		time.Sleep(10 * time.Second)
		a.SetHearing(here.ID(), cook, Hearing{})
		want("both are", 0, 2, 40)
		link.down = errors.New("gone")
		if got := a.AttentionOfAll(t.Context(), 1); len(got.Consoles) != 1 {
			t.Errorf("without the bus %d consoles, want this node's one", len(got.Consoles))
		}
	})
}
