package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// maxFindings bounds the findings that one audit reports.
const maxFindings = 100

// lastClosing joins each order's last alert of type 3 or 4 as c to an alert a: one
// pass over the log, where a subquery would take one per alert.
const lastClosing = `(select shop_id, source, order_id, max(seq) as seq from alerts where type in (3, 4)
		group by shop_id, source, order_id) c on c.shop_id = a.shop_id and c.source = a.source and c.order_id = a.order_id`

// rule is a rule of the data: query returns the rows that break it, as the
// arguments of text.
type rule struct{ text, query string }

// audits are the rules that every database must meet.
var audits = []rule{
	{"shop %v: alerts %v to %v are %v, with a gap among them", `
		select shop_id, min(seq), max(seq), count(*) from alerts group by shop_id having max(seq) - min(seq) + 1 <> count(*)`},
	{"shop %v: the head is %v and the last alert %v", `
		select h.shop_id, h.last_seq, (select max(a.seq) from alerts a where a.shop_id = h.shop_id) as last
		from shop_heads h where (select max(a.seq) from alerts a where a.shop_id = h.shop_id) <> h.last_seq`},
	{"shop %v: it has alerts and no head", `
		select distinct shop_id from alerts where shop_id not in (select shop_id from shop_heads)`},
	// A paid order whose alert was pruned looks like one that never had any, so only
	// payments after the oldest kept alert count.
	{"order %v of shop %v is paid and nobody was told", `
		select o.id, o.shop_id from orders o
		left join (select distinct shop_id, order_id from alerts where source = 'order' and type in (1, 4)) told
			on told.shop_id = o.shop_id and told.order_id = o.id
		left join shop_heads h on h.shop_id = o.shop_id
		left join (select shop_id, min(seq) as seq from alerts group by shop_id) oldest on oldest.shop_id = o.shop_id
		left join alerts a on a.shop_id = oldest.shop_id and a.seq = oldest.seq
		where o.paid_at > 0 and told.order_id is null
		and (h.shop_id is null or h.last_seq = 0 or a.seq = 1 or a.created_at < o.paid_at)`},
	// It rings again when it is paid again after a refund.
	{"order %v of shop %v rang %v times as new", `
		select order_id, shop_id, sum(case when type = 1 then 1 else 0 end) as rang from alerts where source = 'order'
		group by shop_id, order_id having sum(case when type = 1 then 1 else 0 end) > 1 + sum(case when type = 4 then 1 else 0 end)`},
	{"order %v of shop %v rang, and no money came", `
		select o.id, o.shop_id from orders o join alerts a on a.shop_id = o.shop_id and a.source = 'order' and a.order_id = o.id
		where a.type = 1 and o.pay_status = 0`},
	{"order %v of shop %v is paid and still to be paid", `
		select id, shop_id from orders where status = 1 and pay_status = 1`},
	{"shop %v: alert %v rings, though it was taken care of", `
		select a.shop_id, a.seq from alerts a left join ` + lastClosing + `
		where a.ringing = 1 and (a.type not in (1, 2) or c.seq > a.seq)`},
	{"shop %v: alert %v is silent, and nobody took care of it", `
		select a.shop_id, a.seq from alerts a left join ` + lastClosing + `
		where a.ringing = 0 and a.type in (1, 2) and (c.seq is null or c.seq < a.seq)`},
	{"transaction %v of %v settled order number %v, which does not say so", `
		select i.transaction_id, i.provider, i.number from inbox i join orders o on o.number = i.number
		where i.kind = 'payment' and i.verdict in ('settled', 'paid_after_cancel') and o.created_at <= i.last_at
		group by i.transaction_id, i.provider, i.number having count(*) = 1 and (max(o.transaction_id) <> i.transaction_id or max(o.provider) <> i.provider)`},
	{"transaction %v of %v paid %v orders", `
		select transaction_id, provider, count(*) from orders where transaction_id <> '' group by provider, transaction_id having count(*) > 1`},
	{"the idempotency key of %v in shop %v names alert %v, which is not there", `
		select k.subject, k.shop_id, k.seq from idempotency_keys k left join alerts a on a.shop_id = k.shop_id and a.seq = k.seq where a.seq is null`},
}

