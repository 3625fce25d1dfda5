package transport

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"doorbell/internal/doorbell"
)

// Limits bound the open streams on this node; 0 is no limit. A poll counts while
// it waits.
type Limits struct {
	PerAddress int // of one client's address
	PerToken   int // of one token, including what was created from it
	PerShop    int // that follow one shop
}

// Bound names one of the limits.
type Bound string

// The limits, by the names of their settings.
const (
	PerAddress Bound = "connections_per_address"
	PerToken   Bound = "streams_per_token" //nolint:gosec // a setting's name
	PerShop    Bound = "streams_per_shop"
)

// CrowdedError refuses a stream above a limit.
type CrowdedError struct {
	Bound Bound
	Limit int
	Who   string // the address, the token's subject or the shop
}

func (e *CrowdedError) Error() string {
	return fmt.Sprintf("%s already has %d streams (limits.%s)", e.Who, e.Limit, e.Bound)
}

// seat records what a session was counted under, so that the same is released: its
// grant may change while it runs.
type seat struct{ address, holder string }

// room counts the seats in use. Each seat is released once.
type room struct {
	limits Limits

	mu        sync.Mutex // guards all below; entries are removed at 0
	addresses map[string]int
	holders   map[string]int
	shops     map[doorbell.ShopID]int
}

func newRoom(l Limits) *room {
	return &room{limits: l, addresses: map[string]int{}, holders: map[string]int{}, shops: map[doorbell.ShopID]int{}}
}

// take counts a subscription under all limits, or under none and returns an error.
func (r *room) take(sub Subscription) (seat, error) {
	s := seat{address: sub.Client, holder: sub.Grant.Holder()}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.address != "" && full(r.addresses[s.address], r.limits.PerAddress) {
		return s, &CrowdedError{PerAddress, r.limits.PerAddress, s.address}
	}
	if full(r.holders[s.holder], r.limits.PerToken) {
		return s, &CrowdedError{PerToken, r.limits.PerToken, sub.Grant.Subject}
	}
	for _, shop := range sub.Shops {
		if full(r.shops[shop], r.limits.PerShop) {
			return s, &CrowdedError{PerShop, r.limits.PerShop, fmt.Sprintf("shop %d", shop)}
		}
	}
	if s.address != "" {
		r.addresses[s.address]++
	}
	r.holders[s.holder]++
	for _, shop := range sub.Shops {
		r.shops[shop]++
	}
	return s, nil
}

func full(n, limit int) bool { return limit > 0 && n >= limit }

// give releases a seat.
func (r *room) give(s seat, shops []doorbell.ShopID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.address != "" {
		countOff(r.addresses, s.address)
	}
	countOff(r.holders, s.holder)
	for _, shop := range shops {
		countOff(r.shops, shop)
	}
}

func countOff[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// Seats returns the highest number of streams of any address, holder and shop.
func (h *Hub) Seats() (address, holder, shop int) {
	r := h.room
	r.mu.Lock()
	defer r.mu.Unlock()
	return most(r.addresses), most(r.holders), most(r.shops)
}

func most[K comparable](counts map[K]int) int {
	return slices.Max(append(slices.Collect(maps.Values(counts)), 0))
}
