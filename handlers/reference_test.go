package handlers_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"doorbell/handlers"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
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

// TestReferenceRoutes: the reference has the routes that there are, and no others;
// under a base path, too.
func TestReferenceRoutes(t *testing.T) {
	s := newServer(t, withSky, func(c *config.Config) { c.Server.BasePath = "/bell/" })
	d := s.spec(t, "openapi.json")
	if got := fmt.Sprint(d.doc["servers"]); got != "[map[url:/bell]]" {
		t.Errorf("servers: %s", got)
	}
	var want, got []string
	for _, r := range s.Edge.Routes() {
		path, below := strings.CutPrefix(r.Path, "/bell")
		if r.Method != http.MethodOptions && below { // preflights are told of in the introduction
			want = append(want, r.Method+" "+regexp.MustCompile(`[:*](\w+)`).ReplaceAllString(path, "{$1}"))
		}
	}
	for _, o := range d.operations() {
		got = append(got, o.method+" "+o.path)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes (-), reference (+):\n%s", diff)
	}
	for _, language := range []string{"zh", "en"} {
		page := s.do("GET", "docs?lang="+language, "").want(t, "docs", 200, "")
		if !strings.Contains(page.body, `lang="`+language+`"`) || !strings.Contains(page.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("docs in %s: %v %.200s", language, page.header, page.body)
		}
	}
	if chinese := s.do("GET", "docs", "", "Accept-Language", "zh-CN,en;q=0.5"); !strings.Contains(chinese.body, `lang="zh"`) {
		t.Errorf("docs for a Chinese browser: %.200s", chinese.body)
	}
}

// TestReferenceCodes: the error codes and their statuses are those of the code.
func TestReferenceCodes(t *testing.T) {
	d := newServer(t).spec(t, "openapi.json")
	got := map[doorbell.Code]int{}
	for code, v := range object(d.doc, "x-codes") {
		status, err := strconv.Atoi(fmt.Sprint(object(v)["status"]))
		if err != nil {
			t.Fatal(err)
		}
		got[doorbell.Code(code)] = status
	}
	if diff := cmp.Diff(handlers.Statuses(), got); diff != "" {
		t.Errorf("code (-), reference (+):\n%s", diff)
	}
}

// fieldsOf returns the JSON names of a type's fields.
func fieldsOf(t reflect.Type) (out []string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			out = append(out, fieldsOf(f.Type)...)
		case name != "" && name != "-":
			out = append(out, name)
		}
	}
	return out
}

// TestReferenceShapes: what is sent has the fields that the reference says.
func TestReferenceShapes(t *testing.T) {
	d := newServer(t).spec(t, "openapi.json")
	alert := slices.Collect(maps.Keys(object(d.doc, "components", "schemas", "Alert", "properties")))
	for name, typ := range handlers.Shapes() {
		want := fieldsOf(typ)
		if name == "AlertState" {
			want = append(want, alert...) // MarshalJSON puts the alert in front
		}
		got := slices.Collect(maps.Keys(object(d.doc, "components", "schemas", name, "properties")))
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: code (-), reference (+):\n%s", name, diff)
		}
	}
}

// source is the code of this package and of the domain, as far as bodies go.
type source struct {
	structs map[string]*ast.StructType // by name, of the domain with its package
	funcs   map[string]*ast.FuncDecl
}

func readSource(t *testing.T) source {
	t.Helper()
	s := source{map[string]*ast.StructType{}, map[string]*ast.FuncDecl{}}
	for prefix, dir := range map[string]string{"": ".", "doorbell.": "../internal/doorbell"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range f.Decls {
				s.note(prefix, decl)
			}
		}
	}
	return s
}

func (s source) note(prefix string, decl ast.Decl) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if prefix == "" {
			s.funcs[decl.Name.Name] = decl
		}
	case *ast.GenDecl:
		for _, one := range decl.Specs {
			if named, ok := one.(*ast.TypeSpec); ok {
				if st, ok := named.Type.(*ast.StructType); ok {
					s.structs[prefix+named.Name.Name] = st
				}
			}
		}
	}
}

// fields returns the JSON names of a struct as it is written.
func (s source) fields(typ ast.Expr, prefix string) (out []string) {
	switch typ := typ.(type) {
	case *ast.Ident:
		return s.fields(s.structs[prefix+typ.Name], prefix)
	case *ast.SelectorExpr:
		return s.fields(s.structs["doorbell."+typ.Sel.Name], "doorbell.")
	case *ast.StructType:
		for _, f := range typ.Fields.List {
			if f.Tag == nil {
				out = append(out, s.fields(f.Type, prefix)...)
				continue
			}
			tag, _ := strconv.Unquote(f.Tag.Value)
			name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
			out = append(out, name)
		}
	}
	return out
}

// decoded returns the fields that a function decodes itself; nil for none.
func (s source) decoded(f *ast.FuncDecl) (out []string) {
	decodes := false
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if name, ok := call.Fun.(*ast.Ident); ok && name.Name == "decode" {
				decodes = true
			}
		}
		return true
	})
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && decodes && v.Names[0].Name == "body" {
			out = s.fields(v.Type, "")
		}
		return true
	})
	return out
}

// TestReferenceBodies: what the decoders read, body and query, is what the reference
// says.
func TestReferenceBodies(t *testing.T) {
	d := newServer(t).spec(t, "openapi.json")
	src := readSource(t)
	decoders := map[string][]string{}
	for name, f := range src.funcs {
		if fields := src.decoded(f); fields != nil {
			decoders[name] = fields
		}
	}
	decoders["ticket"], decoders["token"] = decoders["consoleGrant"], decoders["consoleGrant"]
	delete(decoders, "consoleGrant")
	for _, o := range d.operations() {
		body := d.body(o)
		want, reads := decoders[o.id]
		delete(decoders, o.id)
		if strings.HasPrefix(o.path, "/pay/") || o.path == "/notify/paySuccess" || o.id == "tickMany" {
			continue // the providers' own, which their tests hold; a list
		}
		if reads != (body != nil) {
			t.Errorf("%s: a body is read: %v, and the reference has one: %v", o.id, reads, body != nil)
		}
		got := slices.Collect(maps.Keys(object(body, "properties")))
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: decoder (-), reference (+):\n%s", o.id, diff)
		}
	}
	for name := range decoders {
		t.Errorf("%s reads a body, and no call of the reference is called so", name)
	}
	told := map[string]bool{}
	for _, o := range d.operations() {
		for _, p := range d.parameters(o) {
			if p["in"] == "query" {
				told[fmt.Sprint(p["name"])] = true
			}
		}
	}
	if read := src.queries(); !maps.Equal(read, told) {
		t.Errorf("query: %s", cmp.Diff(read, told))
	}
}

// queries returns all names that are read of queries.
func (s source) queries() map[string]bool {
	out := map[string]bool{}
	note := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			name, _ := strconv.Unquote(lit.Value)
			out[name] = true
		}
	}
	for _, f := range s.funcs {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Query", "GetQuery", "DefaultQuery"}, sel.Sel.Name) && len(n.Args) > 0 {
					note(n.Args[0])
				}
				if name, ok := n.Fun.(*ast.Ident); ok && (name.Name == "number" || name.Name == "fromOne") {
					note(n.Args[1])
				}
			case *ast.CompositeLit: // the table of GET /api/v1/alerts
				if f.Name.Name == "alerts" && len(n.Elts) == 5 {
					note(n.Elts[0])
				}
			}
			return true
		})
	}
	return out
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
