package ledger

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"doorbell/internal/doorbell"
	"doorbell/internal/store"
)

// TestLedgerMutations: whatever is changed, put in or taken out of a sealed day, in
// the ledger or beneath it, verify names the shop, the day and the line.
func TestLedgerMutations(t *testing.T) {
	h := play(t, 7, func(*history) {})
	m := &mutations{t: t, file: h.file}
	pick := func(what string, fits func(*fact) bool) *fact {
		for _, f := range h.facts[len(h.facts)/3:] {
			if fits(f) {
				return f
			}
		}
		t.Fatalf("no %s in this history", what)
		return nil
	}
	day := func(f *fact) string {
		return fmt.Sprintf("ledger of shop %d, %s: ", f.shop, f.at.In(h.zones.Of(f.shop)).Format("2006-01-02"))
	}
	paid := pick("paid order", func(f *fact) bool { return f.paid > 0 && f.end == doorbell.WasAccepted })
	heard := pick("heard alert", func(f *fact) bool { return f.sounded && f.end != doorbell.WasCancelled })
	unheard := pick("unheard alert", func(f *fact) bool { return !f.sounded && f.end != doorbell.WasCancelled })
	told := pick("escalation", func(f *fact) bool { return len(f.told) > 0 })
	cold := pick("cold alert", func(f *fact) bool { return f.end == doorbell.HasExpired })
	delivered := pick("delivery", func(f *fact) bool { return f.delivered })
	alert := func(f *fact) string { return fmt.Sprintf("(alert %d, order %s): ", f.seq, f.number) }
	line := func(f *fact) string { return m.line(f) }
	of := `shop_id = %d and seq = %d`

	m.finds("an alert is taken out", day(paid)+line(paid)+alert(paid)+"its alert was taken out", `delete from alerts where `+of, paid.shop, paid.seq)
	m.finds("an alert moves to another day", day(paid)+line(paid)+alert(paid)+"its alert was taken out", `update alerts set created_at = created_at + 90000000 where `+of, paid.shop, paid.seq)
	m.finds("a number is another", day(paid)+line(paid)+alert(paid)+`number is`, `update alerts set number = 'Z' where `+of, paid.shop, paid.seq)
	m.finds("an alert is put in", fmt.Sprintf("%salert 9999, order N", day(paid)),
		`insert into alerts (shop_id, seq, type, source, order_id, number, content, test, actor, created_at, ringing, nonce)
			select shop_id, 9999, type, source, order_id, number, content, test, actor, created_at + 1, 0, nonce from alerts where `+of, paid.shop, paid.seq)
	m.finds("an amount is another", fmt.Sprintf("%s%s%samount is %d in the ledger and %d in the log", day(paid), line(paid), alert(paid), paid.paid, paid.paid+100),
		`update orders set amount = amount + 100 where id = %d`, paid.order)
	m.finds("an order is unpaid", day(paid)+line(paid)+alert(paid)+"its order was taken out, or says no more", `update orders set pay_status = 0 where id = %d`, paid.order)
	m.finds("an order is taken out", day(paid)+line(paid)+alert(paid)+"its order was taken out", `delete from orders where id = %d`, paid.order)
	m.finds("nobody heard it", day(heard)+line(heard)+alert(heard)+"reached is", `delete from receipts where stage = 'sounded' and `+of, heard.shop, heard.seq)
	m.finds("somebody heard it", day(unheard)+line(unheard)+alert(unheard)+"reached is",
		`insert into receipts (shop_id, seq, console, stage, reason, actor, created_at) values (%d, %d, 'cX', 'sounded', '', 'me', %d)`, unheard.shop, unheard.seq, unheard.at.UnixMilli()+1)
	m.finds("a delivery is made up", day(delivered)+line(delivered)+alert(delivered)+"reached is", `update deliveries set created_at = created_at - 5000 where shop_id = %d and upto_seq = %d`, delivered.shop, delivered.seq)
	m.finds("the accept is of somebody else", day(paid)+line(paid)+alert(paid)+"reached is",
		`update alerts set actor = 'console:other' where shop_id = %d and order_id = %d and type = 3`, paid.shop, paid.order)
	m.finds("the accept is taken out", day(paid)+line(paid)+alert(paid)+"reached is", `delete from alerts where shop_id = %d and order_id = %d and type = 3`, paid.shop, paid.order)
	m.finds("an accept is put in", day(cold)+line(cold)+alert(cold)+"reached is",
		`insert into alerts (shop_id, seq, type, source, order_id, number, content, test, actor, created_at, ringing, nonce)
			select shop_id, 9999, 3, source, order_id, number, content, test, 'console:me', created_at + 1, 0, nonce from alerts where `+of, cold.shop, cold.seq)
	m.finds("who was told is another", day(told)+line(told)+alert(told)+"told is", `update escalations set addressee = 'me' where `+of, told.shop, told.seq)
	m.finds("nobody was told", day(told)+line(told)+alert(told)+"told is", `delete from escalations where `+of, told.shop, told.seq)
	m.ledger(paid, day(paid))
}

