package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"doorbell/internal/doorbell"
)

// ledgerSince is the schema's version that has a ledger.
const ledgerSince = 13

// txQuerier reads in verify's transaction.
type txQuerier struct {
	tx *sql.Tx
	d  *dialect
}

func (q txQuerier) query(ctx context.Context, query string, args ...any) (rows, error) {
	args, err := q.d.bound(args)
	if err != nil {
		return rows{}, err
	}
	found, err := q.tx.QueryContext(ctx, q.d.rebind(query), args...) //nolint:rowserrcheck // who reads them does
	return rows{found, func() {}}, err
}

// ledgerAudit looks whether anything was changed, put in or taken out of the ledger, or
// beneath it.
type ledgerAudit struct {
	q        txQuerier
	orders   time.Time // before which orders were made that may be pruned
	untold   map[doorbell.ShopID][]doorbell.LedgerEntry
	bounds   [2]time.Time // of untold
	findings []string
}

// sealedEntry is an entry as it stands in the ledger.
type sealedEntry struct {
	n          int
	body, hash string
}

func auditLedger(ctx context.Context, tx *sql.Tx, d *dialect) ([]string, error) {
	a := &ledgerAudit{q: txQuerier{tx, d}}
	var err error
	if a.orders, err = prunedBefore(tx.QueryRowContext(ctx, d.rebind(`select value from meta where name = ?`), ordersPruned)); err != nil {
		return nil, fmt.Errorf("read which orders are pruned: %w", err)
	}
	heads, err := a.heads(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range heads {
		if err := a.shop(ctx, h); err != nil {
			return a.findings, fmt.Errorf("audit the ledger of shop %d: %w", h.shop, err)
		}
	}
	return a.findings, nil
}

// ledgerHead is a row of ledger_heads.
type ledgerHead struct {
	shop                        doorbell.ShopID
	first, last, hash, keptFrom string
	pruned                      doorbell.Seq
}

func (a *ledgerAudit) heads(ctx context.Context) (out []ledgerHead, err error) {
	rows, err := a.q.query(ctx, `select s.shop_id, coalesce(h.first_day, ''), coalesce(h.last_day, ''), coalesce(h.hash, ''), coalesce(h.kept_day, ''), coalesce(h.pruned_seq, 0)
		from (select shop_id from ledger_heads union select shop_id from ledger_days) s left join ledger_heads h on h.shop_id = s.shop_id order by s.shop_id`)
	if err != nil {
		return nil, fmt.Errorf("read the ledgers: %w", err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		var h ledgerHead
		err := r.Scan(&h.shop, &h.first, &h.last, &h.hash, &h.keptFrom, &h.pruned)
		out = append(out, h)
		return err
	})
	return out, err
}

func (a *ledgerAudit) found(shop doorbell.ShopID, day, format string, args ...any) {
	a.findings = append(a.findings, fmt.Sprintf("ledger of shop %d, %s: ", shop, day)+fmt.Sprintf(format, args...))
}

func (a *ledgerAudit) shop(ctx context.Context, h ledgerHead) error {
	rows, err := a.q.query(ctx, `select `+dayColumns+` from ledger_days where shop_id = ? order by day`, h.shop)
	if err != nil {
		return err
	}
	var days []doorbell.LedgerDay
	var counts []int
	err = eachRow(rows, func(r *sql.Rows) error {
		d, n, err := scanDay(r.Scan)
		days, counts = append(days, d), append(counts, n)
		return err
	})
	if err != nil {
		return err
	}
	before, due := "", h.first
	for i, d := range days {
		if due != "" && d.Day != due {
			a.found(h.shop, due, "the day was taken out")
		} else if d.Before != before {
			a.found(h.shop, d.Day, "it does not follow the day before: one of the two was changed")
		}
		before, due = d.Hash, nextDay(d.Day)
		if d.Day < h.keptFrom {
			continue // its entries are no longer kept
		}
		if err := a.day(ctx, h, d, counts[i]); err != nil {
			return err
		}
	}
	switch {
	case len(days) == 0 || days[len(days)-1].Day != h.last:
		a.found(h.shop, h.last, "the last day is not there")
	case before != h.hash:
		a.found(h.shop, h.last, "its hash is not the one that the ledger ends with")
	}
	return nil
}

// nextDay is the day that follows; empty where day is none.
func nextDay(day string) string {
	at, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return ""
	}
	return at.AddDate(0, 0, 1).Format(time.DateOnly)
}

func (a *ledgerAudit) day(ctx context.Context, h ledgerHead, d doorbell.LedgerDay, n int) error {
	rows, err := a.q.query(ctx, `select entry, body, hash from ledger_entries where shop_id = ? and day = ? order by entry`, d.Shop, d.Day)
	if err != nil {
		return err
	}
	var sealed []sealedEntry
	err = eachRow(rows, func(r *sql.Rows) error {
		var e sealedEntry
		err := r.Scan(&e.n, &e.body, &e.hash)
		sealed = append(sealed, e)
		return err
	})
	if err != nil {
		return err
	}
	a.chain(d, n, sealed)
	return a.compare(ctx, h, d, sealed)
}

// chain follows the hashes through the entries of a day, to the first that does not
// fit: what comes after it can't.
func (a *ledgerAudit) chain(d doorbell.LedgerDay, n int, sealed []sealedEntry) {
	c := d.Chain(n)
	for i, e := range sealed {
		switch {
		case i >= n:
			a.found(d.Shop, d.Day, "line %d was put in: the day was sealed with %d", e.n, n)
			return
		case e.n != i+1:
			a.found(d.Shop, d.Day, "line %d was taken out", i+1)
			return
		case c.Add(e.body) != e.hash:
			a.found(d.Shop, d.Day, "line %d does not fit its hash: the line was changed, or the day's times or number of lines", e.n)
			return
		}
	}
	switch {
	case len(sealed) < n:
		a.found(d.Shop, d.Day, "line %d was taken out", len(sealed)+1)
	case c.Hash() != d.Hash:
		a.found(d.Shop, d.Day, "its hash does not fit its lines")
	}
}

