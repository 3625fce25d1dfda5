package handlers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"doorbell/handlers"
	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
)

// TestClosedElsewhere silences what the backend has taken care of, ours and theirs, once.
func TestClosedElsewhere(t *testing.T) {
	s := newServer(t)
	service := s.token(doorbell.RoleService, "backend", 1)
	s.as(service, "POST", "api/v1/orders", `{"id":5,"number":"A-1","shopId":1,"userId":77,"amount":1}`).want(t, "create", 201, "")
	s.pay("A-1", 1)
	s.raise(1, doorbell.NewOrder, 5, "theirs, by the same id")
	s.raise(2, doorbell.NewOrder, 5, "another shop's")
	for range 2 {
		if err := s.Service.CloseElsewhere(t.Context(), auth.SkyShop, 5, doorbell.TakenCare, "sky.upstream"); err != nil {
			t.Fatal(err)
		}
	}
	if _, at := s.position(1); at.Head != 4 {
		t.Errorf("head %d, want 4: two rings and what silences each", at.Head)
	}
	if _, at := s.position(2); at.Head != 1 {
		t.Errorf("shop 2's head %d, want 1", at.Head)
	}
	if got := s.as(service, "GET", "api/v1/alerts?shop=1&state=open", ""); !strings.Contains(got.body, `"alerts":[]`) {
		t.Errorf("still open: %s", got.body)
	}
	if got := s.as(service, "GET", "api/v1/orders/5", "").field("status"); got != "3" {
		t.Errorf("status %s, want 3", got)
	}
}

// aDay is a ledger of these entries.
type aDay []doorbell.LedgerEntry

func (d aDay) Day(context.Context, doorbell.ShopID, string) (doorbell.LedgerDay, error) {
	return doorbell.LedgerDay{Shop: 1, Entries: d}, nil
}

