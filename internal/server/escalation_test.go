package server

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
)

// TestOwnersPhone: in the whole program an order that nobody takes reaches the
// owner's phone and rings there anew until somebody takes it, and not once after
// that; a server that was killed and started again goes on where it was.
func TestOwnersPhone(t *testing.T) {
	told := make(chan string, 100)
	phone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct{ Topic, Title, Message string }
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || m.Topic != "kitchen" {
			t.Errorf("the phone got %+v, %v", m, err)
		}
		told <- m.Title + ": " + m.Message
		_, _ = io.WriteString(w, `{"id":"1"}`)
	}))
	t.Cleanup(phone.Close)
	cfg := config.Default()
	cfg.Database.URL = "sqlite://" + filepath.Join(t.TempDir(), "d.db")
	cfg.Shops = []config.Shop{{ID: 1, Name: "总店"}}
	cfg.Channels = []config.Channel{{Name: "owner", URL: config.Secret("ntfy://ntfy.sh/kitchen?api=" + phone.URL)}}
	cfg.Escalation = map[string][]config.Rung{"default": {{After: time.Second, To: []string{"owner"}, Repeat: 2 * time.Second}}}
	run := func(use func(s *Server)) {
		ctx, stop := context.WithCancel(t.Context())
		s, err := New(ctx, Options{Config: cfg, Version: "v", Log: slog.New(slog.DiscardHandler), Command: func(words string) string { return words }})
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx, Listeners{Consoles: ln}, io.Discard) }()
		use(s)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	ring := func(what string) {
		t.Helper()
		select {
		case got := <-told:
			if !strings.Contains(got, "无人接单: 总店：订单 A-1 已响 ") {
				t.Errorf("%s: told %q", what, got)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: nobody was told", what)
		}
	}
	run(func(s *Server) {
		if _, _, err := s.service.RaiseAlert(t.Context(), doorbell.Raise{Type: doorbell.NewOrder, Shop: 1, Number: "A-1"}, doorbell.Key{}); err != nil {
			t.Fatal(err)
		}
		ring("first")
		ring("again")
	})
	run(func(s *Server) {
		ring("after the restart")
		if _, err := s.service.AcceptAlert(t.Context(), 1, 1, "cook"); err != nil {
			t.Fatal(err)
		}
		for len(told) > 0 {
			<-told // on its way when it was taken
		}
		select {
		case got := <-told:
			t.Errorf("told after it was taken: %q", got)
		case <-time.After(5 * time.Second):
		}
	})
}

// TestTexts are in the shop's language.
func TestTexts(t *testing.T) {
	cfg := config.Default()
	cfg.Shops = []config.Shop{{ID: 2, Name: "Dock", Language: "en"}}
	texts := newTexts(cfg)
	a := doorbell.Alert{Type: doorbell.Reminder, OrderID: 7, Shop: 2}
	for _, c := range []struct {
		n    doorbell.OwnerNotice
		want string
	}{
		{doorbell.OwnerNotice{Event: doorbell.AlertEscalated, Shop: 2, Alert: &a, Seconds: 60, Test: true}, "[test] Nobody takes an order: Dock: reminder of order 7 has rung for 60 s and nobody has taken it."},
		{doorbell.OwnerNotice{Event: doorbell.ShopUnattended, Shop: 1}, "门店无人值守: 门店 1：没有能响铃的控制台，来单将无人听到。"},
		{doorbell.OwnerNotice{Event: doorbell.ShopAttended, Shop: 3}, "门店已恢复值守: 门店 3：控制台已恢复。"},
	} {
		if title, line := texts.say(c.n); title+": "+line != c.want {
			t.Errorf("said %q, want %q", title+": "+line, c.want)
		}
	}
}
