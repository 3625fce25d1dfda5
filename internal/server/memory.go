package server

import (
	"context"
	"time"
)

const (
	// crowd is how many consoles have to come or go for it to be worth the
	// while, and calm how long nobody may have done so.
	crowd = 500
	calm  = time.Second
)

// giveBack returns memory to the system when a crowd has come or gone: what a
// storm of handshakes took would stay in the process for minutes. The collector
// itself is left as it is: with GOGC=50 a console took 1 KiB less, and half as
// many deliveries a second went out.
func giveBack(ctx context.Context, consoles func() int, free func()) error {
	tick := time.NewTicker(calm)
	defer tick.Stop()
	last, given := 0, 0
	for {
		select {
		case <-tick.C:
			n := consoles()
			if apart(n, given) >= crowd && apart(n, last) < crowd/100 {
				free()
				given = n
			}
			last = n
		case <-ctx.Done():
			return nil
		}
	}
}

func apart(a, b int) int { return max(a-b, b-a) }
