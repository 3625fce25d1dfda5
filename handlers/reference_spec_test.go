package handlers_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// spec is a document of the reference as a server serves it.
type spec struct {
	doc    map[string]any
	strict *jsonschema.Compiler // of the same with no field more than it names
}

func object(v any, path ...string) map[string]any {
	for _, name := range path {
		o, _ := v.(map[string]any)
		v = o[name]
	}
	o, _ := v.(map[string]any)
	return o
}

func texts(v any) (out []string) {
	list, _ := v.([]any)
	for _, one := range list {
		out = append(out, fmt.Sprint(one))
	}
	return out
}

func (s *testServer) spec(t *testing.T, name string) *spec {
	t.Helper()
	text := s.do("GET", name, "").want(t, name, 200, "").body
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	closed, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range object(closed, "components", "schemas") {
		if o := object(v); o["properties"] != nil {
			o["additionalProperties"] = false
		}
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("doc.json", closed); err != nil {
		t.Fatal(err)
	}
	return &spec{doc: object(doc), strict: c}
}

// valid checks a text against the schema at a place of the document.
func (d *spec) valid(t *testing.T, what, text string, place ...string) {
	t.Helper()
	pointer := "doc.json#"
	for _, name := range place {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D", "%", "%25").Replace(name)
	}
	schema, err := d.strict.Compile(pointer)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		t.Errorf("%s: %s\nis not as the reference says: %v", what, text, err)
	}
}

// resolve follows a reference.
func (d *spec) resolve(v any) map[string]any {
	o := object(v)
	if ref, ok := o["$ref"].(string); ok {
		return object(d.doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return o
}

// operation is a call of the reference.
type operation struct {
	id, method, path string
	op, item         map[string]any
}

func (d *spec) operations() (out []operation) {
	for path, item := range object(d.doc, "paths") {
		for method, op := range object(item) {
			if method != "parameters" {
				out = append(out, operation{fmt.Sprint(object(op)["operationId"]), strings.ToUpper(method), path, object(op), object(item)})
			}
		}
	}
	slices.SortFunc(out, func(a, b operation) int { return strings.Compare(a.id, b.id) })
	return out
}

func (d *spec) parameters(o operation) (out []map[string]any) {
	for _, of := range []map[string]any{o.item, o.op} {
		list, _ := of["parameters"].([]any)
		for _, p := range list {
			out = append(out, d.resolve(p))
		}
	}
	return out
}

// body returns the schema of a call's body, or nil.
func (d *spec) body(o operation) map[string]any {
	return d.resolve(object(o.op, "requestBody", "content", "application/json")["schema"])
}

// transfer are the headers of any HTTP server.
var transfer = []string{"Content-Type", "Content-Length", "Date", "Connection", "Accept-Ranges"}

// told checks an answer against its call: the status, the type, the body, the headers.
func (d *spec) told(t *testing.T, what string, o operation, r reply) {
	t.Helper()
	status := strconv.Itoa(r.status)
	answer := object(o.op, "responses", status)
	if answer == nil {
		t.Errorf("%s: the reference has no answer %s: %s", what, status, r.body)
		return
	}
	listed := object(answer, "headers")
	for name := range listed {
		optional := name == "Retry-After" && r.field("code") == "unavailable" || name == "Content-Disposition"
		if r.header.Get(name) == "" && !optional {
			t.Errorf("%s: %s has no header %s", what, status, name)
		}
	}
	intro := strings.ToLower(fmt.Sprint(object(d.doc, "info")["description"], slices.Collect(maps.Keys(listed)), transfer))
	for name := range r.header {
		if !strings.Contains(intro, strings.ToLower(name)) {
			t.Errorf("%s: %s has the header %s, of which the reference tells nothing", what, status, name)
		}
	}
	kind, _, _ := strings.Cut(r.header.Get("Content-Type"), ";")
	content := object(answer, "content")
	if len(content) == 0 {
		if r.body != "" {
			t.Errorf("%s: %s has a body that the reference has not: %s", what, status, r.body)
		}
		return
	}
	if content[kind] == nil {
		t.Errorf("%s: %s is of type %q, the reference has %v", what, status, kind, slices.Collect(maps.Keys(content)))
		return
	}
	if strings.HasSuffix(kind, "json") {
		d.valid(t, what, r.body, "paths", o.path, strings.ToLower(o.method), "responses", status, "content", kind, "schema")
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