// entryKey is what an entry is known by.
type entryKey struct {
	seq   doorbell.Seq
	order doorbell.OrderID
}

func keyOf(e doorbell.LedgerEntry) entryKey {
	if e.Seq > 0 && e.Type.Rings() {
		return entryKey{seq: e.Seq}
	}
	return entryKey{order: e.OrderID}
}

// compare derives the day anew from the log and shows what is not as it was sealed.
func (a *ledgerAudit) compare(ctx context.Context, h ledgerHead, d doorbell.LedgerDay, sealed []sealedEntry) error {
	derived, err := ledgerOf(ctx, a.q, d)
	if err != nil {
		return err
	}
	if a.untold == nil || a.bounds != [2]time.Time{d.Begins, d.Ends} {
		if a.untold, err = untoldPayments(ctx, a.q, d.Begins, d.Ends); err != nil {
			return err
		}
		a.bounds = [2]time.Time{d.Begins, d.Ends}
	}
	now := map[entryKey]doorbell.LedgerEntry{}
	for _, e := range append(derived, a.untold[d.Shop]...) {
		now[keyOf(e)] = e
	}
	for _, s := range sealed {
		var was doorbell.LedgerEntry
		if err := json.Unmarshal([]byte(s.body), &was); err != nil {
			a.found(d.Shop, d.Day, "line %d can't be read: %v", s.n, err)
			continue
		}
		is, there := now[keyOf(was)]
		delete(now, keyOf(was))
		if !there && !was.Type.Rings() {
			// A later payment of a cancelled order has moved it to another day; else its
			// order is gone.
			if is, there, err = a.untoldOrder(ctx, d.Shop, was); err != nil {
				return err
			}
		}
		a.line(h, d, s, was, is, there)
	}
	for _, k := range slices.SortedFunc(maps.Keys(now), func(x, y entryKey) int { return int(x.seq - y.seq) }) {
		if e := now[k]; e.Seq > h.pruned && e.Type.Rings() {
			a.found(d.Shop, d.Day, "%v stands in the log and not in the ledger: it was put in later", e)
		}
	}
	return nil
}

// untoldOrder is an entry without a ring with what its order says now.
func (a *ledgerAudit) untoldOrder(ctx context.Context, shop doorbell.ShopID, was doorbell.LedgerEntry) (is doorbell.LedgerEntry, there bool, err error) {
	rows, err := a.q.query(ctx, `select amount, currency, created_at from orders where id = ? and shop_id = ? and pay_status <> 0`, was.OrderID, shop)
	if err != nil {
		return was, false, err
	}
	is = was
	err = eachRow(rows, func(r *sql.Rows) error {
		var ordered int64
		err := r.Scan(&is.Amount, &is.Currency, &ordered)
		is.OrderedAt, there = instant(ordered), true
		return err
	})
	return is, there, err
}

// line compares one entry with what the log says of it now.
func (a *ledgerAudit) line(h ledgerHead, d doorbell.LedgerDay, s sealedEntry, was, is doorbell.LedgerEntry, there bool) {
	pruned := was.Seq > 0 && was.Seq <= h.pruned
	orderPruned := was.Paid && was.OrderedAt.Before(a.orders)
	switch {
	case pruned, !there && orderPruned: // what it was made from is no longer kept
		return
	case !there && !was.Type.Rings():
		a.found(d.Shop, d.Day, "line %d (%v): its order was taken out, or says no more that it was paid", s.n, was)
		return
	case !there:
		a.found(d.Shop, d.Day, "line %d (%v): its alert was taken out of the log, or moved to another day", s.n, was)
		return
	case was.Paid && is.OrderedAt.IsZero() && orderPruned:
		is.Paid, is.Amount, is.Currency, is.OrderedAt = was.Paid, was.Amount, was.Currency, was.OrderedAt
		is = is.Judged()
	case was.Paid && is.OrderedAt.IsZero() && !was.OrderedAt.IsZero():
		a.found(d.Shop, d.Day, "line %d (%v): its order was taken out, or says no more that it was paid", s.n, was)
		return
	}
	if differ := differences(s.body, is.Body()); differ != "" {
		a.found(d.Shop, d.Day, "line %d (%v): %s", s.n, was, differ)
	}
}

// differences says in which fields two entries differ.
func differences(ledger, log string) string {
	if ledger == log {
		return ""
	}
	var was, is map[string]any
	if json.Unmarshal([]byte(ledger), &was) != nil || json.Unmarshal([]byte(log), &is) != nil {
		return "it can't be read"
	}
	all := maps.Clone(was)
	maps.Copy(all, is)
	var out []string
	for _, field := range slices.Sorted(maps.Keys(all)) {
		if x, y := short(was[field]), short(is[field]); x != y {
			out = append(out, fmt.Sprintf("%s is %s in the ledger and %s in the log", field, x, y))
		}
	}
	return strings.Join(out, "; ")
}

// short is a value as a finding shows it.
func short(v any) string {
	if n, ok := v.(float64); ok {
		return fmt.Sprintf("%.0f", n)
	}
	b, err := json.Marshal(v)
	if err != nil || v == nil {
		return "nothing"
	}
	return string(b)
}
