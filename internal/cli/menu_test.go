package cli

import (
	"math/rand/v2"
	"testing"

	"doorbell/internal/doorbell"
)

// TestOrderedIsTaken: whatever the simulator makes up, the API takes, and both
// languages have dishes, notes, tables and pickups.
func TestOrderedIsTaken(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for language := range menus {
		var notes, tables, pickups int
		for range 1000 {
			d := ordered(language, rng.IntN)
			o := doorbell.Order{Number: "1", Shop: 1, Money: doorbell.Money{Currency: "CNY"}, Detail: d}
			if err := o.Check(); err != nil {
				t.Fatalf("%+v: %v", d, err)
			}
			seen := map[string]bool{}
			for _, line := range d.Lines {
				seen[line] = true
			}
			if len(d.Lines) == 0 || len(seen) != len(d.Lines) || (d.Table == "") == (d.Pickup == "") {
				t.Fatalf("%+v: want different dishes, and either a table or a pickup", d)
			}
			for n, told := range map[*int]string{&notes: d.Note, &tables: d.Table, &pickups: d.Pickup} {
				if told != "" {
					*n++
				}
			}
		}
		if notes == 0 || tables == 0 || pickups == 0 {
			t.Errorf("%s: %d notes, %d tables, %d pickups; want some of each", language, notes, tables, pickups)
		}
	}
}
