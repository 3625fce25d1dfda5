package auth_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
	"doorbell/internal/store"
	"doorbell/internal/testrun"
)

// TestAbsoluteLifetime: used every day, a browser is signed out after the limit
// and a token's session at the token's end; a paired device stays.
func TestAbsoluteLifetime(t *testing.T) {
	const day = 24 * time.Hour
	testrun.Bubble(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), store.Options{URL: "sqlite://" + filepath.Join(t.TempDir(), "d.db")})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		logins := auth.NewLogins(s, auth.LoginRules{Limit: 60 * day})
		begun := time.Now()
		lasts := map[string]time.Duration{}
		cookies := map[string]string{}
		for name, l := range map[string]doorbell.Login{
			"browser": {}, "token": {Limit: begun.Add(40 * day)}, "short": {Limit: begun.Add(2 * time.Second)}, "tablet": {Paired: true, Limit: begun.Add(time.Minute)},
		} {
			l.Grant = doorbell.Grant{Subject: name, Role: doorbell.RoleConsole, Shops: doorbell.ShopSet{List: []doorbell.ShopID{1}}}
			if cookies[name], _, err = logins.Open(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		for range 400 {
			time.Sleep(day)
			for name, cookie := range cookies {
				if _, _, err := logins.Check(t.Context(), cookie); err == nil {
					lasts[name] = time.Since(begun)
				} else if doorbell.CodeOf(err) != auth.TokenExpired {
					t.Errorf("%s: %v, want token_expired", name, err)
				}
			}
		}
		for name, want := range map[string]time.Duration{"browser": 59 * day, "token": 39 * day, "short": 0, "tablet": 400 * day} {
			if lasts[name] != want {
				t.Errorf("the %s was good for %v, want %v", name, lasts[name], want)
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
