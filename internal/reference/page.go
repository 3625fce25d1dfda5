package reference

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// Language is a page's.
type Language string

// The languages of the page.
const (
	Chinese Language = "zh"
	English Language = "en"
)

// text returns a document's text in the language.
func (l Language) text(doc document, key string) string {
	if chinese, ok := doc["x-"+key+"-zh"].(string); ok && l == Chinese {
		return chinese
	}
	english, _ := doc[key].(string)
	return english
}

// says returns one of two texts of the page itself.
func (l Language) says(english, chinese string) string {
	if l == Chinese {
		return chinese
	}
	return english
}

// group is the calls of one tag.
type group struct {
	ID, Text string
	Calls    []call
}

type call struct {
	ID, Method, Path, Summary, Text string
	Roles                           []string
	Fields                          []field // parameters
	Body                            *shape
	BodyText                        string
	Answers                         []answer
}

type answer struct {
	Status string
	Text   string
	Shape  *shape
}

// shape is what a body is: a named schema, or the fields of one without a name.
type shape struct {
	Ref    string
	Kind   string
	Fields []field
}

// field is one value: a parameter, or a property of an object.
type field struct {
	Name, Where, Kind, Ref, Text string
	Needed                       bool
	Fields                       []field
}

type schema struct {
	Name, Text string
	Fields     []field
}

type codeLine struct{ Code, Status, Text string }

type channel struct {
	Address, Title, Text string
	Messages             []string
}

// client is an example in one language.
type client struct{ Name, Text string }

type page struct {
	Lang           Language
	Version, Intro string
	Promise        string
	Codes          []codeLine
	Groups         []group
	Channels       []channel
	Schemas        []schema
	Clients        []client
	Says           func(english, chinese string) string
}

// Page returns the page to read in a language.
func (d *Documents) Page(l Language) ([]byte, error) {
	m, err := d.made()
	if err != nil {
		return nil, err
	}
	p := page{
		Lang: l, Version: d.version, Intro: l.text(child(m.open, "info"), "description"), Promise: l.text(child(m.async, "info"), "description"),
		Says: l.says,
	}
	for code, v := range child(m.open, "x-codes") {
		c, _ := v.(document)
		p.Codes = append(p.Codes, codeLine{code, fmt.Sprint(c["status"]), l.text(c, "text")})
	}
	slices.SortFunc(p.Codes, func(a, b codeLine) int { return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Code, b.Code)) })
	p.Groups = l.groups(m)
	for _, name := range slices.Sorted(maps.Keys(child(m.async, "channels"))) {
		c := child(child(m.async, "channels"), name)
		p.Channels = append(p.Channels, channel{
			Address: fmt.Sprint(c["address"]), Title: l.text(c, "title"), Text: l.text(c, "description"),
			Messages: l.payloads(m, c),
		})
	}
	all := document{}
	maps.Copy(all, child(child(m.open, "components"), "schemas"))
	maps.Copy(all, child(child(m.async, "components"), "schemas"))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := child(all, name)
		p.Schemas = append(p.Schemas, schema{Name: name, Text: l.text(s, "description"), Fields: l.properties(s)})
	}
	if p.Clients, err = clients(); err != nil {
		return nil, err
	}
	t, err := template.New("page.html").Funcs(template.FuncMap{"code": withCode}).ParseFS(sources, "page.html")
	if err != nil {
		return nil, fmt.Errorf("parse the reference's page: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, p); err != nil {
		return nil, fmt.Errorf("make the reference's page: %w", err)
	}
	return out.Bytes(), nil
}

// clients returns the examples, which the tests run.
func clients() (out []client, err error) {
	for _, name := range []string{"curl.sh", "go/main.go", "node.mjs", "browser.js", "eventsource.js", "python.py", "Follow.java"} {
		text, err := fs.ReadFile(sources, "clients/"+name)
		if err != nil {
			return nil, fmt.Errorf("read the examples: %w", err)
		}
		out = append(out, client{name, string(text)})
	}
	return out, nil
}

// withCode returns a text with `names` as code and its lines apart.
func withCode(text string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(text, "`") {
		safe := strings.ReplaceAll(template.HTMLEscapeString(part), "\n", "<br>")
		if i%2 == 1 {
			safe = "<code>" + safe + "</code>"
		}
		b.WriteString(safe)
	}
	return template.HTML(b.String()) //nolint:gosec // every part is escaped
}

func (l Language) groups(m made) (out []group) {
	tags, _ := m.open["tags"].([]any)
	for _, v := range tags {
		tag, _ := v.(document)
		g := group{ID: fmt.Sprint(tag["name"]), Text: l.text(tag, "description")}
		for _, path := range m.order {
			item := child(child(m.open, "paths"), path)
			for _, method := range methods(item) {
				if op := child(item, method); slices.Contains(list(op, "tags"), g.ID) {
					g.Calls = append(g.Calls, l.call(m.open, path, method, item, op))
				}
			}
		}
		out = append(out, g)
	}
	return out
}

