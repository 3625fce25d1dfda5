package store

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"doorbell/internal/doorbell"
)

func loginOf(id, parent string) doorbell.Login {
	return doorbell.Login{
		ID: id, KeyHash: "hash of " + id, Created: doorbell.Instant(now()), Generation: "g",
		Grant: doorbell.Grant{
			Subject: id, Role: doorbell.RoleConsole, Shops: doorbell.ShopSet{List: []doorbell.ShopID{1}},
			Expires: doorbell.Instant(now()).Add(time.Hour), Parent: parent, Source: "token",
		},
	}
}

// oldDatabase creates a database of the schema before sessions had parents, with a
// paired device, a session without an end, and a ticket.
func oldDatabase(t *testing.T, file string) {
	t.Helper()
	db, err := openSQLitePool(sqliteDSN(file), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	files, err := sqliteDialect.migrationFiles()
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	at := now().UnixMilli()
	for _, query := range []string{
		`insert into meta (name, value) values ('epoch', 'abc')`,
		fmt.Sprintf(`insert into logins (id, subject, role, shops, created_at, expires_at, limit_at, paired, label) values
			('tablet', 'kitchen', 'console', '1', %d, %d, 0, 1, 'Android'), ('browser', 'till', 'console', '1', %d, %d, 0, 0, '')`,
			at, at+30*86400_000, at-80*86400_000, at+20*86400_000),
		fmt.Sprintf(`insert into tickets (id, subject, role, shops, session_until, expires_at) values ('old', 'x', 'console', '1', %d, %d)`, at+1e6, at+1e6),
	} {
		if _, err := db.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOldSessions: an upgrade keeps everybody signed in; restoring a backup of the
// version before does not.
func TestOldSessions(t *testing.T) {
	for _, restored := range []bool{false, true} {
		t.Run(fmt.Sprintf("restored %v", restored), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "d.db")
			oldDatabase(t, file)
			if restored {
				bak := file + ".bak"
				if err := Backup(t.Context(), "sqlite://"+file, bak); err != nil {
					t.Fatal(err)
				}
				if _, err := Restore(t.Context(), "sqlite://"+file, bak); err != nil {
					t.Fatal(err)
				}
			}
			s, err := Open(t.Context(), Options{URL: "sqlite://" + file, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			for _, generation := range []string{"g", "another"} { // the second generation adopts nothing
				if err := s.AdoptLogins(t.Context(), generation); err != nil {
					t.Fatal(err)
				}
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			live, err := s.LiveLogins(t.Context(), "g", []string{"tablet", "browser"})
			if err != nil || len(live) != 2 != restored {
				t.Errorf("valid sessions: %v, %v", live, err)
			}
			l, err := s.LoginByKey(t.Context(), "browser")
			if err != nil || l.Grant.Expires.After(now().Add(10*24*time.Hour)) || l.Limit.IsZero() {
				t.Errorf("the browser's session: %+v, %v; want it to end 90 days after it began", l, err)
			}
			if l, err := s.LoginByKey(t.Context(), "tablet"); err != nil || !l.Limit.IsZero() || l.Grant.Device != "tablet" {
				t.Errorf("the tablet's: %+v, %v; want it without an end", l, err)
			}
			if _, err := s.Ticket(t.Context(), "old"); doorbell.CodeOf(err) != doorbell.NotFound {
				t.Errorf("a ticket without a session: %v", err)
			}
		})
	}
}

// TestRestoreEndsSessions: a session that was ended after the backup was written
// is not valid after the restore.
func TestRestoreEndsSessions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "d.db")
	s := openFile(t, file, nil)
	before, err := s.Generation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bak := file + ".bak"
	if err := Backup(t.Context(), "sqlite://"+file, bak); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.db") // the first store runs until the test ends
	if _, err := Restore(t.Context(), "sqlite://"+other, bak); err != nil {
		t.Fatal(err)
	}
	again := openFile(t, other, nil)
	after, err := again.Generation(t.Context())
	if err != nil || after == before || before == "" {
		t.Errorf("generation %q after the restore and %q before, %v; want another", after, before, err)
	}
}

// TestEndedTakesAllWithIt: what is created by a session while the session is being
// ended is refused, or ends with it, in either order.
func TestEndedTakesAllWithIt(t *testing.T) { onAll(t, testEndedTakesAllWithIt) }

func testEndedTakesAllWithIt(t *testing.T, db database) {
	s := db.open(t, nil)
	if err := s.SaveLogin(t.Context(), loginOf("root", "")); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := []string{"root"}
	for i := range 60 {
		wg.Go(func() {
			mu.Lock()
			parent := made[len(made)-1]
			mu.Unlock()
			id := fmt.Sprint("child-", i)
			err := s.SaveLogin(t.Context(), loginOf(id, parent))
			k := doorbell.Ticket{ID: id, Grant: loginOf(id, parent).Grant, Expires: now().Add(time.Hour), Generation: "g"}
			if kerr := s.SaveTicket(t.Context(), k); kerr != nil && doorbell.CodeOf(kerr) != doorbell.NotFound || err != nil && doorbell.CodeOf(err) != doorbell.NotFound {
				t.Errorf("%v and %v, want nil or not_found", err, kerr)
			}
			if err == nil {
				mu.Lock()
				made = append(made, id)
				mu.Unlock()
			}
			if i == 30 {
				if _, err := s.EndLogin(t.Context(), "root", "owner"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	live, err := s.LiveLogins(t.Context(), "g", made)
	if err != nil || len(live) != 0 {
		t.Errorf("%d of %d are still valid, %v", len(live), len(made), err)
	}
	for i := range 60 {
		if _, err := s.Ticket(t.Context(), fmt.Sprint("child-", i)); doorbell.CodeOf(err) != doorbell.NotFound {
			t.Errorf("ticket %d: %v, want not_found", i, err)
		}
	}
	if err := s.ProlongLogin(t.Context(), "root", now().Add(1000*time.Hour)); err != nil {
		t.Error(err)
	}
	if l, err := s.Login(t.Context(), "root"); err != nil || l.Ended.IsZero() || l.EndedBy != "owner" || time.Until(l.Grant.Expires) > time.Hour {
		t.Errorf("the root: %+v, %v; want it kept as ended by the owner, and not prolonged", l, err)
	}
}

// TestManyLoginsOnePage: each page of the list goes on where the last one stopped,
// also among sessions of one millisecond.
func TestManyLoginsOnePage(t *testing.T) { onAll(t, testManyLoginsOnePage) }

func testManyLoginsOnePage(t *testing.T, db database) {
	s := db.open(t, nil)
	at := doorbell.Instant(now())
	for i := range 25 {
		l := loginOf(fmt.Sprintf("id-%02d", i), "")
		l.Created = at.Add(time.Duration(i/10) * time.Millisecond)
		if err := s.SaveLogin(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	p := doorbell.LoginPage{Limit: 4}
	for {
		found, err := s.Logins(t.Context(), "g", p)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range found {
			got = append(got, l.ID)
			p.Before, p.ID = l.Created, l.ID
		}
		if len(found) < p.Limit {
			break
		}
	}
	var want []string
	for i := range 25 {
		want = append(want, fmt.Sprintf("id-%02d", 24-i))
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %v", got)
	}
}
