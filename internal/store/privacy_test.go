package store

import (
	"bufio"
	"bytes"
	"database/sql"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"doorbell/internal/doorbell"
)

// schemaColumns returns the columns of each of our tables on SQLite.
func schemaColumns(t *testing.T) map[string][]string {
	t.Helper()
	s := openTestSQLite(t, nil)
	rows, err := s.writes.QueryContext(t.Context(), `select m.name, p.name from sqlite_master m join pragma_table_info(m.name) p where m.type = 'table' order by m.name, p.cid`)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	if err := scanRows(rows, func(r *sql.Rows) error {
		var table, column string
		err := r.Scan(&table, &column)
		if !strings.HasPrefix(table, "sqlite_") && table != "goose_db_version" {
			out[table] = append(out[table], column)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPrivacyTable: docs/privacy.md names every column that is stored, and no other.
func TestPrivacyTable(t *testing.T) {
	columns := schemaColumns(t)
	for _, doc := range []string{"../../docs/privacy.md", "../../docs/privacy.zh-CN.md"} {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		told := map[string][]string{}
		for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([^|]*) \\|").FindAllStringSubmatch(string(text), -1) {
			for _, name := range regexp.MustCompile("`([a-z_0-9]+)`").FindAllStringSubmatch(row[2], -1) {
				told[row[1]] = append(told[row[1]], name[1])
			}
		}
		for table := range columns {
			slices.Sort(columns[table])
			slices.Sort(told[table])
		}
		if diff := cmp.Diff(columns, told); diff != "" {
			t.Errorf("%s (-schema +document):\n%s", doc, diff)
		}
	}
}

// TestExportIsWhole: each column of each table that names a shop is exported, or is left out here for a reason.
func TestExportIsWhole(t *testing.T) {
	left := map[string]string{
		"outbox.header": "signs the message, which whoever has it could send again",
		"attention":     "which node has consoles just now", "pushes": "where a browser is rung, with its keys",
	}
	whole := map[string]exported{}
	for _, e := range exports {
		whole[e.table] = e
	}
	for table, columns := range schemaColumns(t) {
		if !slices.Contains(columns, "shop_id") || left[table] != "" {
			continue
		}
		for _, column := range columns {
			if !slices.Contains(strings.Split(whole[table].columns, ", "), column) && left[table+"."+column] == "" {
				t.Errorf("%s.%s is not exported", table, column)
			}
		}
	}
}

// exportOf returns a shop's lines by table.
func exportOf(t *testing.T, s *Store, shop doorbell.ShopID) map[string][]map[string]any {
	t.Helper()
	var text bytes.Buffer
	if err := s.Export(t.Context(), shop, &text); err != nil {
		t.Fatal(err)
	}
	out := map[string][]map[string]any{}
	for lines := bufio.NewScanner(&text); lines.Scan(); {
		line := map[string]any{}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		table, _ := line["table"].(string)
		out[table] = append(out[table], line)
	}
	return out
}

func TestForgetAndExport(t *testing.T) { onAll(t, testForgetAndExport) }

func testForgetAndExport(t *testing.T, db database) {
	url := db.url(t)
	s := openURL(t, url, nil)
	at := doorbell.Instant(time.Date(2026, 11, 22, 12, 0, 0, 123e6, time.UTC))
	detail := doorbell.Detail{Lines: []string{"宫保鸡丁 2"}, Note: "Mrs Chen, 2nd floor"}
	for _, o := range []doorbell.Order{
		{ID: 1, Number: "done", Shop: 1, User: 7}, {ID: 2, Number: "rings", Shop: 1, User: 7}, {ID: 3, Number: "other", Shop: 1, User: 8}, {ID: 4, Number: "elsewhere", Shop: 2, User: 7},
	} {
		o.Status, o.PayStatus, o.Money, o.CreatedAt, o.Detail = doorbell.ToBeAccepted, doorbell.Paid, doorbell.Money{Minor: 5, Currency: "CNY"}, at, detail
		err := s.Write(t.Context(), func(tx doorbell.Tx) error {
			o, err := tx.InsertOrder(o)
			if err != nil {
				return err
			}
			types := []doorbell.Type{doorbell.NewOrder, doorbell.Reminder}
			if o.ID != 2 {
				types = append(types, doorbell.TakenCare)
			}
			for _, typ := range types {
				a := alertOf(o.Shop, o.ID, typ)
				a.Source, a.Number, a.Time = doorbell.FromOrder, o.Number, at
				if typ == doorbell.Reminder {
					a.Actor = "customer:7"
				}
				if a, err = tx.Append(a); err != nil {
					return err
				}
				if err := tx.SaveDetail(a.Shop, a.Seq, detail); err != nil {
					return err
				}
				if err := tx.Enqueue(doorbell.Outgoing{Hook: "printer", Message: a.Number + string(rune('0'+int(typ))), Shop: a.Shop, Body: []byte(`{"seq":1}`), NextAt: at, CreatedAt: at}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	before := exportOf(t, s, 1)
	if n := len(before["orders"]); n != 3 || len(before["alerts"]) != 8 || len(before["alert_details"]) != 8 || len(before["outbox"]) != 8 || len(before["shop_heads"]) != 1 {
		t.Fatalf("exported %d orders, %d alerts, %d details, %d messages", n, len(before["alerts"]), len(before["alert_details"]), len(before["outbox"]))
	}
	want := map[string]any{
		"table": "orders", "id": 1.0, "account": "", "number": "done", "shop_id": 1.0, "user_id": 7.0, "status": 2.0, "pay_status": 1.0, "amount": 5.0, "currency": "CNY",
		"provider": "", "transaction_id": "", "created_at": "2026-11-22T12:00:00.123Z", "paid_at": nil, "reminded_at": nil, "refunded_amount": 0.0,
		"detail": `{"lines":["宫保鸡丁 2"],"note":"Mrs Chen, 2nd floor"}`,
	}
	if diff := cmp.Diff(want, before["orders"][0]); diff != "" {
		t.Errorf("the first order (-want +got):\n%s", diff)
	}

	done, err := s.Forget(t.Context(), 7)
	if err != nil || done != (Forgotten{Orders: 2, Ringing: 1}) {
		t.Fatalf("forgot %+v, %v; want 2 orders, and 1 that rings", done, err)
	}
	after := exportOf(t, s, 1)
	if o := after["orders"][0]; o["user_id"] != 0.0 || o["detail"] != "" || o["amount"] != 5.0 {
		t.Errorf("the order is %v, want neither user nor detail", o)
	}
	for i, o := range before["orders"][1:] {
		if diff := cmp.Diff(o, after["orders"][i+1]); diff != "" {
			t.Errorf("another order was changed:\n%s", diff)
		}
	}
	if n := len(after["alert_details"]); n != 5 {
		t.Errorf("%d details are left, want 5: those that ring, and another customer's", n)
	}
	actors := map[any]int{}
	for _, a := range after["alerts"] {
		actors[a["actor"]]++
	}
	if diff := cmp.Diff(map[any]int{"test": 5, "customer:7": 2, "": 1}, actors); diff != "" {
		t.Errorf("who caused alerts (-want +got):\n%s", diff)
	}
	if o := exportOf(t, s, 2)["orders"]; len(o) != 1 || o[0]["user_id"] != 0.0 {
		t.Errorf("in the other shop: %v", o)
	}
	if again, err := s.Forget(t.Context(), 7); err != nil || again != (Forgotten{Ringing: 1}) {
		t.Errorf("once more: %+v, %v", again, err)
	}
	findings, err := Verify(t.Context(), url)
	if err != nil || len(findings) > 0 {
		t.Errorf("after it the database is not sound: %v, %v", findings, err)
	}
}
