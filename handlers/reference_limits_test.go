package handlers_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestReferenceLimits: a call generated from the reference passes at each limit of
// each field, and is refused as invalid, with the field's name, past it, of another
// type, or where a needed field is left out.
func TestReferenceLimits(t *testing.T) {
	c := newCaller(t)
	checked := 0
	for _, o := range c.spec.operations() {
		if isCallback(o) || o.op["x-kind"] == "sky" || strings.HasPrefix(o.id, "tell") {
			continue
		}
		body := c.spec.body(o)
		for name, v := range object(body, "properties") {
			if inner := object(v, "properties"); inner != nil {
				for _, below := range slices.Sorted(maps.Keys(inner)) {
					bad := c.prepare(o, roleOf(o))
					delete(object(bad.body[name]), below)
					c.refused(t, o, bad, name+"."+below)
					checked++
				}
			}
			checked += c.property(t, o, name, c.spec.resolve(v))
		}
		for _, name := range texts(body["required"]) {
			bad := c.prepare(o, roleOf(o))
			delete(bad.body, name)
			c.refused(t, o, bad, name)
			checked++
		}
		for _, p := range c.spec.parameters(o) {
			checked += c.parameter(t, o, p)
		}
	}
	if checked < 250 {
		t.Errorf("only %d limits were checked", checked)
	}
	t.Logf("%d limits", checked)
}

// What must stay as it is for a call to pass: an id of something that is there, or
// must not be there.
var fixed = []string{
	"createOrder.id", "receipt.console", "login.token", "login.ticket", "lookAtTicket.ticket", "subscribe.endpoint", "unsubscribe.endpoint",
	"replayCallback.provider", "replayCallback.kind", "replayCallback.transactionId",
}

// ignored is what a call reads and does not look at.
var ignored = []string{"token.life", "token.pair"}

// property checks one field of a body, and returns how many calls it took.
func (c *caller) property(t *testing.T, o operation, name string, s map[string]any) (n int) {
	t.Helper()
	try := func(value any, good bool, unnamed ...bool) {
		n++
		r := c.prepare(o, roleOf(o))
		r.body[name] = value
		if o.id == "login" && name == "ticket" {
			delete(r.body, "token")
		}
		switch {
		case good:
			c.passed(t, o, r, fmt.Sprintf("%s = %.60v", name, value))
		case len(unnamed) > 0:
			c.refused(t, o, r, "")
		default:
			c.refused(t, o, r, name)
		}
	}
	good, bad := values(s)
	if slices.Contains(ignored, o.id+"."+name) {
		return 0
	}
	if !slices.Contains(fixed, o.id+"."+name) {
		for _, v := range good {
			try(v, true)
		}
	}
	for _, v := range bad {
		if strings.HasSuffix(o.id, "subscribe") || o.id == "lookAtTicket" || o.id == "login" && name != "label" {
			if _, isText := v.(string); isText {
				continue // refused as unknown, not as malformed
			}
		}
		try(v, false)
	}
	if s["x-duration"] != nil {
		for _, v := range []any{"soon", true, "0.5s", -1, "9000h"} {
			try(v, false, true)
		}
	}
	return n
}

