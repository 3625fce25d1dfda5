package docs_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"doorbell/internal/config"
)

// limit is a row of docs/limits.md without its words.
type limit struct{ preset, key, answer, test string }

// limits reads the tables of a document; rows of settings name a key.
func limits(t *testing.T, file string) (rows []limit) {
	t.Helper()
	for line := range strings.Lines(readFile(t, file)) {
		if !strings.HasPrefix(line, "| ") || !strings.Contains(line, "`Test") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 6 {
			t.Fatalf("%s: %d columns, want 6: %s", file, len(cells), line)
		}
		code := regexp.MustCompile("^[0-9]{3} `[a-z_]+`").FindString(strings.TrimSpace(cells[4]))
		quoted := func(i int) string {
			text, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(cells[i]), "`"), "`")
			return text
		}
		row := limit{quoted(2), quoted(3), code, quoted(5)}
		if !strings.Contains(cells[3], "`") {
			row.preset, row.key = "", ""
		}
		rows = append(rows, row)
	}
	return rows
}

// defaultOf returns the default of a setting as config.yaml's decoder has it.
func defaultOf(t *testing.T, key string) (value string, known bool) {
	t.Helper()
	text, err := yaml.Marshal(config.Default())
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := yaml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	var v any = all
	for part := range strings.SplitSeq(key, ".") {
		section, _ := v.(map[string]any)
		if v, known = section[part]; !known {
			return "", false
		}
	}
	return fmt.Sprint(v), true
}

// TestLimitsAreAsWritten: docs/limits.md names each setting below limits, with its
// default, and for every limit an error code of the reference with its status and
// a test that exists (TestPoliciesNameRealTests); the Chinese tables have the same.
func TestLimitsAreAsWritten(t *testing.T) {
	rows := limits(t, "docs/limits.md")
	if fmt.Sprint(rows) != fmt.Sprint(limits(t, "docs/limits.zh-CN.md")) {
		t.Errorf("the tables of docs/limits.md and docs/limits.zh-CN.md differ")
	}
	named := map[string]bool{}
	for _, row := range rows {
		if status, code, coded := strings.Cut(row.answer, " "); coded {
			if line := "  " + strings.Trim(code, "`") + ": {status: " + status + ","; !strings.Contains(readFile(t, "internal/reference/openapi.yaml"), line) {
				t.Errorf("%s: the reference has no code %s of status %s", row.key, code, status)
			}
		}
		if row.key == "" {
			continue
		}
		named[row.key] = true
		got, known := defaultOf(t, row.key)
		want := row.preset
		if d, err := time.ParseDuration(want); err == nil {
			want = d.String()
		}
		if !known || got != want {
			t.Errorf("%s: the document says %q, the default is %q", row.key, row.preset, got)
		}
	}
	if len(rows) < 20 || len(named) < 12 {
		t.Errorf("%d limits, %d of them settings: are the tables read?", len(rows), len(named))
	}
	var all struct {
		Limits map[string]int `yaml:"limits"`
	}
	if err := yaml.Unmarshal([]byte(readFile(t, "config.yaml")), &all); err != nil {
		t.Fatal(err)
	}
	for key := range all.Limits {
		if !named["limits."+key] {
			t.Errorf("docs/limits.md lacks limits.%s", key)
		}
	}
}
