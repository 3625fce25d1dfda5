package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// TestListHoldsTheDocument: each line of the document's table has its mutants and
// each test that it names one that must turn it red; the tests are there, and so is
// each text that is to be changed, once. The list can't rot without a word.
func TestListHoldsTheDocument(t *testing.T) {
	document, err := os.ReadFile(filepath.Join(root, "docs/reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	table, err := rows(string(document))
	if err != nil {
		t.Fatal(err)
	}
	all, err := parse(list)
	if err != nil {
		t.Fatal(err)
	}
	if len(table) < 40 || len(all) < len(table) {
		t.Fatalf("%d lines and %d mutants?", len(table), len(all))
	}
	seen := map[string]bool{}
	witnesses := map[string][]string{} // of each line
	for _, m := range all {
		if seen[m.name()] {
			t.Errorf("%s stands in the list twice", m.name())
		}
		seen[m.name()] = true
		if len(m.hunks) == 0 || len(m.runs) == 0 {
			t.Errorf("%s: %d changes, %d tests; want one of each at least", m.name(), len(m.hunks), len(m.runs))
		}
		if _, err := m.applied(root); err != nil {
			t.Errorf("%s: %v", m.name(), err)
		}
		for _, r := range m.runs {
			witnesses[m.broken] = append(witnesses[m.broken], r.tests...)
			if !there(t, r) {
				t.Errorf("%s: there is no %s", m.name(), r)
			}
		}
	}
	for _, line := range table {
		got := slices.Compact(slices.Sorted(slices.Values(witnesses[line.broken])))
		want := slices.Compact(slices.Sorted(slices.Values(line.witnesses)))
		if !slices.Equal(got, want) {
			t.Errorf("%s: the document names %v, the list %v", line.broken, want, got)
		}
		delete(witnesses, line.broken)
	}
	for broken := range witnesses {
		t.Errorf("the document has no line: %s", broken)
	}
}

// there reports whether a run's tests exist.
func there(t *testing.T, r run) bool {
	t.Helper()
	if r.pkg == node {
		return regexp.MustCompile(`test\('[^']*` + r.filter).MatchString(sources(t, "tools/web/test/"+r.tests[0]))
	}
	text := sources(t, r.pkg+"/*_test.go")
	return !slices.ContainsFunc(r.tests, func(name string) bool {
		return !regexp.MustCompile(`(?m)^func ` + name + `\(`).MatchString(text)
	})
}

var read = map[string]string{}

// sources returns the text of all files of a pattern.
func sources(t *testing.T, pattern string) string {
	t.Helper()
	if text, known := read[pattern]; known {
		return text
	}
	files, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	read[pattern] = all.String()
	return read[pattern]
}

// TestVerdicts: what is taken for red is a failure of the test that is named, and
// of nothing else.
func TestVerdicts(t *testing.T) {
	one := run{pkg: "./x", tests: []string{"TestA"}}
	for out, want := range map[string]string{
		"=== RUN   TestA\n--- FAIL: TestA (0.00s)\nFAIL\n":         red,
		"=== RUN   TestA\npanic: test timed out after 1s\n":        red,
		"=== RUN   TestA\n--- PASS: TestA (0.00s)\nPASS\n":         green,
		"=== RUN   TestA\n--- SKIP: TestA (0.00s)\nPASS\n":         skipped,
		"testing: warning: no tests to run\nPASS\n":                skipped,
		"# doorbell/x\nx.go:1: no\nFAIL doorbell/x [build failed]": noBuild,
	} {
		var err error
		if want == red || want == noBuild {
			err = os.ErrInvalid
		}
		if got := verdictOf(one, out, err); got != want {
			t.Errorf("%q: %s, want %s", out, got, want)
		}
	}
	script := run{pkg: node, tests: []string{"a.test.js"}}
	for out, want := range map[string]string{"not ok 1": red, "SyntaxError: no": noBuild} {
		if got := verdictOf(script, out, os.ErrInvalid); got != want {
			t.Errorf("%q: %s, want %s", out, got, want)
		}
	}
	if got := verdictOf(script, "# pass 1\n", nil); got != green {
		t.Errorf("a passing file is %s", got)
	}
	if got := verdictOf(script, "# pass 0\n", nil); got != skipped {
		t.Errorf("a file without the test is %s", got)
	}
}

// TestParse: what the list's lines mean.
func TestParse(t *testing.T) {
	all, err := parse("# a word\n## no lock\nhow at all\nfile a.go\n-\tone\n-\ttwo\n+\tthree\nfile b.go\n-x\nred A=1 B_C=2 ./p TestA|TestB/sub\nred node w.test.js a name\n")
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	m := all[0]
	if m.name() != "no lock / at all" || !slices.Equal(m.hunks, []hunk{{"a.go", "\tone\n\ttwo", "\tthree"}, {"b.go", "x", ""}}) {
		t.Errorf("%+v", m)
	}
	if r := m.runs[0]; r.pkg != "./p" || !slices.Equal(r.env, []string{"A=1", "B_C=2"}) || !slices.Equal(r.tests, []string{"TestA", "TestB"}) || r.filter != "TestA|TestB/sub" {
		t.Errorf("%+v", r)
	}
	if r := m.runs[1]; r.pkg != node || r.tests[0] != "w.test.js" || r.filter != "a name" || r.String() != "node w.test.js a name" {
		t.Errorf("%+v", r)
	}
	for _, bad := range []string{"red ./p TestA\n", "## a\nred ./p\n", "## a\nred p TestA\n", "## a\nfind x\n"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, text := range []string{"", "xx"} {
		if _, err := m.hunks[1].apply(text); err == nil {
			t.Errorf("a text that is there %d times is changed", len(text))
		}
	}
}