// ledger changes what is sealed.
func (m *mutations) ledger(f *fact, day string) {
	own, entry := strings.TrimSuffix(strings.TrimPrefix(day, fmt.Sprintf("ledger of shop %d, ", f.shop)), ": "), m.entry(f)
	at := fmt.Sprintf(`shop_id = %d and day = '%s'`, f.shop, own)
	n := fmt.Sprintf("line %d ", entry)
	m.finds("a line is another", day+n+"does not fit its hash", `update ledger_entries set body = replace(body, '"amount":', '"amount":1') where `+at+` and entry = %d`, entry)
	m.finds("a line is another, and its hash", day+n+"does not fit its hash", `update ledger_entries set body = '{}', hash = 'ff' where `+at+` and entry = %d`, entry)
	m.finds("a line is taken out", day+n+"was taken out", `delete from ledger_entries where `+at+` and entry = %d`, entry)
	m.finds("a line is taken out and the others move up", day+n+"does not fit",
		`delete from ledger_entries where `+at+` and entry = %[1]d; update ledger_entries set entry = -entry where `+at+` and entry > %[1]d;
			update ledger_entries set entry = -entry - 1 where `+at+` and entry < 0`, entry)
	m.finds("a line is put in", "was put in: the day was sealed with", `insert into ledger_entries select shop_id, day, 9999, body, hash from ledger_entries where `+at+` and entry = %d`, entry)
	m.finds("the number of lines is another", day+"line 1 does not fit its hash", `update ledger_days set entries = entries + 1 where %s`, at)
	m.finds("the day's times are others", day+"line 1 does not fit its hash", `update ledger_days set as_of = as_of + 1 where %s`, at)
	m.finds("a day is taken out", day+"the day was taken out", `delete from ledger_days where %s`, at)
	m.finds("a day is sealed anew", "it does not follow the day before", `update ledger_days set hash = 'ff' where %s`, at)
	m.finds("the last day is taken out", "the last day is not there", `delete from ledger_days where shop_id = %d and day = (select last_day from ledger_heads where shop_id = %[1]d)`, f.shop)
	m.finds("a ledger has no end", "the last day is not there", `delete from ledger_heads where shop_id = %d`, f.shop)
	m.finds("another end", "its hash is not the one that the ledger ends with", `update ledger_heads set hash = 'ff' where shop_id = %d`, f.shop)
}

// mutations changes copies of a database.
type mutations struct {
	t    *testing.T
	file string
	n    int
}

// finds changes a copy and wants one of verify's findings to begin or go on so.
func (m *mutations) finds(what, want, change string, args ...any) {
	m.t.Helper()
	m.n++
	bytes, err := os.ReadFile(m.file)
	if err != nil {
		m.t.Fatal(err)
	}
	file := filepath.Join(m.t.TempDir(), "m.db")
	if err := os.WriteFile(file, bytes, 0o600); err != nil {
		m.t.Fatal(err)
	}
	db, err := sql.Open("sqlite", file)
	if err != nil {
		m.t.Fatal(err)
	}
	res, err := db.ExecContext(m.t.Context(), fmt.Sprintf(change, args...))
	if err != nil {
		m.t.Fatalf("%s: %v", what, err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		m.t.Errorf("%s: nothing was changed", what)
	}
	if err := db.Close(); err != nil {
		m.t.Fatal(err)
	}
	found, err := store.Verify(m.t.Context(), "sqlite://"+file)
	if err != nil {
		m.t.Fatalf("%s: verify: %v", what, err)
	}
	for _, f := range found {
		if strings.Contains(f, want) {
			return
		}
	}
	m.t.Errorf("%s: verify found\n\t%s\nwant\n\t%s", what, strings.Join(found, "\n\t"), want)
}

// entry is the number of a fact's line.
func (m *mutations) entry(f *fact) (n int) {
	db, err := sql.Open("sqlite", m.file)
	if err != nil {
		m.t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it was read only
	err = db.QueryRowContext(m.t.Context(), `select entry from ledger_entries where shop_id = ? and body like ?`, f.shop, fmt.Sprintf(`{"seq":%d,%%`, f.seq)).Scan(&n)
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

func (m *mutations) line(f *fact) string { return fmt.Sprintf("line %d ", m.entry(f)) }
