package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"doorbell/internal/doorbell"
)

// exported is a table as Export writes it: rows of a shop in steps of a rising
// number, so that no statement is long.
type exported struct {
	table   string
	columns string // all but secrets
	number  string // the column of the steps; empty: all rows at once
	where   string // of the shop, whose id is its argument
}

const ofShop = `shop_id = ?`

// exports are the tables that hold a shop's data.
var exports = []exported{
	{"shop_heads", "shop_id, last_seq", "", ofShop},
	{"orders", "id, account, number, shop_id, user_id, status, pay_status, amount, currency, provider, transaction_id, created_at, paid_at, reminded_at, detail, refunded_amount", "id", ofShop},
	{"alerts", "shop_id, seq, type, source, order_id, number, content, test, actor, created_at, ringing, heard, nonce", "seq", ofShop},
	{"alert_details", "shop_id, seq, detail", "seq", ofShop},
	{"receipts", "shop_id, seq, console, stage, reason, actor, created_at", "seq", ofShop},
	{"deliveries", "shop_id, upto_seq, from_seq, console, actor, created_at", "upto_seq", ofShop},
	{"escalations", "shop_id, seq, rung, round, addressee, message, state, created_at, done_at, last_error", "seq", ofShop},
	{"idempotency_keys", "subject, shop_id, value, body_hash, seq, created_at", "seq", ofShop},
	{"outbox", "id, hook, message, event, shop_id, body, state, attempts, next_at, created_at, last_error, about_seq", "id", ofShop},
	{
		"inbox", "provider, kind, transaction_id, number, amount, currency, check_amount, body_hash, verdict, reason, times, first_at, last_at, payment_id, basis, account", "",
		`exists (select 1 from orders where orders.number = inbox.number and orders.account = inbox.account and orders.shop_id = ?)`,
	},
	{"ledger_days", "shop_id, day, begins_at, ends_at, as_of, entries, before_hash, hash", "", ofShop},
	{"ledger_entries", "shop_id, day, entry, body, hash", "", ofShop},
	{"ledger_heads", "shop_id, first_day, last_day, hash, kept_day, pruned_seq", "", ofShop},
	{"attendance", "shop_id, alarm, alarm_at, alarms, alarms_since", "", ofShop},
}

// exportStep is how many rows a statement reads, and about how many where several
// rows share a number.
const exportStep = 1000

// Export writes what is stored of a shop to w, a JSON object a line: the table, and
// each column. Times are RFC 3339 in UTC, null for never. What is written while it
// runs may be in one table and not in another.
func (s *Store) Export(ctx context.Context, shop doorbell.ShopID, w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, e := range exports {
		if err := s.export(ctx, e, shop, enc); err != nil {
			return fmt.Errorf("export %s: %w", e.table, err)
		}
	}
	return nil
}

func (s *Store) export(ctx context.Context, e exported, shop doorbell.ShopID, enc *json.Encoder) error {
	if e.number == "" {
		return s.exportRows(ctx, e, enc, `select `+e.columns+` from `+e.table+` where `+e.where, shop)
	}
	for after := int64(0); ; {
		// The last number of the step: several rows may share one.
		var upto sql.NullInt64
		step := `select max(n) from (select ` + e.number + ` as n from ` + e.table + ` where ` + e.where + ` and ` + e.number + ` > ? order by ` + e.number + ` limit ?) step`
		if err := s.reads.one(ctx, step, shop, after, exportStep).Scan(&upto); err != nil || !upto.Valid {
			return err
		}
		if err := s.exportRows(ctx, e, enc,
			`select `+e.columns+` from `+e.table+` where `+e.where+` and `+e.number+` > ? and `+e.number+` <= ? order by `+e.number,
			shop, after, upto.Int64); err != nil {
			return err
		}
		after = upto.Int64
	}
}

func exportLine(table string, names []string, values []any) map[string]any {
	line := map[string]any{"table": table}
	for i, name := range names {
		v := values[i]
		if text, ok := v.([]byte); ok { // MySQL returns texts so
			v = string(text)
		}
		if ms, ok := v.(int64); ok && (strings.HasSuffix(name, "_at") || name == "as_of" || name == "alarms_since") {
			if v = any(nil); ms != 0 {
				v = instant(ms).UTC().Format(time.RFC3339Nano)
			}
		}
		line[name] = v
	}
	return line
}

func (s *Store) exportRows(ctx context.Context, e exported, enc *json.Encoder, query string, args ...any) error {
	rows, err := s.reads.query(ctx, query, args...)
	if err != nil {
		return err
	}
	names := strings.Split(e.columns, ", ")
	return eachRow(rows, func(r *sql.Rows) error {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := r.Scan(into...); err != nil {
			return err
		}
		return enc.Encode(exportLine(e.table, names, values))
	})
}
