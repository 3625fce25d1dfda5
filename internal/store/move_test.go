package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"doorbell/internal/doorbell"
)

// contents are the rows of the tables that are moved, as text, sorted.
func contents(t *testing.T, s *Store) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, table := range movedTables() {
		columns := columnsOf(t, s, table)
		found, err := s.reads.db.QueryContext(t.Context(), `select `+strings.Join(columns, ", ")+` from `+table)
		if err != nil {
			t.Fatal(err)
		}
		out[table] = []string{}
		err = scanRows(found, func(r *sql.Rows) error {
			values, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			err := r.Scan(into...)
			row := ""
			for i, v := range values {
				row += fmt.Sprintf("%s=%q ", columns[i], v)
			}
			if !strings.Contains(row, timelineRow) && !strings.Contains(row, movedRow) {
				out[table] = append(out[table], row)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(out[table])
	}
	return out
}

func columnsOf(t *testing.T, s *Store, table string) []string {
	t.Helper()
	rows, err := s.reads.db.QueryContext(t.Context(), `select * from `+table+` where 1 = 0`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // it has none
	columns, err := rows.Columns()
	if err = errors.Join(err, rows.Err()); err != nil {
		t.Fatal(err)
	}
	slices.Sort(columns)
	return columns
}

// source is an SQLite database in which every table has something.
func source(t *testing.T) (url string, had map[string][]string, next doorbell.OrderID) {
	t.Helper()
	url = "sqlite://" + filepath.Join(t.TempDir(), "doorbell.db")
	s, err := Open(t.Context(), Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	stop := startOnce(s)
	err = s.Write(context.Background(), func(tx doorbell.Tx) error {
		for i := range 450 { // more than two inserts' worth
			if _, err := tx.Append(alertOf(doorbell.ShopID(1+i%3), doorbell.OrderID(i+1), doorbell.NewOrder)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	fill := []string{
		`update alerts set content = '订单号: <b>%_!"''\\ ☃' where seq = 1`,
		`insert into alert_details (shop_id, seq, detail) values (1, 1, '{"note":"辣"}')`,
		`insert into idempotency_keys (subject, shop_id, value, body_hash, seq, created_at) values ('s', 1, 'k', 'h', 1, 5)`,
		`insert into receipts (shop_id, seq, console, stage, reason, actor, created_at) values (1, 1, 'c1', 'shown', '', 'a', 5)`,
		`insert into inbox (provider, kind, transaction_id, number, amount, currency, check_amount, body_hash, verdict, reason, times, first_at, last_at)
			values ('wechat', 'payment', 't1', 'N1', 100, 'CNY', 1, 'h', 'settled', '', 2, 5, 6)`,
		`insert into outbox (hook, message, event, shop_id, header, body, state, attempts, next_at, created_at, last_error)
			values ('h', 'm', 'order.paid', 1, '', x'00ff10', 0, 0, 5, 5, '')`,
		`insert into pushes (endpoint, login_id, shop_id, p256dh, auth, language, created_at) values ('https://a/b', 'l', 1, 'p', 'a', 'zh', 5)`,
		`insert into tokens (id, subject, role, shops, issued_at, expires_at, first_at, used_at, parent, mark, revoked_at, revoked_by) values ('t', 's', 'service', '*', 5, 9, 5, 6, '', 'm', 7, 'a')`,
		`insert into attendance (shop_id, alarm, alarm_at, alarms, alarms_since) values (1, 1, 5, 2, 5)`,
		`insert into deliveries (shop_id, upto_seq, from_seq, console, actor, created_at) values (1, 1, 1, 'c', 'tab', 5)`,
		`insert into ledger_days (shop_id, day, begins_at, ends_at, as_of, entries, before_hash, hash) values (1, '2026-11-24', 1, 2, 3, 1, '', 'h')`,
		`insert into ledger_entries (shop_id, day, entry, body, hash) values (1, '2026-11-24', 1, '{}', 'h')`,
		`insert into ledger_heads (shop_id, first_day, last_day, hash, kept_day, pruned_seq) values (1, '2026-11-24', '2026-11-24', 'h', '2026-11-24', 0)`,
		`insert into sky_orders (id, number, status, pay_status, watched, ordered_at) values (1, 'S', 2, 1, 1, 5)`,
		`insert into escalations (shop_id, seq, rung, round, addressee, message, state, created_at, done_at, last_error) values (1, 1, 0, 0, 'o', 'm', 1, 5, 6, '')`,
		`insert into orders (id, number, shop_id, user_id, status, pay_status, amount, currency, created_at) values (9007199254740991, 'A1', 1, 7, 2, 1, 100, 'CNY', 5)`,
		`insert into orders (id, number, shop_id, user_id, status, pay_status, amount, currency, created_at) values (77, 'a1', 1, 7, 1, 0, 100, 'CNY', 5)`,
		`update order_ids set last = 76`,
	}
	for _, query := range fill {
		if err := s.queue.do(t.Context(), func(t *txn) error { return t.exec(query) }); err != nil { // the writer has the connection
			t.Fatalf("%s: %v", query, err)
		}
	}
	l := loginOf("x", "")
	k := doorbell.Ticket{ID: "ticket", Grant: l.Grant, Expires: now().Add(time.Hour), Generation: "g"}
	if err := errors.Join(s.SaveLogin(t.Context(), l), s.SaveTicket(t.Context(), k)); err != nil {
		t.Fatal(err)
	}
	had = contents(t, s)
	for table, rows := range had {
		if len(rows) == 0 {
			t.Fatalf("the source has nothing in %s", table)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	return url, had, 78
}

// TestMove: all of an SQLite database arrives on a server, with the epoch, the numbers
// and the nonces, so that cursors stay good; what is drawn goes on behind. The source
// does not open again, a target with rows is refused, and a source in use.
func TestMove(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		from, had, next := source(t)
		to := db.url(t)
		open, err := Open(t.Context(), Options{URL: from})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Move(t.Context(), from, to); !errors.Is(err, ErrInUse) {
			t.Errorf("a source in use: %v", err)
		}
		epoch, at, err := open.Positions(t.Context(), []doorbell.ShopID{1, 2, 3})
		if err = errors.Join(err, open.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := Move(t.Context(), from, to); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), Options{URL: from}); err == nil || !strings.Contains(err.Error(), "was moved to") {
			t.Errorf("the source opens again: %v", err)
		}
		s := openURL(t, to, nil)
		if diff := cmp.Diff(had, contents(t, s)); diff != "" {
			t.Errorf("it did not all arrive, or as something else: %s", diff)
		}
		gotEpoch, gotAt, err := s.Positions(t.Context(), []doorbell.ShopID{1, 2, 3})
		if diff := cmp.Diff(at, gotAt); err != nil || diff != "" || gotEpoch != epoch {
			t.Errorf("epoch %q and positions %s, %v; want epoch %q", gotEpoch, diff, err, epoch)
		}
		err = s.Write(t.Context(), func(tx doorbell.Tx) error {
			o, err := tx.InsertOrder(doorbell.Order{Number: "after", Shop: 1, User: 1, Status: 1, Money: doorbell.Money{Minor: 1, Currency: "CNY"}})
			if o.ID != next {
				t.Errorf("the next order has id %d, want %d", o.ID, next)
			}
			a, err2 := tx.Append(alertOf(1, 5, doorbell.Reminder))
			if a.Seq != at[1].Head+1 || a.Prev != at[1].Nonce {
				t.Errorf("the next alert is %d behind nonce %d, want %d behind %d", a.Seq, a.Prev, at[1].Head+1, at[1].Nonce)
			}
			return errors.Join(err, err2)
		})
		if err != nil {
			t.Error(err)
		}
		if err := s.run(t.Context(), `insert into outbox (hook, message, event, shop_id, header, body, state, attempts, next_at, created_at, last_error)
			values ('h', 'm2', 'order.paid', 1, '', '', 0, 0, 5, 5, '')`); err != nil {
			t.Errorf("the outbox's ids don't go on: %v", err)
		}
		again, _, _ := source(t)
		if _, err := Move(t.Context(), again, to); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("a target with rows: %v", err)
		}
		if back, err := Open(t.Context(), Options{URL: again}); err != nil {
			t.Errorf("a source that was not moved does not open: %v", err)
		} else if err := back.Close(); err != nil {
			t.Error(err)
		}
	})
}