// laterAudits are rules on what a migration added; an older backup has no such
// data. VALID stands for dialect.validJSON of the detail.
var laterAudits = []struct {
	since       int64 // the schema's version
	text, query string
}{
	{5, "the details of alert %v of shop %v belong to no alert", `
		select d.seq, d.shop_id from alert_details d left join alerts a on a.shop_id = d.shop_id and a.seq = d.seq where a.seq is null`},
	{5, "the details of order %v of shop %v can't be read", `
		select id, shop_id from orders where detail <> '' and not VALID`},
	{5, "the details of alert %v of shop %v can't be read", `
		select seq, shop_id from alert_details where not VALID`},
}

// Verify audits a database, which may be in use, and returns its findings. It
// changes nothing.
func Verify(ctx context.Context, databaseURL string) (findings []string, err error) {
	if onServer(databaseURL) {
		v, err := serverOf(ctx, databaseURL)
		if err != nil {
			return nil, err
		}
		return v.verify(ctx)
	}
	file, err := SQLitePath(databaseURL)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(file); err != nil {
		return nil, err // opening a missing file would create it
	}
	lock, err := lockKnown(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	return verifyFile(ctx, file)
}

// VerifyBeside is Verify for tables that stand in another program's database, as
// Options.Beside says.
func VerifyBeside(ctx context.Context, databaseURL string) (findings []string, err error) {
	v, err := serverBeside(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	return v.verify(ctx)
}

func verifyFile(ctx context.Context, file string) (findings []string, err error) {
	db, err := openSQLitePool(sqliteDSN(file, "query_only(1)"), 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return verifyOnce(ctx, db, sqliteDialect, func(tx *sql.Tx) (findings []string, err error) {
		rows, err := tx.QueryContext(ctx, `pragma integrity_check`)
		if err != nil {
			return nil, fmt.Errorf("check the file: %w", err)
		}
		err = scanRows(rows, func(r *sql.Rows) error {
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
		return findings, nil
	})
}

// verify implements Verify for a server, whose files are not checked.
func (v *server) verify(ctx context.Context) (findings []string, err error) {
	db := v.pool(false, 2)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := v.greet(ctx, db); err != nil {
		return nil, err
	}
	switch version, err := v.version(ctx, db); {
	case err != nil:
		return nil, err
	case version == 0:
		return nil, errors.New("the database has no doorbell tables")
	}
	return verifyOnce(ctx, db, v.dialect, func(*sql.Tx) ([]string, error) { return nil, nil })
}

// verifyOnce runs first, where given, and then the audits, on one snapshot.
func verifyOnce(ctx context.Context, db *sql.DB, d *dialect, first func(*sql.Tx) ([]string, error)) (findings []string, err error) {
	tx, err := db.BeginTx(ctx, d.snapshot)
	if err != nil {
		return nil, fmt.Errorf("begin to read: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing to lose
	if findings, err = first(tx); err != nil {
		return findings, err
	}
	more, err := auditAll(ctx, tx, d)
	return append(findings, more...), err
}

// auditAll runs the audits that this schema version supports.
func auditAll(ctx context.Context, tx *sql.Tx, d *dialect) (findings []string, err error) {
	var version int64
	if err := tx.QueryRowContext(ctx, `select coalesce(max(version_id), 0) from `+d.versions+` where is_applied`).Scan(&version); err != nil {
		return findings, fmt.Errorf("read the schema's version: %w", err)
	}
	all := slices.Clone(audits)
	for _, a := range laterAudits {
		if a.since <= version {
			all = append(all, rule{a.text, strings.ReplaceAll(a.query, "VALID", d.validJSON("detail"))})
		}
	}
	for _, a := range all {
		more, err := audit(ctx, tx, a.text, d.rebind(a.query))
		if err != nil {
			return findings, fmt.Errorf("audit %q: %w", a.text, err)
		}
		findings = append(findings, more...)
	}
	if version >= ledgerSince {
		more, err := auditLedger(ctx, tx, d)
		return append(findings, more...), err
	}
	return findings, nil
}

func audit(ctx context.Context, tx *sql.Tx, text, query string) (findings []string, err error) {
	rows, err := tx.QueryContext(ctx, fmt.Sprintf("select * from (%s) finding limit %d", query, maxFindings))
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // scanRows returns it
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	err = scanRows(rows, func(r *sql.Rows) error {
		values := make([]any, len(columns))
		to := make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := r.Scan(to...); err != nil {
			return err
		}
		for i, v := range values {
			if text, ok := v.([]byte); ok { // MySQL returns texts and sums so
				values[i] = string(text)
			}
		}
		findings = append(findings, fmt.Sprintf(text, values...))
		return nil
	})
	return findings, err
}
