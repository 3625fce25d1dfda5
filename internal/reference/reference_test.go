package reference

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// TestLint: Spectral, which is not ours, finds nothing wrong in both documents.
func TestLint(t *testing.T) {
	d := New("/bell/", "1.2.3")
	dir := t.TempDir()
	var files []string
	for name, read := range map[string]func() ([]byte, error){"openapi.json": d.OpenAPI, "asyncapi.json": d.AsyncAPI} {
		content, err := read()
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, filepath.Join(dir, name))
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	node := exec.CommandContext(t.Context(), "node", append([]string{"reference.mjs"}, files...)...)
	node.Dir = "../../tools/web"
	if out, err := node.CombinedOutput(); err != nil {
		t.Errorf("%v (npm ci in tools/web installs Spectral)\n%s", err, out)
	}
}

// TestBothLanguages: every text is there in both, each in its own.
func TestBothLanguages(t *testing.T) {
	d := New("/", "1.2.3")
	for name, read := range map[string]func() ([]byte, error){"openapi": d.OpenAPI, "asyncapi": d.AsyncAPI} {
		content, err := read()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), separator) {
			t.Errorf("%s: a text was not split", name)
		}
		var doc any
		if err := json.Unmarshal(content, &doc); err != nil {
			t.Fatal(err)
		}
		walk(doc, name, func(at string, o document) {
			for _, key := range []string{"summary", "description"} {
				english, told := o[key].(string)
				chinese, both := o["x-"+key+"-zh"].(string)
				switch {
				case !told:
				case !both:
					t.Errorf("%s: %s is in English alone: %s", at, key, english)
				case hasHan(withoutQuotes(english)) || !hasHan(chinese):
					t.Errorf("%s: %s is not of its language: %s, %s", at, key, english, chinese)
				}
			}
		})
	}
}

// withoutQuotes leaves out what another program answers in Chinese.
func withoutQuotes(s string) string { return regexp.MustCompile(`订单\S*`).ReplaceAllString(s, "") }

func hasHan(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}

// TestEveryFieldIsDescribed: every property of every schema says what it is.
func TestEveryFieldIsDescribed(t *testing.T) {
	m, err := New("/", "1.2.3").made()
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range []document{m.open, m.async} {
		walk(doc, "", func(at string, o document) {
			for name, v := range child(o, "properties") {
				if p, _ := v.(document); p["description"] == nil && p["$ref"] == nil && p["enum"] == nil {
					t.Errorf("%s: %s has no description", at, name)
				}
			}
		})
	}
}

func walk(v any, at string, each func(string, document)) {
	switch v := v.(type) {
	case document:
		each(at, v)
		for key, inner := range v {
			if key != "example" && key != "x-codes" {
				walk(inner, at+"/"+key, each)
			}
		}
	case []any:
		for _, inner := range v {
			walk(inner, at, each)
		}
	}
}

// TestPage: it links to nothing outside, and every link within it has its target.
func TestPage(t *testing.T) {
	for _, l := range []Language{Chinese, English} {
		page, err := New("/bell/", "1.2.3").Page(l)
		if err != nil {
			t.Fatal(err)
		}
		text := string(page)
		for _, link := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(text, -1) {
			switch to := link[1]; {
			case strings.HasPrefix(to, "#"):
				if !strings.Contains(text, `id="`+to[1:]+`"`) {
					t.Errorf("%s: %s leads nowhere", l, to)
				}
			case strings.Contains(to, "//") || strings.HasPrefix(to, "/"):
				t.Errorf("%s: %s is outside, or not below the base path", l, to)
			}
		}
		if strings.Contains(text, "<script") || strings.Contains(text, "style=") {
			t.Errorf("%s: the page has what its policy forbids", l)
		}
	}
}
