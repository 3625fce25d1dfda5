package ledger

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"doorbell/internal/doorbell"
	"doorbell/internal/store"
	"doorbell/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestLedgerModel: random days are in the ledger as the test's own ledger has them,
// and verify finds nothing in them.
func TestLedgerModel(t *testing.T) {
	for seed := range uint64(transporttest.Size(t, "DOORBELL_TEST_LEDGERS", 3)) {
		play(t, seed, func(h *history) {
			for shop, all := range h.sealed() {
				for _, day := range all {
					h.compare(shop, day)
				}
			}
			found, err := store.Verify(h.t.Context(), "sqlite://"+h.file)
			if len(found) > 0 || err != nil {
				h.t.Errorf("seed %d: verify found %v, %v", seed, found, err)
			}
		})
	}
}

// TestGrace: a day is sealed an hour after its end, and has what a console that was
// cut off tells until then.
func TestGrace(t *testing.T) {
	play(t, 5, func(h *history) {
		const shop = doorbell.ShopID(1)
		f := &fact{shop: shop, order: 77, number: "late", external: true}
		_, _, err := h.service.RaiseAlert(h.t.Context(), doorbell.Raise{Type: doorbell.NewOrder, Shop: shop, Number: f.number, OrderID: f.order}, doorbell.Key{Subject: "till"})
		h.must(err)
		h.note(f)
		_, err = h.service.AcceptAlert(h.t.Context(), shop, f.seq, "console:cook")
		h.must(err)
		d := doorbell.LedgerDay{Shop: shop, Begins: f.at}.Bound("", h.zones.Of(shop))
		look := func(after time.Duration, want bool) doorbell.LedgerDay {
			h.t.Helper()
			time.Sleep(time.Until(d.Ends.Add(after)))
			h.must(h.sealer().look(h.t.Context()))
			day, sealed, err := h.store.SealedDay(h.t.Context(), shop, d.Day)
			h.must(err)
			if sealed != want {
				h.t.Errorf("%v after its end the day is sealed: %v", after, sealed)
			}
			return day
		}
		look(40*time.Minute, false)
		h.must(h.service.Receive(h.t.Context(), doorbell.Receipt{Shop: shop, Seq: f.seq, Console: "c1", Stage: doorbell.Sounded, By: "tab"}))
		look(59*time.Minute, false)
		if day := look(61*time.Minute, true); len(day.Entries) != 1 || len(day.Entries[0].Why) > 0 {
			h.t.Errorf("the day, with what was told late, has %d entries that lack %v", len(day.Entries), day.Exceptions())
		}
	})
}

func (h *history) compare(shop doorbell.ShopID, day string) {
	d, sealed, err := h.store.SealedDay(h.t.Context(), shop, day)
	h.must(err)
	if !sealed {
		h.t.Errorf("%s of shop %d is not sealed", day, shop)
	}
	var want, got []string
	sum := counts{}
	for _, f := range h.facts {
		if f.shop == shop && f.at.In(h.zones.Of(shop)).Format(time.DateOnly) == day {
			want = append(want, f.String())
			sum.add(f)
		}
	}
	for _, e := range d.Entries {
		got = append(got, render(e))
	}
	if !slices.Equal(want, got) {
		h.t.Errorf("shop %d, %s:\n got %s\nwant %s", shop, day, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	s := d.Sum()
	if got := (counts{s.Paid, s.Heard, s.Accepted, s.Cancelled, s.External, s.Reminders}); got != sum || s.Alerted != s.Paid {
		h.t.Errorf("shop %d, %s: sum %+v, want %+v", shop, day, s, sum)
	}
}

// counts are a day in numbers.
type counts struct{ paid, heard, accepted, cancelled, external, reminders int }

func (c *counts) add(f *fact) {
	switch {
	case f.external:
		c.external++
		return
	case f.reminder:
		c.reminders++
		return
	}
	c.paid++
	if f.sounded {
		c.heard++
	}
	switch f.end {
	case doorbell.WasAccepted, doorbell.WasHandled:
		c.accepted++
	case doorbell.WasCancelled:
		c.cancelled++
	default:
	}
}
