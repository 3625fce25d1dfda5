package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"doorbell/internal/doorbell"
	"doorbell/internal/safefile"
)

// maxFindings bounds what one audit reports of one kind.
const maxFindings = 100

// lastClosing is each order's last alert of type 3 or 4, joined as c to an
// alert a: one pass over the log, where a subquery per alert is a pass each.
const lastClosing = `(select shop_id, source, order_id, max(seq) as seq from alerts where type in (3, 4)
		group by shop_id, source, order_id) c on c.shop_id = a.shop_id and c.source = a.source and c.order_id = a.order_id`

// audits are what must hold of a database. Each query returns what breaks a
// rule, as the arguments of its text.
var audits = []struct{ text, query string }{
	{"shop %d: alerts %d to %d are %d, with a gap among them", `
		select shop_id, min(seq), max(seq), count(*) from alerts group by shop_id having max(seq) - min(seq) + 1 <> count(*)`},
	{"shop %d: the head is %d and the last alert %d", `
		select h.shop_id, h.last_seq, (select max(a.seq) from alerts a where a.shop_id = h.shop_id) as last
		from shop_heads h where (select max(a.seq) from alerts a where a.shop_id = h.shop_id) <> h.last_seq`},
	{"shop %d: it has alerts and no head", `
		select distinct shop_id from alerts where shop_id not in (select shop_id from shop_heads)`},
	// A paid order whose alert may have been pruned can't be told from one that
	// never had any: only what was paid after the oldest alert kept counts.
	{"order %d of shop %d is paid and nobody was told", `
		select o.id, o.shop_id from orders o
		left join (select distinct shop_id, order_id from alerts where source = 'order' and type in (1, 4)) told
			on told.shop_id = o.shop_id and told.order_id = o.id
		left join shop_heads h on h.shop_id = o.shop_id
		left join (select shop_id, min(seq) as seq from alerts group by shop_id) oldest on oldest.shop_id = o.shop_id
		left join alerts a on a.shop_id = oldest.shop_id and a.seq = oldest.seq
		where o.paid_at > 0 and told.order_id is null
		and (h.shop_id is null or h.last_seq = 0 or a.seq = 1 or a.created_at < o.paid_at)`},
	{"order %d of shop %d rang %d times as new", `
		select order_id, shop_id, count(*) from alerts where source = 'order' and type = 1 group by shop_id, order_id having count(*) > 1`},
	{"order %d of shop %d rang, and no money came", `
		select o.id, o.shop_id from orders o join alerts a on a.shop_id = o.shop_id and a.source = 'order' and a.order_id = o.id
		where a.type = 1 and o.pay_status = 0`},
	{"order %d of shop %d is paid and still to be paid", `
		select id, shop_id from orders where status = 1 and pay_status = 1`},
	{"shop %d: alert %d rings, though it was taken care of", `
		select a.shop_id, a.seq from alerts a left join ` + lastClosing + `
		where a.ringing = 1 and (a.type not in (1, 2) or c.seq > a.seq)`},
	{"shop %d: alert %d is silent, and nobody took care of it", `
		select a.shop_id, a.seq from alerts a left join ` + lastClosing + `
		where a.ringing = 0 and a.type in (1, 2) and (c.seq is null or c.seq < a.seq)`},
	{"transaction %s of %s settled order number %s, which does not say so", `
		select i.transaction_id, i.provider, i.number from inbox i join orders o on o.number = i.number
		where i.kind = 'payment' and i.verdict in ('settled', 'paid_after_cancel') and (o.transaction_id <> i.transaction_id or o.provider <> i.provider)`},
	{"transaction %s of %s paid %d orders", `
		select transaction_id, provider, count(*) from orders where transaction_id <> '' group by provider, transaction_id having count(*) > 1`},
	{"the idempotency key of %s in shop %d names alert %d, which is not there", `
		select k.subject, k.shop_id, k.seq from idempotency_keys k left join alerts a on a.shop_id = k.shop_id and a.seq = k.seq where a.seq is null`},
}

