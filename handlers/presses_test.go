package handlers_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"doorbell/handlers"
	"doorbell/internal/doorbell"
	"doorbell/internal/store"
)

// lanes records which lane each change of the service took.
type lanes struct {
	*store.Store
	mu    sync.Mutex
	taken []string
}

func (l *lanes) note(lane string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = append(l.taken, lane)
}

func (l *lanes) Write(ctx context.Context, change func(doorbell.Tx) error) error {
	l.note("api")
	return l.Store.Write(ctx, change)
}

func (l *lanes) WritePress(ctx context.Context, change func(doorbell.Tx) error) error {
	l.note("press")
	return l.Store.WritePress(ctx, change)
}

// TestAPressHasALaneOfItsOwn: a press on a console does not wait behind a flood of
// API calls; a service that accepts counts as an API call.
func TestAPressHasALaneOfItsOwn(t *testing.T) {
	texts, err := doorbell.ParseTexts(map[doorbell.Type]string{1: "{{.Number}}", 2: "{{.Number}}", 3: "{{.Number}}", 4: "{{.Number}}"})
	if err != nil {
		t.Fatal(err)
	}
	whole := newServer(t)
	l := &lanes{Store: whole.Store}
	watched := doorbell.NewService(l, doorbell.Rules{Texts: texts}, slog.New(slog.DiscardHandler))
	s := newEdge(t, handlers.Options{API: handlers.API{Orders: watched, Alerts: watched}})
	console, service := s.token(doorbell.RoleConsole, "till", 1), s.token(doorbell.RoleService, "orders", 1)
	for i, c := range []struct {
		name, token, path, lane string
	}{
		{"an alert, on a console", console, "alerts/1/1/accept", "press"},
		{"an order, on a console", console, "orders/2/accept", "press"},
		{"an order, by a service", service, "orders/3/accept", "api"},
	} {
		number := fmt.Sprintf("A-%d", i+1)
		if _, _, err := whole.Service.CreateOrder(t.Context(), doorbell.Order{Number: number, Shop: 1, Money: doorbell.Money{Minor: 100, Currency: "CNY"}}); err != nil {
			t.Fatal(err)
		}
		whole.take("", "t-"+number, number, 100, doorbell.Settled)
		l.taken = nil
		s.as(c.token, "POST", "api/v1/"+c.path, "{}").want(t, c.name, 200, "")
		if !slices.Equal(l.taken, []string{c.lane}) {
			t.Errorf("%s took the lanes %v, want %s", c.name, l.taken, c.lane)
		}
	}
}
