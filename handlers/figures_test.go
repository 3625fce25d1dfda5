package handlers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
)

// TestFigures: a shop's day in its own zone, and of that shop alone.
func TestFigures(t *testing.T) {
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, func(c *config.Config) {
		c.Time.Zone, c.Shops = "UTC", []config.Shop{{ID: 1, Timezone: zone.String()}}
	})
	console := s.token(doorbell.RoleConsole, "till", 1)
	for i := range 3 {
		s.raise(1, doorbell.NewOrder, int64(i+1), "x")
	}
	s.raise(1, doorbell.Reminder, 1, "x")
	s.raise(2, doorbell.NewOrder, 9, "x")
	if err := s.Store.SaveReceipt(t.Context(), doorbell.Receipt{Shop: 1, Seq: 1, Console: "c", Stage: doorbell.Sounded, At: time.Now().Add(2 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Service.AcceptAlert(t.Context(), 1, 2, "cook"); err != nil {
		t.Fatal(err)
	}
	today := time.Now().In(zone)
	got := s.as(console, "GET", "api/v1/shops/1/figures", "").want(t, "today", 200, "")
	for _, want := range []string{
		`"day":"` + today.Format(time.DateOnly) + `"`, `"orders":3`, `"reminders":1`, `"open":3`, `"unheard":3`, `"sounded":{"p50":2`, `"n":1}`,
	} {
		if !strings.Contains(got.body, want) {
			t.Errorf("figures lack %s: %.300s", want, got.body)
		}
	}
	if n := strings.Count(got.body, `"alerts":`); n != 24 {
		t.Errorf("%d hours, want 24", n)
	}
	day := s.as(console, "GET", "api/v1/shops/1/figures?day="+today.AddDate(0, 0, -1).Format(time.DateOnly), "").want(t, "yesterday", 200, "")
	if !strings.Contains(day.body, `"orders":0`) {
		t.Errorf("yesterday: %.200s", day.body)
	}
	s.as(console, "GET", "api/v1/shops/1/figures?day=yesterday", "").want(t, "no day", 400, "invalid")
	s.as(console, "GET", "api/v1/shops/2/figures", "").want(t, "a foreign shop", 404, "not_found")
	s.as(console, "GET", "api/v1/shops/99/figures", "").want(t, "an absent one", 404, "not_found")
}

// TestSearch: finds a part of a number or a text, and treats wildcards of `like`
// as plain characters.
func TestSearch(t *testing.T) {
	s := newServer(t)
	console := s.token(doorbell.RoleConsole, "till", 1)
	for i, content := range []string{"100% 辣", "不辣", "a_b", "axb", "!x"} {
		s.raise(1, doorbell.NewOrder, int64(i+1), content)
	}
	for search, want := range map[string]int{"辣": 2, "%25": 1, "_": 1, "!": 1, "100%25 辣": 1, "zzz": 0, "": 5, "%20": 5} {
		got := s.as(console, "GET", "api/v1/alerts?shop=1&search="+strings.ReplaceAll(search, " ", "%20"), "").want(t, search, 200, "")
		if n := strings.Count(got.body, `"seq":`); n != want {
			t.Errorf("search %q finds %d, want %d", search, n, want)
		}
	}
	s.as(console, "GET", "api/v1/alerts?shop=1&search="+strings.Repeat("x", 201), "").want(t, "too long", 400, "invalid")
}

// TestSpread: percentiles of what there is.
func TestSpread(t *testing.T) {
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	var alerts []doorbell.Timing
	for i := range 100 {
		alerts = append(alerts, doorbell.Timing{Type: doorbell.NewOrder, At: at, Sounded: at.Add(time.Duration(i) * time.Second), Closed: at.Add(-time.Second)})
	}
	f := doorbell.FiguresOf("2026-01-01", alerts, time.UTC)
	if f.Sounded != (doorbell.Spread{P50: 50, P95: 95, N: 100}) || f.Accepted != (doorbell.Spread{P50: 0, P95: 0, N: 100}) || f.Hours[12].Alerts != 100 {
		t.Errorf("figures %+v", fmt.Sprint(f.Sounded, f.Accepted, f.Hours[12]))
	}
}