// Verify audits a database, which may be in use, and returns what it found
// wrong. It changes nothing.
func Verify(ctx context.Context, databaseURL string) (findings []string, err error) {
	file, err := SQLitePath(databaseURL)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(file); err != nil {
		return nil, err // opening would make an empty one
	}
	db, err := openPool(sqliteDSN(file, "query_only(1)"), 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // one snapshot for all
	if err != nil {
		return nil, fmt.Errorf("begin to read: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing to lose
	rows, err := tx.QueryContext(ctx, `pragma integrity_check`)
	if err != nil {
		return nil, fmt.Errorf("check the file: %w", err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		var line string
		if err := r.Scan(&line); err != nil || line == "ok" {
			return err
		}
		findings = append(findings, "file: "+line)
		return nil
	})
	if err != nil {
		return findings, fmt.Errorf("check the file: %w", err)
	}
	for _, a := range audits {
		more, err := audit(ctx, tx, a.text, a.query)
		if err != nil {
			return findings, fmt.Errorf("audit %q: %w", a.text, err)
		}
		findings = append(findings, more...)
	}
	return findings, nil
}

func audit(ctx context.Context, tx *sql.Tx, text, query string) (findings []string, err error) {
	rows, err := tx.QueryContext(ctx, fmt.Sprintf("select * from (%s) limit %d", query, maxFindings))
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // eachRow has it
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		values := make([]any, len(columns))
		to := make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := r.Scan(to...); err != nil {
			return err
		}
		findings = append(findings, fmt.Sprintf(text, values...))
		return nil
	})
	return findings, err
}

// Backup writes the database, which may be in use, to a new file.
func Backup(ctx context.Context, databaseURL, to string) (err error) {
	file, err := SQLitePath(databaseURL)
	if err != nil {
		return err
	}
	if _, err := os.Stat(file); err != nil {
		return err
	}
	// Made first, so that it is nobody else's to read; VACUUM INTO takes an
	// empty file.
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Sync(), f.Close()) }()
	db, err := openPool(sqliteDSN(file), 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, `vacuum into ?`, to); err != nil {
		return errors.Join(fmt.Errorf("write the backup: %w", err), os.Remove(to))
	}
	return nil
}

// Restore puts a backup in the database's place and gives its log a new epoch,
// so that no console takes new alerts for those it had. What stood there is
// kept beside it; its name is returned. No server may be running.
func Restore(ctx context.Context, databaseURL, from string) (kept string, err error) {
	file, err := SQLitePath(databaseURL)
	if err != nil {
		return "", err
	}
	lock, err := lockFile(file, exclusive)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	fresh := file + ".restoring"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := Backup(ctx, "sqlite://"+from, fresh); err != nil {
		return "", fmt.Errorf("read the backup: %w", err)
	}
	if err := renew(ctx, fresh); err != nil {
		return "", errors.Join(err, os.Remove(fresh))
	}
	kept = file + ".replaced-" + doorbell.Instant(now()).Format("20060102T150405.000")
	for _, suffix := range []string{"-wal", "-shm", ""} { // the file last: it is what counts
		if err := os.Rename(file+suffix, kept+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	if err := os.Rename(fresh, file); err != nil {
		return kept, err
	}
	return kept, safefile.SyncFolder(filepath.Dir(file))
}

// renew checks a copy of a backup and draws its new epoch.
func renew(ctx context.Context, file string) (err error) {
	if findings, err := Verify(ctx, "sqlite://"+file); err != nil || len(findings) > 0 {
		return fmt.Errorf("the backup is not sound: %w", errors.Join(append([]error{err}, asErrors(findings)...)...))
	}
	db, err := openPool(sqliteDSN(file), 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	res, err := db.ExecContext(ctx, `update meta set value = ? where name = 'epoch'`, newEpoch())
	if err != nil {
		return fmt.Errorf("draw a new epoch: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(errors.New("the backup has no epoch: it is not of doorbell"), err)
	}
	// A ticket that was spent since must not be good again.
	if _, err := db.ExecContext(ctx, `delete from tickets`); err != nil {
		return fmt.Errorf("remove old tickets: %w", err)
	}
	// In one file again, so that a rename moves all of it.
	if _, err := db.ExecContext(ctx, `pragma wal_checkpoint(truncate)`); err != nil {
		return fmt.Errorf("write the new epoch: %w", err)
	}
	return nil
}

func asErrors(texts []string) (out []error) {
	for _, text := range texts {
		out = append(out, errors.New(text))
	}
	return out
}
