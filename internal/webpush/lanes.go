package webpush

import (
	"context"
	"net/url"
	"slices"
	"time"

	"doorbell/internal/doorbell"
)

// job is one alert for one browser.
type job struct {
	to      doorbell.Push
	alert   doorbell.Alert
	service string // whose browser it is
	made    time.Time
	attempt int       // how many were made
	due     time.Time // of the next one, where there was one
}

// outcome is what became of an attempt.
type outcome struct {
	job
	again time.Duration // how long to wait for the next attempt; 0: none
}

const (
	// perShop bounds the pushes of one shop that are under way at the same time,
	// perService those to one push service: a service that takes none (one is out
	// of reach from China) holds each for sendTimeout.
	perShop    = 4
	perService = workers / 2
	// maxJobs bounds what waits to be pushed, some 10 MiB.
	maxJobs = 8192
)

// lanes is what waits to be pushed: a queue for each shop, served in turn, and
// beside them what waits for another attempt. Owned by Sender.deal.
type lanes struct {
	shops   map[doorbell.ShopID][]job
	turn    []doorbell.ShopID // those that wait, the next one first
	later   []job
	waiting int // jobs in all of them
	shop    map[doorbell.ShopID]int
	service map[string]int
}

func newLanes() *lanes {
	return &lanes{shops: map[doorbell.ShopID][]job{}, shop: map[doorbell.ShopID]int{}, service: map[string]int{}}
}

// add reports false where there is no room.
func (l *lanes) add(j job) bool {
	if l.waiting >= maxJobs {
		return false
	}
	l.waiting++
	l.queue(j)
	return true
}

func (l *lanes) queue(j job) {
	shop := j.to.Shop
	if len(l.shops[shop]) == 0 {
		l.turn = append(l.turn, shop)
	}
	l.shops[shop] = append(l.shops[shop], j)
}

// next takes the next job whose shop and service have room, and gives the other
// shops their turn before the same one again.
func (l *lanes) next() (job, bool) {
	for i, shop := range l.turn {
		if l.shop[shop] >= perShop {
			continue
		}
		for k, j := range l.shops[shop] {
			if l.service[j.service] >= perService {
				continue
			}
			l.take(i, shop, k)
			l.shop[shop]++
			l.service[j.service]++
			return j, true
		}
	}
	return job{}, false
}

// take removes the k-th job of a shop, and puts the shop last.
func (l *lanes) take(i int, shop doorbell.ShopID, k int) {
	l.waiting--
	l.turn = slices.Delete(l.turn, i, i+1)
	left := slices.Delete(l.shops[shop], k, k+1)
	if len(left) == 0 {
		delete(l.shops, shop)
		return
	}
	l.shops[shop] = left
	l.turn = append(l.turn, shop)
}

// back notes the end of an attempt; it reports false where the next one finds no
// room.
func (l *lanes) back(o outcome, now time.Time) bool {
	less(l.shop, o.to.Shop)
	less(l.service, o.service)
	if o.again == 0 {
		return true
	}
	if l.waiting >= maxJobs {
		return false
	}
	o.due = now.Add(o.again)
	o.attempt++
	l.waiting++
	l.later = append(l.later, o.job)
	return true
}

func less[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}

// wake queues what has waited long enough, and returns how long until there is
// more.
func (l *lanes) wake(now time.Time) (next time.Duration) {
	next = time.Hour
	kept := l.later[:0]
	for _, j := range l.later {
		if wait := j.due.Sub(now); wait > 0 {
			kept = append(kept, j)
			next = min(next, wait)
		} else {
			l.queue(j)
		}
	}
	clear(l.later[len(kept):])
	l.later = kept
	return next
}

// deal hands jobs to the workers until ctx ends. No more are handed out than
// there are workers, so that handing one out never blocks.
func (s *Sender) deal(ctx context.Context) {
	l := newLanes()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for running := 0; ; {
		timer.Reset(l.wake(time.Now()))
		for running < workers {
			j, found := l.next()
			if !found {
				break
			}
			running++
			s.work <- j
		}
		select {
		case jobs := <-s.due:
			for _, j := range jobs {
				if !l.add(j) {
					s.dropped.Add(1)
				}
			}
		case o := <-s.done:
			running--
			if !l.back(o, time.Now()) {
				s.dropped.Add(1)
			}
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// host returns what of an endpoint may stand in a log: its path is a right.
func host(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
