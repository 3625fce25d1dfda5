package store

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// TestSearchesTakeTurns: one search at a time per shop, maxSearches in all; a
// search that takes too long is stopped, together with the one that waits for it.
func TestSearchesTakeTurns(t *testing.T) {
	testrun.Bubble(t, func(t *testing.T) {
		s := newSearches()
		var inAll, most atomic.Int64
		perShop := [4]atomic.Int64{}
		done := make(chan error, 40)
		for i := range 40 {
			shop := doorbell.ShopID(i % len(perShop))
			go func() {
				done <- s.run(t.Context(), shop, func(context.Context) error {
					if n := perShop[shop].Add(1); n != 1 {
						t.Errorf("%d searches of shop %d at once", n, shop)
					}
					most.Store(max(most.Load(), inAll.Add(1)))
					time.Sleep(10 * time.Millisecond)
					inAll.Add(-1)
					perShop[shop].Add(-1)
					return nil
				})
			}()
		}
		for range 40 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if most.Load() != maxSearches || len(s.busy) != 0 || len(s.room) != 0 {
			t.Errorf("%d at once, %d shops and %d places still taken; want %d, none, none", most.Load(), len(s.busy), len(s.room), maxSearches)
		}
		start := time.Now()
		for range 2 {
			go func() {
				done <- s.run(t.Context(), 1, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			}()
		}
		for range 2 {
			if err := <-done; doorbell.CodeOf(err) != doorbell.Unavailable {
				t.Errorf("a search that takes too long: %v", err)
			}
		}
		if took := time.Since(start); took != searchTime || len(s.busy) != 0 || len(s.room) != 0 {
			t.Errorf("stopped after %v, %d shops and %d places still taken; want %v, none, none", took, len(s.busy), len(s.room), searchTime)
		}
	})
}

// TestASearchIsStopped: the database itself stops the search, and the connection
// can be used afterwards.
func TestASearchIsStopped(t *testing.T) { onAll(t, testASearchIsStopped) }

func testASearchIsStopped(t *testing.T, db database) {
	s := db.open(t, nil)
	err := s.run(t.Context(), `insert into alerts (shop_id, seq, type, source, order_id, number, content, test, actor, created_at, ringing)
		select 1, i, 1, 'external', i, '', '`+strings.Repeat("x", 100)+`', 0, '', i, 0 from `+numbers+` where i <= 60000`)
	if err != nil {
		t.Fatal(err)
	}
	// The servers do this by themselves some time after so many new rows.
	if analyze := map[string]string{"postgres": `analyze alerts`, "mysql": `analyze table alerts`}[db.name]; analyze != "" {
		if err := s.run(t.Context(), analyze); err != nil {
			t.Fatal(err)
		}
	}
	alerts := func(q doorbell.AlertQuery) func() (int, error) {
		return func() (int, error) {
			page, err := s.Alerts(t.Context(), q)
			return len(page.Alerts), err
		}
	}
	day := func(from time.Time) func() (int, error) {
		return func() (int, error) {
			timings, err := s.Timings(t.Context(), 1, from, from.AddDate(0, 0, 1))
			return len(timings), err
		}
	}
	for name, look := range map[string]func() (int, error){
		"a text":       alerts(doorbell.AlertQuery{Shop: 1, Search: "nothing that there is", Limit: 50}),
		"a type":       alerts(doorbell.AlertQuery{Shop: 1, Type: doorbell.CalledOff, Limit: 50}),
		"an early day": day(time.UnixMilli(0).AddDate(0, 0, -1)),
	} {
		s.searches.limit = time.Millisecond
		for range 2 * readers {
			if _, err := look(); doorbell.CodeOf(err) != doorbell.Unavailable {
				t.Errorf("looking for %s through 60,000 alerts in 1 ms: %v", name, err)
			}
		}
		s.searches.limit = time.Minute
		if n, err := look(); err != nil || n != 0 {
			t.Errorf("%s, with time enough: %d found, %v", name, n, err)
		}
	}
	// The least that each has taken so far. A busy machine delays the condition; a busy
	// moment does not fulfil it, because both are looked at ten times before.
	today, early := time.Hour, time.Hour
	took := func(look func() (int, error), best *time.Duration) {
		start := time.Now()
		if _, err := look(); err != nil {
			t.Error(err)
		}
		*best = min(*best, time.Since(start))
	}
	testrun.Eventually(t, "today's figures take a tenth of the time of a day before the whole log", func() bool {
		for range 10 {
			took(day(time.Now()), &today)
			took(day(time.UnixMilli(0).AddDate(0, 0, -1)), &early)
		}
		return today < early/10
	})
	t.Logf("today's figures take %v, those of a day before the whole log %v", today, early)
}

// TestListsArePreparedInAFewShapes: lists of all lengths use few statements. With
// one per length, SQLite kept each of them on every connection.
func TestListsArePreparedInAFewShapes(t *testing.T) { onAll(t, testListsArePreparedInAFewShapes) }

func testListsArePreparedInAFewShapes(t *testing.T, db database) {
	s := db.open(t, nil)
	if err := s.run(t.Context(), `insert into shop_heads (shop_id, last_seq) select i, i * 10 from `+numbers+` where i <= 500`); err != nil {
		t.Fatal(err)
	}
	var shops []doorbell.ShopID
	if _, _, err := s.Positions(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 500; n++ {
		shops = append(shops, doorbell.ShopID(n))
		if n > 66 && n%50 != 0 {
			continue
		}
		_, at, err := s.Positions(t.Context(), shops)
		if err != nil || len(at) != n {
			t.Fatalf("%d shops: %d positions, %v", n, len(at), err)
		}
		for _, shop := range shops {
			if at[shop].Head != doorbell.Seq(shop)*10 {
				t.Fatalf("%d shops: shop %d is at %+v", n, shop, at[shop])
			}
		}
	}
	lists := 0
	for query := range s.reads.stmts {
		if strings.Contains(query, "shop_heads h where h.shop_id in (") {
			lists++
		}
	}
	if lists != 11 { // none, 1, 2, 4 … 512
		t.Errorf("%d statements for lists of 0 to 500 shops, want 11", lists)
	}
}
