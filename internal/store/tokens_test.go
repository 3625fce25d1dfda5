package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"doorbell/internal/doorbell"
)

// TestTokens: what is kept of a token, its pages, and what ends when it is revoked.
func TestTokens(t *testing.T) { onAll(t, testTokens) }

func testTokens(t *testing.T, db database) {
	s, ctx := db.open(t, nil), t.Context()
	at := doorbell.Instant(s.Now())
	token := func(id, parent string, used time.Time) doorbell.TokenEntry {
		return doorbell.TokenEntry{ID: id, Parent: parent, First: at, Used: used, Mark: "m", Grant: doorbell.Grant{
			Subject: "s-" + id, Role: doorbell.RoleService, Shops: doorbell.ShopSet{List: []doorbell.ShopID{1, 2}}, Source: id, Issued: at, Expires: at.Add(time.Hour),
		}}
	}
	over := token("over", "", at)
	over.Grant.Expires = at.Add(-time.Second)
	other := token("other-key", "", at)
	other.Mark = "n"
	for _, batch := range [][]doorbell.TokenEntry{
		{token("a", "", at), token("b", "a", time.Time{}), token("c", "b", at), token("d", "", at), over, other},
		{token("a", "not its own", at.Add(time.Minute)), token("d", "", at.Add(-time.Minute))},
		nil,
	} {
		if err := s.NoteTokens(ctx, batch); err != nil {
			t.Fatal(err)
		}
	}
	ids := func(p doorbell.TokenPage) (out []string, last doorbell.TokenEntry) {
		p.Mark, p.Limit = "m", 3
		list, err := s.Tokens(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, last = range list {
			out = append(out, last.ID)
		}
		return out, last
	}
	first, last := ids(doorbell.TokenPage{})
	rest, a := ids(doorbell.TokenPage{Before: last.First, ID: last.ID})
	if got := slices.Concat(first, rest); fmt.Sprint(got) != "[d c b a]" {
		t.Errorf("listed %v, want d c b a: those of this key that are not over, from the latest", got)
	}
	if diff := cmp.Diff(token("a", "", at.Add(time.Minute)), a); diff != "" {
		t.Errorf("used again, the token is (-want +got):\n%s", diff)
	}

	from := func(id, source string) doorbell.Login {
		l := loginOf(id, "")
		l.Grant.Source = source
		return l
	}
	for _, l := range []doorbell.Login{from("of-a", "a"), from("of-c", "c"), from("of-d", "d")} {
		if err := s.SaveLogin(ctx, l); err != nil {
			t.Fatal(err)
		}
		if err := s.SaveTicket(ctx, doorbell.Ticket{ID: "k-" + l.ID, Grant: l.Grant, Expires: at.Add(time.Hour), Generation: "g"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, unknown := range []string{"nobody", "over"} {
		if _, err := s.RevokeToken(ctx, unknown, "x"); doorbell.CodeOf(err) != doorbell.NotFound {
			t.Errorf("revoke %s: %v, want not_found", unknown, err)
		}
	}
	for _, by := range []string{"boss", "again"} {
		if got, err := s.RevokeToken(ctx, "a", by); err != nil || fmt.Sprint(got) != "[a b c]" {
			t.Errorf("revoke: %v, %v; want it and what it made", got, err)
		}
	}
	if got, err := s.RevokedTokens(ctx, time.Time{}); err != nil || len(got) != 3 {
		t.Errorf("revoked: %v, %v; want 3", got, err)
	}
	if got, err := s.RevokedTokens(ctx, s.Now().Add(time.Minute)); err != nil || len(got) != 0 {
		t.Errorf("revoked in a minute: %v, %v", got, err)
	}
	if _, a := ids(doorbell.TokenPage{Before: last.First, ID: last.ID}); a.Revoked.IsZero() || a.RevokedBy != "boss" {
		t.Errorf("listed as %+v, want revoked by the boss", a)
	}
	live, err := s.LiveLogins(ctx, "g", []string{"of-a", "of-c", "of-d"})
	if err != nil || len(live) != 1 || live["of-d"].IsZero() {
		t.Errorf("valid sessions: %v, %v; want the other token's", live, err)
	}
	for ticket, want := range map[string]doorbell.Code{"k-of-a": doorbell.NotFound, "k-of-c": doorbell.NotFound, "k-of-d": ""} {
		if _, err := s.Ticket(ctx, ticket); doorbell.CodeOf(err) != want {
			t.Errorf("ticket %s: %v, want %q", ticket, err, want)
		}
	}
	if err := s.Prune(ctx, Retention{Alerts: time.Hour, Orders: time.Hour, Inbox: time.Hour}, s.Now()); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Tokens(ctx, doorbell.TokenPage{Limit: 100}); err != nil || len(list) != 5 {
		t.Errorf("%d kept, %v; want all that are not over", len(list), err)
	}
}
