package store

import (
	"testing"
	"time"

	"doorbell/internal/doorbell"
)

// TestTheServersClockCounts: two nodes whose clocks are an hour apart agree on the
// time of what they store: a ticket that one made for a minute is good on the
// other, and no longer than that.
func TestTheServersClockCounts(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		url := db.url(t)
		var nodes []*Store
		for _, off := range []time.Duration{-time.Hour, 0, time.Hour} {
			s, err := Open(t.Context(), Options{URL: url, clock: func() time.Time { return time.Now().Add(off) }})
			if err != nil {
				t.Fatal(err)
			}
			start(t, s)
			if left := time.Since(s.Now()).Abs(); left > 5*time.Second {
				t.Errorf("a machine that is %v off takes the time as %v off", off, left)
			}
			if want := -off; s.Ahead().Round(10*time.Second) != want {
				t.Errorf("a machine that is %v off sees the shared clock %v ahead, want %v", off, s.Ahead(), want)
			}
			nodes = append(nodes, s)
		}
		for i, from := range nodes {
			to := nodes[(i+1)%len(nodes)]
			for name, good := range map[string]bool{"minute": true, "over": false} {
				ticket := doorbell.Ticket{ID: name + string(rune('a'+i)), Grant: doorbell.Grant{Subject: "s", Role: doorbell.RoleConsole, Shops: doorbell.ShopSet{List: []doorbell.ShopID{1}}}, Expires: doorbell.Instant(from.Now()).Add(time.Minute)}
				if !good {
					ticket.Expires = ticket.Expires.Add(-2 * time.Minute)
				}
				if err := from.SaveTicket(t.Context(), ticket); err != nil {
					t.Fatal(err)
				}
				if _, err := to.SpendTicket(t.Context(), ticket.ID); (err == nil) != good {
					t.Errorf("node %d's ticket %q on the next node: %v", i, name, err)
				}
			}
		}
	})
}
