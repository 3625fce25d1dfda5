package auth

import (
	"fmt"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

func grantFor(sub string, expires time.Time) doorbell.Grant {
	return doorbell.Grant{Subject: sub, Role: doorbell.RoleService, Shops: doorbell.ShopSet{List: []doorbell.ShopID{1, 2}}, Expires: expires}
}

// TestARememberedTokenEnds: what is remembered of a token is worth no more than
// the token, and its holder's shops are nobody else's to change.
func TestARememberedTokenEnds(t *testing.T) {
	testrun.Bubble(t, func(t *testing.T) {
		tokens, err := NewHS256(make([]byte, MinSecret), Expected{})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := tokens.Issue(grantFor("till", time.Now().Add(time.Hour)))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			g, err := tokens.Check(raw)
			if err != nil || g.Subject != "till" || len(g.Shops.List) != 2 || g.Shops.Has(3) {
				t.Fatalf("%+v %v, want the till's grant for shops 1 and 2", g, err)
			}
			g.Shops.List = append(g.Shops.List, 3)
		}
		if _, err := tokens.Check(raw + "x"); doorbell.CodeOf(err) != TokenUnknownKey {
			t.Errorf("one letter more: %v, want %s", err, TokenUnknownKey)
		}
		time.Sleep(time.Hour + time.Second)
		for range 2 {
			if _, err := tokens.Check(raw); doorbell.CodeOf(err) != TokenExpired {
				t.Errorf("after its end: %v, want %s", err, TokenExpired)
			}
		}
	})
}

// TestRememberedTokensAreBounded: whoever may make tokens can't fill the memory
// with them.
func TestRememberedTokensAreBounded(t *testing.T) {
	k := &knownTokens{}
	for i := range 3 * maxKnown {
		k.keep(fmt.Sprint(i), grantFor("till", time.Now().Add(time.Hour)))
		if len(k.grants) > maxKnown {
			t.Fatalf("%d remembered, want at most %d", len(k.grants), maxKnown)
		}
	}
}

// BenchmarkCheck measures what each call of an order system, and each console that
// connects, costs for its token.
func BenchmarkCheck(b *testing.B) {
	tokens, err := NewHS256(make([]byte, MinSecret), Expected{})
	if err != nil {
		b.Fatal(err)
	}
	raw, err := tokens.Issue(grantFor("till", time.Now().Add(time.Hour)))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := tokens.check(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := tokens.Check(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}
