package handlers_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"doorbell/handlers"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
)

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
