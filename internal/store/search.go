package store

import (
	"context"
	"sync"
	"time"

	"doorbell/internal/doorbell"
)

const (
	// searchTime bounds a search, the wait for its turn included. A search by text,
	// type or day reads a shop's whole log if nothing matches.
	searchTime = 3 * time.Second
	// maxSearches bounds concurrent searches: of four reading connections, two are
	// left for consoles and audits.
	maxSearches = 2
)

// searches limits concurrent searches to one per shop and maxSearches in all.
type searches struct {
	limit time.Duration
	room  chan struct{}

	mu   sync.Mutex
	busy map[doorbell.ShopID]chan struct{} // channels close when the shop's search ends
}

func newSearches() *searches {
	return &searches{limit: searchTime, room: make(chan struct{}, maxSearches), busy: map[doorbell.ShopID]chan struct{}{}}
}

// run waits for the search's turn and calls search with a context that ends in
// time.
func (s *searches) run(ctx context.Context, shop doorbell.ShopID, search func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	err := s.enter(bounded, shop)
	if err == nil {
		err = search(bounded)
		s.leave(shop)
	}
	end, _ := bounded.Deadline()
	// A connection that the deadline closed may report that before the context does.
	if late := bounded.Err() != nil || !time.Now().Before(end); err != nil && late && ctx.Err() == nil {
		e := doorbell.Refuse(doorbell.Unavailable, "Looking through the shop's log took longer than %v and was stopped; ask for less of it (before, after, a later day).",
			"查找门店日志超过 %v，已停止；请缩小范围（before、after 或更近的日期）。", s.limit).Because(err)
		e.RetryAfter = s.limit
		return e
	}
	return err
}

// enter waits for the shop's turn, and then for a free place.
func (s *searches) enter(ctx context.Context, shop doorbell.ShopID) error {
	for {
		s.mu.Lock()
		other := s.busy[shop]
		if other == nil {
			s.busy[shop] = make(chan struct{})
			s.mu.Unlock()
			break
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case s.room <- struct{}{}:
		return nil
	case <-ctx.Done():
		s.done(shop)
		return ctx.Err()
	}
}

func (s *searches) leave(shop doorbell.ShopID) {
	<-s.room
	s.done(shop)
}

func (s *searches) done(shop doorbell.ShopID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.busy[shop])
	delete(s.busy, shop)
}
