package handlers_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"doorbell/internal/doorbell"
	"doorbell/transport/transporttest"
)

// oldCall is what a client of the first contract sends, and what it relies on.
type oldCall struct {
	As, Method, Path, Body string
	Pay                    string // instead: the order that is paid
	Amount                 int64
	Status                 int
	Header                 string            // must be there
	Has                    map[string]string // a field's JSON type, or = and its text
	Keep                   map[string]string // for later calls
}

// TestFirstContract: a client of the first contract works against this server. What it
// sends and relies on is data of that time; what was added since is ignored.
func TestFirstContract(t *testing.T) {
	text, err := os.ReadFile("testdata/first-contract.json")
	if err != nil {
		t.Fatal(err)
	}
	var contract struct {
		Calls  []oldCall
		Alerts []string // patterns of the bytes, from seq 1
		Hello  []string // the fields
		Plain  []int64  // the seqs that a plain client gets
	}
	if err := json.Unmarshal(text, &contract); err != nil {
		t.Fatal(err)
	}
	s := newServer(t)
	tokens := map[string]string{
		"service": s.token(doorbell.RoleService, "backend", 1), "console": s.token(doorbell.RoleConsole, "till", 1), "customer": s.token(doorbell.RoleCustomer, "77"),
	}
	kept := map[string]string{}
	for i, call := range contract.Calls {
		for name, value := range kept {
			call.Path, call.Body = strings.ReplaceAll(call.Path, "{"+name+"}", value), strings.ReplaceAll(call.Body, "{"+name+"}", value)
		}
		s.oldCall(t, fmt.Sprintf("call %d, %s %s", i+1, call.Method, call.Path), call, tokens[call.As], kept)
	}
	for _, tr := range transporttest.Transports() {
		stream, err := tr.Dial(s.url, transporttest.Dial{Token: tokens["console"], Query: "shops=1&after=0", SID: "old"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stream.Close)
		hello, err := stream.Next()
		if err != nil || hello.Event != "hello" {
			t.Fatalf("%s: %+v, %v; want hello first", tr.Name, hello, err)
		}
		for _, field := range contract.Hello {
			if tr.Name != "poll" && !strings.Contains(hello.Raw, `"`+field+`":`) {
				t.Errorf("%s: hello has no %s: %s", tr.Name, field, hello.Raw)
			}
		}
		for _, want := range contract.Alerts {
			m, err := stream.Next()
			if err != nil || !regexp.MustCompile(want).MatchString(m.Raw) {
				t.Fatalf("%s: %s, %v; want %s", tr.Name, m.Raw, err, want)
			}
		}
	}
	plain, err := transporttest.DialWebSocket(s.url, transporttest.Dial{Token: tokens["console"], Query: "shops=1&after=0", Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plain.Close)
	for _, want := range contract.Plain {
		if m, err := plain.Next(); err != nil || m.Seq != want {
			t.Fatalf("a plain client got %s, %v; want seq %d", m.Raw, err, want)
		}
	}
}

func (s *testServer) oldCall(t *testing.T, what string, call oldCall, token string, kept map[string]string) {
	t.Helper()
	var got reply
	switch {
	case call.Pay != "":
		got = s.pay(call.Pay, call.Amount)
	case token == "":
		got = s.do(call.Method, call.Path, call.Body)
	default:
		got = s.as(token, call.Method, call.Path, call.Body)
	}
	if got.status != call.Status || call.Header != "" && got.header.Get(call.Header) == "" {
		t.Fatalf("%s: %d %s %v, want %d with %s", what, got.status, got.body, got.header, call.Status, call.Header)
	}
	var fields map[string]any
	if len(call.Has) > 0 {
		if err := json.Unmarshal([]byte(got.body), &fields); err != nil {
			t.Fatalf("%s: %v: %s", what, err, got.body)
		}
	}
	for name, want := range call.Has {
		value, there := fields[name]
		text, exact := strings.CutPrefix(want, "=")
		if !there || exact && got.field(name) != text || !exact && kindOf(value) != want {
			t.Errorf("%s: %s is %v, want %s: %s", what, name, value, want, got.body)
		}
	}
	for name, field := range call.Keep {
		kept[name] = got.field(field)
	}
}

// kindOf returns the JSON type of a value.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	default:
		return "boolean"
	}
}
