// Package reference has doorbell's interface written down: an OpenAPI document of
// the HTTP calls, an AsyncAPI document of the streams, and a page to read that is
// made from both. The sources are the YAML files beside it; the tests of package
// handlers hold them equal to the routes, the decoders and the bytes.
package reference

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

//go:embed *.yaml page.html clients
var sources embed.FS

// Documents are the interface of one server. They are made at the first use.
type Documents struct {
	base, version string
	made          func() (made, error)
}

type made struct {
	open, async document
	order       []string // of the paths
	openJSON    []byte
	asyncJSON   []byte
}

type document = map[string]any

// New returns the documents of a server under a base path, such as / or /bell/.
func New(base, version string) *Documents {
	d := &Documents{base: base, version: version}
	d.made = sync.OnceValues(d.make)
	return d
}

// OpenAPI returns the calls as JSON.
func (d *Documents) OpenAPI() ([]byte, error) {
	m, err := d.made()
	return m.openJSON, err
}

// AsyncAPI returns the streams as JSON.
func (d *Documents) AsyncAPI() ([]byte, error) {
	m, err := d.made()
	return m.asyncJSON, err
}

// make reads the sources and fills in what they leave to it.
func (d *Documents) make() (m made, err error) {
	var schemas document
	for name, to := range map[string]*document{"openapi.yaml": &m.open, "asyncapi.yaml": &m.async, "schemas.yaml": &schemas} {
		text, err := sources.ReadFile(name)
		if err != nil {
			return m, fmt.Errorf("read the reference: %w", err)
		}
		if err := yaml.Unmarshal(text, to); err != nil {
			return m, fmt.Errorf("parse the reference: %s: %w", name, err)
		}
		if name == "openapi.yaml" {
			if m.order, err = pathsInOrder(text); err != nil {
				return m, err
			}
		}
	}
	where := strings.TrimSuffix(d.base, "/")
	codes := child(m.open, "x-codes")
	for _, path := range m.order {
		item := child(child(m.open, "paths"), path)
		for _, method := range methods(item) {
			complete(method, child(item, method), codes)
		}
	}
	for _, doc := range []document{m.open, m.async} {
		forget(doc, "x-codes")
		child(doc, "info")["version"] = d.version
		child(doc, "components")["schemas"] = named(doc, schemas)
		split(doc)
	}
	if where == "" {
		where = "/"
	}
	m.open["servers"] = []any{document{"url": where}}
	if m.openJSON, err = json.Marshal(m.open); err == nil {
		m.asyncJSON, err = json.Marshal(m.async)
	}
	return m, err
}

