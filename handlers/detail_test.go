package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"doorbell/internal/doorbell"
)

const dishes = `"lines":["宫保鸡丁 ×2","Kung Pao"],"note":"少辣 <b>","table":"A3","pickup":"17"`

// TestWhatWasOrdered: the details of orders and alerts are stored, belong to what
// makes a repeat identical, and come with open alerts.
func TestWhatWasOrdered(t *testing.T) {
	s := newServer(t)
	service := s.token(doorbell.RoleService, "backend", 1)
	console := s.token(doorbell.RoleConsole, "till", 1)
	order := `{"number":"A-1","shopId":1,"userId":77,"amount":1250,` + dishes + `}`
	made := s.as(service, "POST", "api/v1/orders", order).want(t, "create", 201, "")
	again := s.as(service, "POST", "api/v1/orders", order).want(t, "the same again", 200, "")
	read := s.as(service, "GET", "api/v1/orders/"+made.field("id"), "").want(t, "read", 200, "")
	const detail = `"detail":{"lines":["宫保鸡丁 ×2","Kung Pao"],"note":"少辣 \u003cb\u003e","table":"A3","pickup":"17"}`
	for _, got := range []reply{made, again, read} {
		if !strings.Contains(got.body, detail) {
			t.Errorf("order %s, want %s in it", got.body, detail)
		}
	}
	for what, other := range map[string]string{
		"without details": `{"number":"A-1","shopId":1,"userId":77,"amount":1250}`,
		"another note":    strings.Replace(order, "少辣", "微辣", 1),
		"a dish more":     strings.Replace(order, `"Kung Pao"`, `"Kung Pao","Rice"`, 1),
		"dishes swapped":  strings.Replace(order, `"宫保鸡丁 ×2","Kung Pao"`, `"Kung Pao","宫保鸡丁 ×2"`, 1),
		"another table":   strings.Replace(order, "A3", "A4", 1),
		"another pickup":  strings.Replace(order, `"17"`, `"18"`, 1),
	} {
		s.as(service, "POST", "api/v1/orders", other).want(t, what, 409, "conflict")
	}
	bare := `{"number":"A-2","shopId":1,"amount":1,"lines":[],"note":""}`
	s.as(service, "POST", "api/v1/orders", bare).want(t, "empty details", 201, "")
	if got := s.as(service, "POST", "api/v1/orders", `{"number":"A-2","shopId":1,"amount":1,"lines":null}`).want(t, "none at all", 200, ""); got.field("detail") != "" {
		t.Errorf("an order without details: %s", got.body)
	}

	s.pay("A-1", 1250).want(t, "payment", 204, "")
	outside := `{"type":1,"shopId":1,"number":"X-1","lines":["面"],"note":"不要葱"}`
	first := s.as(service, "POST", "api/v1/alerts", outside, "Idempotency-Key", "k").want(t, "raise", 201, "")
	if retry := s.as(service, "POST", "api/v1/alerts", outside, "Idempotency-Key", "k").want(t, "retry", 200, ""); retry.body != first.body {
		t.Errorf("retry answered %s, want %s", retry.body, first.body)
	}
	s.as(service, "POST", "api/v1/alerts", strings.Replace(outside, "葱", "蒜", 1), "Idempotency-Key", "k").want(t, "another note", 409, "conflict")
	s.as(service, "POST", "api/v1/alerts", `{"type":2,"shopId":1,"number":"X-1"}`).want(t, "its reminder", 201, "")

	list := s.as(console, "GET", "api/v1/alerts?shop=1&state=open", "").want(t, "open", 200, "")
	var page struct {
		Alerts []struct {
			Seq    int64
			Detail *doorbell.Detail
		}
	}
	if err := json.Unmarshal([]byte(list.body), &page); err != nil || len(page.Alerts) != 3 {
		t.Fatalf("open alerts %s, %v; want 3", list.body, err)
	}
	for _, a := range page.Alerts {
		want := map[int64]string{1: "少辣 <b>", 2: "不要葱", 3: "不要葱"}[a.Seq]
		if a.Detail == nil || a.Detail.Note != want {
			t.Errorf("alert %d has %+v, want the note %q", a.Seq, a.Detail, want)
		}
	}
	if strings.Contains(s.Log.String(), "不要葱") || strings.Contains(s.Log.String(), "少辣") {
		t.Errorf("a note in the log: %s", s.Log.String())
	}
}