// values returns some of each schema that pass, and some that do not.
func values(s map[string]any) (good, bad []any) {
	bound := func(key string) (int64, bool) {
		n, ok := s[key].(json.Number)
		if !ok {
			return 0, false
		}
		v, err := n.Int64()
		return v, err == nil
	}
	enum, _ := s["enum"].([]any)
	switch s["type"] {
	case "integer":
		bad = append(bad, "x", 1.5, true)
		if low, ok := bound("minimum"); ok {
			good, bad = append(good, low), append(bad, low-1)
		}
		if high, ok := bound("maximum"); ok {
			good, bad = append(good, high), append(bad, high+1)
		}
		if len(enum) > 0 {
			bad = append(bad, 9)
		}
	case "boolean":
		good, bad = append(good, true), append(bad, "yes", 1)
	case "string":
		bad = append(bad, 7, []any{})
		if most, ok := bound("maxLength"); ok {
			good, bad = append(good, strings.Repeat("界", int(most))), append(bad, strings.Repeat("界", int(most)+1))
		}
		if most, ok := bound("x-max-bytes"); ok {
			good, bad = append(good, strings.Repeat("x", int(most))), append(bad, strings.Repeat("x", int(most)+1))
		}
		if _, ok := bound("minLength"); ok {
			bad = append(bad, "")
		}
		if s["pattern"] != nil {
			bad = append(bad, "a\nb")
		}
		if len(enum) > 0 {
			bad = append(bad, "other")
		}
	case "array":
		bad = append(bad, 7)
		if most, ok := bound("maxItems"); ok {
			line := object(s["items"])
			fine, wrong := values(line)
			good, bad = append(good, slices.Repeat([]any{"x"}, int(most)), fine), append(bad, slices.Repeat([]any{"x"}, int(most)+1))
			for _, one := range wrong {
				bad = append(bad, []any{one})
			}
		}
	}
	return append(good, enum...), bad
}

// parameter checks one of a path, a query or the headers.
func (c *caller) parameter(t *testing.T, o operation, p map[string]any) (n int) {
	t.Helper()
	name, s := fmt.Sprint(p["name"]), object(p["schema"])
	if o.op["x-kind"] == "page" {
		return 0 // a page takes whatever language
	}
	good, bad := values(s)
	try := func(value any, passes bool) {
		n++
		r := c.prepare(o, roleOf(o))
		text := fmt.Sprint(value)
		switch p["in"] {
		case "path":
			r.path[name] = strings.NewReplacer(" ", "%20", "\n", "%0A").Replace(text)
		case "query":
			r.query[name] = text
		default:
			if strings.Contains(text, "\n") {
				text = "a b"
			}
			r.headers = append(r.headers, name, text)
		}
		if passes {
			c.passed(t, o, r, name+" = "+text)
		} else {
			c.refused(t, o, r, name)
		}
	}
	if p["in"] == "query" && !isStream(o) && name != "ticket" {
		for _, v := range good {
			try(v, true)
		}
	}
	for _, v := range bad {
		if _, flag := v.(bool); flag || s["type"] != "integer" && v == any(7) || fmt.Sprint(v) == "[]" || name == "ticket" && p["in"] == "query" && len(fmt.Sprint(v)) < 65 {
			continue // every text is one
		}
		try(v, false)
	}
	if s["format"] == "date" {
		try("yesterday", false)
		try("2026-02-29", false)
		try("2024-02-29", true)
	}
	if required, _ := p["required"].(bool); required && p["in"] == "query" {
		n++
		r := c.prepare(o, roleOf(o))
		delete(r.query, name)
		c.refused(t, o, r, name)
	}
	return n
}

func (c *caller) passed(t *testing.T, o operation, r request, what string) {
	t.Helper()
	got := c.send(o, roleOf(o), r)
	if got.status >= 300 {
		t.Errorf("%s, %s: %d %s, want it to pass", o.id, what, got.status, got.body)
	}
	c.spec.told(t, o.id+", "+what, o, got)
}

// refused wants a 400 that names the field; an empty one may be any.
func (c *caller) refused(t *testing.T, o operation, r request, field string) {
	t.Helper()
	what := fmt.Sprintf("%s %v %v %.200s", o.id, r.query, r.headers, mustJSON(t, r.body))
	got := c.send(o, roleOf(o), r).want(t, what+" ("+field+")", http.StatusBadRequest, "invalid")
	if !strings.Contains(got.body, `"field":"`+field) && field != "" {
		t.Errorf("%s: %s, want it to name %s", what, got.body, field)
	}
	c.spec.told(t, what, o, got)
}