// pathsInOrder returns the paths as the file has them.
func pathsInOrder(text []byte) (paths []string, err error) {
	var file struct {
		Paths yaml.Node `yaml:"paths"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("parse the reference: %w", err)
	}
	for i := 0; i < len(file.Paths.Content); i += 2 {
		paths = append(paths, file.Paths.Content[i].Value)
	}
	return paths, nil
}

// child returns an object in an object; nil if there is none.
func child(doc document, name string) document {
	found, _ := doc[name].(document)
	return found
}

// list returns the texts of a list.
func list(doc document, name string) (out []string) {
	found, _ := doc[name].([]any)
	for _, v := range found {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

func methods(item document) (out []string) {
	for _, m := range []string{"get", "post", "put", "patch", "delete"} {
		if item[m] != nil {
			out = append(out, m)
		}
	}
	return out
}

// The causes of a 401.
var unknownCaller = []string{"token_missing", "token_expired", "token_unknown_key", "token_invalid", "token_revoked", "session_removed", "session_outdated"}

// complete adds what all calls of a kind have: who may call, and how it refuses.
func complete(method string, op, codes document) {
	errors := list(op, "x-errors")
	if op["x-roles"] != nil {
		op["security"] = []any{document{"bearer": []any{}}, document{"session": []any{}}}
		errors = slices.Concat(errors, unknownCaller, []string{"forbidden"})
	} else if op["security"] == nil {
		op["security"] = []any{}
	}
	switch op["x-kind"] {
	case "api":
		errors = append(errors, "invalid", "origin_not_allowed", "too_many", "unavailable", "internal")
		if method != "get" {
			errors = append(errors, "unsupported_media_type")
		}
		if op["requestBody"] != nil {
			errors = append(errors, "too_large")
		}
	case "open":
		errors = append(errors, "internal")
	case "page":
		errors = append(errors, "too_many", "internal")
	default: // a callback, a health check, a call of sky-take-out
	}
	old, _ := op["responses"].(document)
	responses := document{}
	for status, r := range old {
		answer := clone(r)
		headers := child(answer, "headers")
		if headers == nil {
			headers = document{}
		}
		headers["X-Request-Id"] = header("X-Request-Id")
		if op["x-kind"] == "page" && old["304"] != nil && (status == "200" || status == "304") {
			headers["ETag"] = header("ETag")
		}
		answer["headers"] = headers
		responses[status] = answer
	}
	for status, names := range byStatus(errors, codes) {
		if responses[status] == nil {
			responses[status] = refusal(status, names, codes)
		}
	}
	op["responses"] = responses
	delete(op, "x-errors")
}

func byStatus(errors []string, codes document) map[string][]string {
	out := map[string][]string{}
	for _, code := range errors {
		status := fmt.Sprint(child(codes, code)["status"])
		if !slices.Contains(out[status], code) {
			out[status] = append(out[status], code)
		}
	}
	return out
}

// refusal is the answer with a status, for any of some codes.
func refusal(status string, names []string, codes document) document {
	var english, chinese []string
	enum := []any{}
	for _, name := range names {
		en, zh := inBoth(fmt.Sprint(child(codes, name)["text"]))
		english, chinese = append(english, "`"+name+"`: "+en), append(chinese, "`"+name+"`："+zh)
		enum = append(enum, name)
	}
	headers := document{"X-Request-Id": header("X-Request-Id")}
	switch n, _ := strconv.Atoi(status); n {
	case http.StatusUnauthorized:
		headers["WWW-Authenticate"] = header("WWW-Authenticate")
	case http.StatusMethodNotAllowed:
		headers["Allow"] = header("Allow")
	case http.StatusUpgradeRequired:
		headers["Sec-WebSocket-Version"], headers["Upgrade"] = header("Sec-WebSocket-Version"), header("Upgrade")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		headers["Retry-After"] = header("Retry-After")
	}
	return document{
		"description": strings.Join(english, "\n") + separator + strings.Join(chinese, "\n"), "headers": headers,
		"content": document{"application/problem+json": document{"schema": document{
			"$ref": "#/components/schemas/Problem", "properties": document{"code": document{"enum": enum}},
		}}},
	}
}

// header refers to one of components.headers.
func header(name string) document { return document{"$ref": "#/components/headers/" + name} }

// clone copies an object: YAML's anchors give the same one to several owners.
func clone(v any) document {
	from, _ := v.(document)
	to := document{}
	for k, v := range from {
		to[k] = v
	}
	return to
}

// forget removes what is for this package alone.
func forget(doc document, but string) {
	for key := range doc {
		if strings.HasPrefix(key, "x-") && key != but {
			delete(doc, key)
		}
	}
}

// named returns the schemas that a document names, directly or by one of them.
func named(doc, schemas document) document {
	out := document{}
	var look func(v any)
	look = func(v any) {
		switch v := v.(type) {
		case document:
			if target, ok := v["$ref"].(string); ok {
				if name, ok := strings.CutPrefix(target, "#/components/schemas/"); ok && out[name] == nil {
					out[name] = deepCopy(schemas[name])
					look(out[name])
				}
			}
			for _, inner := range v {
				look(inner)
			}
		case []any:
			for _, inner := range v {
				look(inner)
			}
		}
	}
	look(doc)
	return out
}

func deepCopy(v any) any {
	switch v := v.(type) {
	case document:
		out := document{}
		for k, inner := range v {
			out[k] = deepCopy(inner)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = deepCopy(inner)
		}
		return out
	default:
		return v
	}
}

// separator stands between the two languages of a text.
const separator = " // "

func inBoth(text string) (english, chinese string) {
	english, chinese, _ = strings.Cut(text, separator)
	return english, chinese
}

// split makes of each text in two languages an English one, and a Chinese one beside
// it as an extension, such as x-summary-zh.
func split(v any) {
	switch v := v.(type) {
	case document:
		for _, key := range []string{"summary", "description", "title", "text"} {
			text, _ := v[key].(string)
			if english, chinese := inBoth(text); chinese != "" {
				v[key], v["x-"+key+"-zh"] = english, chinese
			}
		}
		for _, inner := range v {
			split(inner)
		}
	case []any:
		for _, inner := range v {
			split(inner)
		}
	}
}