func (l Language) call(open document, path, method string, item, op document) call {
	c := call{
		ID: fmt.Sprint(op["operationId"]), Method: strings.ToUpper(method), Path: path,
		Summary: l.text(op, "summary"), Text: l.text(op, "description"), Roles: list(op, "x-roles"),
	}
	for _, of := range []document{item, op} {
		params, _ := of["parameters"].([]any)
		for _, v := range params {
			p := resolve(open, v)
			f := l.field(fmt.Sprint(p["name"]), child(p, "schema"))
			f.Where, f.Text = fmt.Sprint(p["in"]), l.text(p, "description")
			f.Needed, _ = p["required"].(bool)
			c.Fields = append(c.Fields, f)
		}
	}
	if body := child(op, "requestBody"); body != nil {
		c.Body, c.BodyText = l.shape(body), l.text(body, "description")
	}
	responses := child(op, "responses")
	for _, status := range slices.Sorted(maps.Keys(responses)) {
		r := child(responses, status)
		c.Answers = append(c.Answers, answer{status, l.text(r, "description"), l.shape(r)})
	}
	return c
}

// resolve returns what a reference within a document names, or the object itself.
func resolve(doc document, v any) document {
	d, _ := v.(document)
	target, ok := d["$ref"].(string)
	if !ok {
		return d
	}
	found := doc
	for _, name := range strings.Split(strings.TrimPrefix(target, "#/"), "/") {
		found = child(found, name)
	}
	return found
}

// shape returns what the JSON of a body is; nil for none, and for problems, which
// the codes tell.
func (l Language) shape(of document) *shape {
	s := child(child(child(of, "content"), "application/json"), "schema")
	if s == nil {
		return nil
	}
	f := l.field("", s)
	return &shape{Ref: f.Ref, Kind: f.Kind, Fields: f.Fields}
}

func (l Language) properties(s document) (out []field) {
	needed := list(s, "required")
	props := child(s, "properties")
	for _, name := range slices.Sorted(maps.Keys(props)) {
		f := l.field(name, child(props, name))
		f.Needed = slices.Contains(needed, name)
		out = append(out, f)
	}
	slices.SortStableFunc(out, func(a, b field) int { // the needed ones first
		switch {
		case a.Needed == b.Needed:
			return 0
		case a.Needed:
			return -1
		default:
			return 1
		}
	})
	return out
}

func (l Language) field(name string, s document) field {
	f := field{Name: name, Text: l.text(s, "description")}
	f.Kind, f.Ref = l.kind(s)
	if inner := child(s, "properties"); inner != nil {
		f.Fields = l.properties(s)
	}
	if items := child(s, "items"); items["properties"] != nil {
		f.Fields = l.properties(items)
	}
	return f
}

// kind says what values a schema allows.
func (l Language) kind(s document) (kind, ref string) {
	if target, ok := s["$ref"].(string); ok {
		return "", strings.TrimPrefix(target, "#/components/schemas/")
	}
	words := map[string]string{
		"integer": l.says("whole number", "整数"), "number": l.says("number", "数字"), "string": l.says("text", "文本"), "boolean": l.says("true or false", "布尔"),
		"object": l.says("object", "对象"), "array": l.says("list", "数组"), "null": "null",
	}
	types := list(s, "type")
	if one, ok := s["type"].(string); ok {
		types = []string{one}
	}
	var parts []string
	for _, t := range types {
		parts = append(parts, words[t])
	}
	kind = strings.Join(parts, l.says(" or ", "或"))
	if items := child(s, "items"); items != nil {
		of, r := l.kind(items)
		ref = r
		if of != "" {
			kind += l.says(" of ", "，元素为") + of
		}
	}
	return kind + l.limits(s), ref
}

// limits says the bounds of a schema.
func (l Language) limits(s document) string {
	var b strings.Builder
	low, high := s["minimum"], s["maximum"]
	switch {
	case low != nil && high != nil:
		fmt.Fprintf(&b, l.says(", %v to %v", "，%v 至 %v"), low, high)
	case low != nil:
		fmt.Fprintf(&b, l.says(", from %v", "，不小于 %v"), low)
	case high != nil:
		fmt.Fprintf(&b, l.says(", at most %v", "，不超过 %v"), high)
	}
	for _, bound := range []struct{ key, english, chinese string }{
		{"maxLength", ", at most %v characters", "，最多 %v 个字符"},
		{"x-max-bytes", ", at most %v bytes", "，最多 %v 字节"},
		{"maxItems", ", at most %v", "，最多 %v 项"},
		{"default", ", default %v", "，默认 %v"},
		{"const", ": %v", "：%v"},
		{"pattern", ", `%v`", "，`%v`"},
	} {
		if v := s[bound.key]; v != nil {
			fmt.Fprintf(&b, l.says(bound.english, bound.chinese), v)
		}
	}
	if enum := list(s, "enum"); len(enum) > 0 {
		fmt.Fprintf(&b, l.says(": `%s`", "：`%s`"), strings.Join(enum, "` `"))
	}
	switch s["format"] {
	case "date-time":
		b.WriteString(l.says(", RFC 3339", "，RFC 3339"))
	case "date":
		b.WriteString(", YYYY-MM-DD")
	}
	return b.String()
}

// payloads returns the schemas of a channel's messages.
func (l Language) payloads(m made, c document) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(child(c, "messages"))) {
		message := child(child(child(m.async, "components"), "messages"), name)
		if target, ok := child(message, "payload")["$ref"].(string); ok {
			out = append(out, strings.TrimPrefix(target, "#/components/schemas/"))
		}
	}
	return out
}
