package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"doorbell/internal/doorbell"
)

// sealStep bounds the entries that one transaction writes: a payment never waits for a
// whole day.
const sealStep = 200

// LedgerHead returns where a shop's ledger ends.
func (s *Store) LedgerHead(ctx context.Context, shop doorbell.ShopID) (h doorbell.LedgerHead, err error) {
	var ends int64
	err = s.reads.one(ctx, `select d.day, d.ends_at, h.hash from ledger_heads h join ledger_days d on d.shop_id = h.shop_id and d.day = h.last_day
		where h.shop_id = ?`, shop).Scan(&h.Day, &ends, &h.Hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return h, fmt.Errorf("read where the ledger of shop %d ends: %w", shop, err)
	}
	h.Ends = instant(ends)
	return h, nil
}

// SealDay seals a shop's day behind the one whose hash is d.Before, and returns it with
// its hash. sealed is false where another node was first, or a day between is missing.
// What was written of a day that was never finished counts for nothing, and is written
// over.
func (s *Store) SealDay(ctx context.Context, d doorbell.LedgerDay) (out doorbell.LedgerDay, sealed bool, err error) {
	chain := d.Chain(len(d.Entries))
	for begin := 0; begin < len(d.Entries); begin += sealStep {
		step := d.Entries[begin:min(begin+sealStep, len(d.Entries))]
		bodies, hashes := make([]string, len(step)), make([]string, len(step))
		for i, e := range step {
			bodies[i] = e.Body()
			hashes[i] = chain.Add(bodies[i])
		}
		if sealed, err = s.atLedger(ctx, d, func(t *txn) error { return t.writeEntries(d, begin, bodies, hashes) }); !sealed {
			return d, false, err
		}
	}
	d.Hash = chain.Hash()
	sealed, err = s.atLedger(ctx, d, func(t *txn) error { return t.finishDay(d) })
	return d, sealed, err
}

// atLedger makes a change while the ledger ends right before this day. It reports false
// where it does not, or where the change failed.
func (s *Store) atLedger(ctx context.Context, d doorbell.LedgerDay, change func(*txn) error) (there bool, err error) {
	err = s.queue.do(ctx, func(t *txn) (err error) {
		if there, err = t.ledgerAt(d); err != nil || !there {
			return err
		}
		return change(t)
	})
	return there && err == nil, err
}

// ledgerAt reports whether the ledger ends right before this day. It locks the ledger
// until the end.
func (t *txn) ledgerAt(d doorbell.LedgerDay) (bool, error) {
	if err := t.lock(noticeLock, fmt.Sprintf("ledger/%d", d.Shop)); err != nil {
		return false, err
	}
	var last, hash string
	err := t.row(`select last_day, hash from ledger_heads where shop_id = ?`, d.Shop).Scan(&last, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return d.Before == "", nil
	}
	if err != nil {
		return false, fmt.Errorf("read where the ledger of shop %d ends: %w", d.Shop, err)
	}
	return hash == d.Before && last < d.Day, nil
}

func (t *txn) writeEntries(d doorbell.LedgerDay, begin int, bodies, hashes []string) error {
	if begin == 0 {
		if err := t.exec(`delete from ledger_entries where shop_id = ? and day = ?`, d.Shop, d.Day); err != nil {
			return err
		}
	}
	for i, body := range bodies {
		if err := t.exec(t.dialect.replacing("ledger_entries", "shop_id, day, entry", "shop_id, day, entry, body, hash"), d.Shop, d.Day, begin+i+1, body, hashes[i]); err != nil {
			return fmt.Errorf("write the ledger of shop %d: %w", d.Shop, err)
		}
	}
	return nil
}

func (t *txn) finishDay(d doorbell.LedgerDay) error {
	err := t.exec(`insert into ledger_days (shop_id, day, begins_at, ends_at, as_of, entries, before_hash, hash) values (?, ?, ?, ?, ?, ?, ?, ?)`,
		d.Shop, d.Day, millis(d.Begins), millis(d.Ends), millis(d.AsOf), len(d.Entries), d.Before, d.Hash)
	if err != nil {
		return fmt.Errorf("seal %s of shop %d: %w", d.Day, d.Shop, err)
	}
	n, err := t.affect(`update ledger_heads set last_day = ?, hash = ? where shop_id = ?`, d.Day, d.Hash, d.Shop)
	if err == nil && n == 0 {
		err = t.exec(`insert into ledger_heads (shop_id, first_day, last_day, hash, kept_day, pruned_seq) values (?, ?, ?, ?, ?, 0)`, d.Shop, d.Day, d.Day, d.Hash, d.Day)
	}
	if err != nil {
		return fmt.Errorf("move the ledger of shop %d on: %w", d.Shop, err)
	}
	return nil
}