// TestStreamsTellNoDetails: a streamed alert has exactly the contract's bytes,
// whatever was ordered.
func TestStreamsTellNoDetails(t *testing.T) {
	s := newServer(t)
	service := s.token(doorbell.RoleService, "backend", 1)
	console := s.token(doorbell.RoleConsole, "till", 1)
	with := s.as(service, "POST", "api/v1/alerts", `{"type":1,"shopId":1,"number":"X-1","note":"不要葱","lines":["面"]}`).want(t, "raise", 201, "")
	if strings.Contains(with.body, "detail") || strings.Contains(with.body, "不要葱") {
		t.Errorf("the alert that was raised: %s", with.body)
	}
	polled := s.as(console, "GET", "poll?after=0&wait=0", "").want(t, "poll", 200, "")
	if !strings.Contains(polled.body, with.body) || strings.Contains(polled.body, "不要葱") {
		t.Errorf("polled %s, want exactly %s", polled.body, with.body)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"events?after=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+console)
	res, err := s.client.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // cut
	var got strings.Builder
	for b := make([]byte, 1024); !strings.Contains(got.String(), "X-1"); {
		n, err := res.Body.Read(b)
		got.Write(b[:n])
		if err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(got.String(), "data: "+with.body+"\n") {
		t.Errorf("streamed %s, want the line %s", got.String(), with.body)
	}
}

// TestBadDetails: each wrong detail is named in the refusal and changes nothing,
// on both routes.
func TestBadDetails(t *testing.T) {
	s := newServer(t)
	service := s.token(doorbell.RoleService, "backend", 1)
	list := func(n int, line string) string {
		return `"lines":[` + strings.TrimSuffix(strings.Repeat(line+",", n), ",") + `]`
	}
	for _, c := range []struct{ name, detail, says string }{
		{"51 dishes", list(51, `"a"`), `"field":"lines"`},
		{"a dish of 81 characters", `"lines":["a","b","c","` + strings.Repeat("面", 81) + `"]`, `"field":"lines[3]"`},
		{"a dish over two lines", `"lines":["a\nb"]`, `"field":"lines[0]"`},
		{"a dish that is a number", `"lines":[1]`, `"field":"lines`},
		{"dishes that are one text", `"lines":"面"`, `"field":"lines"`},
		{"a dish in GBK", "\"lines\":[\"a\",\"\xc3\xe6\"]", `"field":"lines[1]"`},
		{"half a surrogate pair", `"note":"\ud83c"`, `"field":"note"`},
		{"a long note", `"note":"` + strings.Repeat("辣", 201) + `"`, `"field":"note"`},
		{"an escape sequence", `"note":"\u001b[2J"`, `"field":"note"`},
		{"a C1 control", `"note":"\u009b2J"`, `"field":"note"`},
		{"a long table", `"table":"` + strings.Repeat("A", 41) + `"`, `"field":"table"`},
		{"a long pickup", `"pickup":"` + strings.Repeat("1", 41) + `"`, `"field":"pickup"`},
	} {
		for route, body := range map[string]string{"orders": `{"number":"B-1","shopId":1,"amount":1,%s}`, "alerts": `{"type":1,"number":"B-1","shopId":1,%s}`} {
			got := s.as(service, "POST", "api/v1/"+route, fmt.Sprintf(body, c.detail)).want(t, c.name, 400, "invalid")
			if !strings.Contains(got.body, c.says) {
				t.Errorf("%s to %s: %s does not say %s", c.name, route, got.body, c.says)
			}
		}
	}
	// The longest allowed details fit in their longest JSON spelling.
	most := list(50, `"`+strings.Repeat(`\ud83c\udf5c`, 80)+`"`) + `,"note":"` + strings.Repeat("辣", 200) + `","table":"` + strings.Repeat("A", 40) + `"`
	s.as(service, "POST", "api/v1/orders", `{"number":"B-2","shopId":1,"amount":1,`+most+`}`).want(t, "the most", 201, "")
	if _, at := s.position(1); at.Head != 0 {
		t.Errorf("head %d after bad input, want 0", at.Head)
	}
}