// TestSkyMessages: the 通知中心 of their page's source, in its shapes.
func TestSkyMessages(t *testing.T) {
	whole := newServer(t)
	s := newEdge(t, handlers.Options{
		Guard: handlers.Guard{Sky: handlers.Sky{
			Tokens: auth.NewSky(skyAdminSecret, skyUserSecret), AdminName: "token", UserName: "authentication",
			Customers: func(context.Context, []doorbell.OrderID) (map[doorbell.OrderID]doorbell.Customer, error) {
				return map[doorbell.OrderID]doorbell.Customer{7: {Consignee: "张三</script>", Phone: "138", Address: "北京"}}, nil
			},
		}},
		API: handlers.API{Orders: whole.Service, Alerts: whole.Service, Days: whole.Service, Consoles: whole.Hub, Ledgers: aDay{
			{Paid: true, Amount: 2850, Seq: 1, Reached: []doorbell.Reached{{Progress: doorbell.WasAccepted}}},
			{Paid: true, Amount: 1205, Seq: 2},
			{Paid: true, Amount: 90, Seq: 3, Reached: []doorbell.Reached{{Progress: doorbell.WasCancelled}}},
			{Seq: 4, Source: doorbell.External},
		}},
	})
	employee := []string{"token", employeeToken(t, time.Hour)}
	for _, refused := range []reply{
		s.do("GET", "admin/messages/page", ""), s.do("GET", "admin/messages/countUnread", "", "token", employeeToken(t, -time.Minute)),
		s.do("PUT", "admin/messages/1", "", "token", skyToken(t, skyUserSecret, "userId", 1, time.Hour)),
	} {
		if refused.status != 401 || refused.body != "" {
			t.Errorf("without a token: %d %q", refused.status, refused.body)
		}
	}
	for i := range 12 {
		whole.raise(1, doorbell.NewOrder, int64(100+i), "x")
	}
	whole.raise(1, doorbell.Reminder, 7, "x")
	whole.raise(1, doorbell.TakenCare, 100, "x")
	whole.raise(2, doorbell.NewOrder, 1, "another shop's")
	unread := func(want string) {
		t.Helper()
		if got := s.do("GET", "admin/messages/countUnread", "", employee...); got.status != 200 || got.body != `{"code":1,"msg":null,"data":`+want+`}` {
			t.Errorf("unread: %d %s, want %s", got.status, got.body, want)
		}
	}
	unread("13")
	page := func(query string) (total int, records []map[string]any) {
		t.Helper()
		r := s.do("GET", "admin/messages/page?"+query, "", employee...)
		var got struct {
			Code int
			Data struct {
				Total   int
				Records []map[string]any
			}
		}
		if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != 200 || got.Code != 1 || got.Data.Records == nil {
			t.Fatalf("page %s: %d %s, %v", query, r.status, r.body, err)
		}
		return got.Data.Total, got.Data.Records
	}
	total, records := page("pageNum=1&pageSize=10&status=1")
	if total != 13 || len(records) != 10 {
		t.Fatalf("%d messages in all, %d on the page", total, len(records))
	}
	for _, m := range records {
		content, details := m["content"].(string), m["details"].(string)
		var parsed map[string]string
		if err := json.Unmarshal([]byte(details), &parsed); err != nil || strings.Contains(details, "<") {
			t.Errorf("details %s: %v", details, err)
		}
		switch parts := len(strings.Split(content, " ")); m["type"] {
		case 1.0, 2.0:
			if parts != 3 {
				t.Errorf("content %q has %d parts", content, parts)
			}
		case 4.0:
			if parts != 1 || parsed["consignee"] != "张三</script>" || parsed["orderTime"] == "" {
				t.Errorf("a reminder is %v", m)
			}
			if _, has := parsed["orderDishes"]; !has {
				t.Errorf("a reminder has no orderDishes: %s", details)
			}
		default:
			t.Errorf("type %v", m["type"])
		}
	}
	if records[0]["type"] != 4.0 {
		t.Errorf("the newest is %v, want the reminder", records[0])
	}
	if _, last := page("pageNum=2&pageSize=10&status=1"); len(last) != 3 {
		t.Errorf("%d messages on the second page", len(last))
	}
	answer := s.do("PUT", "admin/messages/1", "", employee...)
	if answer.status != 200 || answer.body != `{"code":1,"msg":null,"data":null}` {
		t.Errorf("one read: %d %s", answer.status, answer.body)
	}
	s.do("PUT", "admin/messages/batch", `[2,"3",3,9999]`, employee...).want(t, "many read", 200, "")
	unread("10")
	if total, read := page("status=2"); total != 4 || len(read) != 4 || read[1]["status"] != 2.0 {
		t.Errorf("%d were read: %v", total, read)
	}
	// The day's figures stand before all others, and move none to another page twice.
	total, records = page("pageNum=1&pageSize=10")
	_, rest := page("pageNum=2&pageSize=10")
	if total != 14 || len(records) != 10 || len(rest) != 4 || records[9]["id"].(float64) != rest[0]["id"].(float64)+1 {
		t.Errorf("%d messages in all, %v and %v", total, records, rest)
	}
	today := records[0]
	if want := `{"cancelledAmount":"0.90","cancelledOrders":"1","newUsers":"—","orderCompletionRate":"0.33","turnover":"40.55","validOrderCount":"1"}`; today["type"] != 5.0 ||
		today["status"] != 2.0 || strings.Contains(today["content"].(string), " ") || today["details"] != want {
		t.Errorf("the day's figures are %v, want %s", today, want)
	}
	s.do("PUT", fmt.Sprintf("admin/messages/%.0f", today["id"]), "", employee...).want(t, "the figures are ticked off", 200, "")
	unread("10")
	whole.order("D-1", 100)
	whole.pay("D-1", 100).want(t, "pay", 204, "")
	if _, list := page("pageSize=2&status=1"); list[0]["type"] != 1.0 {
		t.Errorf("a paid order is %v, want a new one", list[0])
	}
	if _, err := whole.Service.AcceptOrder(t.Context(), 1, "cook"); err != nil {
		t.Fatal(err)
	}
	if _, list := page("pageSize=2&status=1"); list[0]["type"] != 3.0 || len(strings.Split(list[0]["content"].(string), " ")) != 3 || list[0]["details"] != "{}" {
		t.Errorf("an accepted order is %v, want one to be delivered", list[0])
	}
	for _, bad := range []reply{
		s.do("GET", "admin/messages/page?status=3", "", employee...), s.do("GET", "admin/messages/page?pageNum=x", "", employee...),
		s.do("PUT", "admin/messages/batch", `{"ids":[1]}`, employee...), s.do("PUT", "admin/messages/x", "", employee...),
	} {
		if bad.status != 200 || !strings.HasPrefix(bad.body, `{"code":0,"msg":"`) {
			t.Errorf("a bad call: %d %s", bad.status, bad.body)
		}
	}
	newServer(t).do("GET", "admin/messages/page", "").want(t, "without sky", 404, "")
}