const dayColumns = `shop_id, day, begins_at, ends_at, as_of, entries, before_hash, hash`

func scanDay(scan func(...any) error) (d doorbell.LedgerDay, entries int, err error) {
	var begins, ends, asOf int64
	err = scan(&d.Shop, &d.Day, &begins, &ends, &asOf, &entries, &d.Before, &d.Hash)
	d.Begins, d.Ends, d.AsOf = instant(begins), instant(ends), instant(asOf)
	return d, entries, err
}

// SealedDay returns a day as it was sealed; found is false where it is not.
func (s *Store) SealedDay(ctx context.Context, shop doorbell.ShopID, day string) (d doorbell.LedgerDay, found bool, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx snapshot) error {
		d, _, err = scanDay(tx.one(ctx, `select `+dayColumns+` from ledger_days where shop_id = ? and day = ?`, shop, day).Scan)
		if err != nil {
			return err
		}
		rows, err := tx.query(ctx, `select body from ledger_entries where shop_id = ? and day = ? order by entry`, shop, day)
		if err != nil {
			return err
		}
		return eachRow(rows, func(r *sql.Rows) error {
			var body string
			if err := r.Scan(&body); err != nil {
				return err
			}
			var e doorbell.LedgerEntry
			if err := json.Unmarshal([]byte(body), &e); err != nil {
				return fmt.Errorf("read an entry: %w", err)
			}
			d.Entries = append(d.Entries, e)
			return nil
		})
	})
	if errors.Is(err, sql.ErrNoRows) {
		return d, false, nil
	}
	if err != nil {
		return d, false, fmt.Errorf("read the ledger of shop %d on %s: %w", shop, day, err)
	}
	return d, true, nil
}

// pruneLedger drops the entries of days that ended before a time. Their hashes stay:
// the chain goes on through them.
func (s *Store) pruneLedger(ctx context.Context, shop doorbell.ShopID, before time.Time) error {
	for more := true; more; {
		err := s.queue.do(ctx, func(t *txn) error {
			var day string
			err := t.row(`select min(d.day) from ledger_days d join ledger_heads h on h.shop_id = d.shop_id and d.day >= h.kept_day
				where d.shop_id = ? and d.ends_at < ? and d.day < h.last_day having count(*) > 0`, shop, millis(before)).Scan(&day)
			if more = err == nil; errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := t.exec(`delete from ledger_entries where shop_id = ? and day = ?`, shop, day); err != nil {
				return err
			}
			return t.exec(`update ledger_heads set kept_day = (select min(day) from ledger_days where shop_id = ? and day > ?) where shop_id = ?`, shop, day, shop)
		})
		if err != nil {
			return fmt.Errorf("prune the ledger of shop %d: %w", shop, err)
		}
	}
	return nil
}

// notePruned keeps how far a shop's log was pruned: what is missing above that was
// taken out by somebody else.
func (t *txn) notePruned(shop doorbell.ShopID, upto doorbell.Seq) error {
	return t.exec(`update ledger_heads set pruned_seq = ? where shop_id = ? and pruned_seq < ?`, upto, shop, upto)
}

// ordersPruned is meta's name of the time before which orders were made that may be
// gone.
const ordersPruned = "orders_pruned"

func (t *txn) noteOrdersPruned(before time.Time) error {
	had, err := prunedBefore(t.row(`select value from meta where name = ?`, ordersPruned))
	if err != nil || !before.After(had) {
		return err
	}
	value := strconv.FormatInt(millis(before), 10)
	n, err := t.affect(`update meta set value = ? where name = ?`, value, ordersPruned)
	if err == nil && n == 0 {
		err = t.exec(t.dialect.insertOr("meta", "name", "name, value"), ordersPruned, value)
	}
	return err
}

// prunedBefore reads what noteOrdersPruned wrote; zero where it never did.
func prunedBefore(row interface{ Scan(to ...any) error }) (time.Time, error) {
	var value string
	if err := row.Scan(&value); errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	} else if err != nil {
		return time.Time{}, err
	}
	ms, err := strconv.ParseInt(value, 10, 64)
	return instant(ms), err
}
