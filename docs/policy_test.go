package docs_test

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPoliciesNameRealTests: each test that a policy names is one of the repository's,
// and so each row of the threat model has one.
func TestPoliciesNameRealTests(t *testing.T) {
	known := map[string]bool{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"): // a worktree has a file .git
			return fs.SkipDir
		case strings.HasSuffix(name, "_test.go"):
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(readFile(t, name), -1) {
				known[m[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"SECURITY.md", "docs/stability.md", "docs/stability.zh-CN.md", "docs/limits.md", "docs/limits.zh-CN.md"} {
		text := readFile(t, file)
		for _, name := range regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(text, -1) {
			if !known[name[1]] {
				t.Errorf("%s names %s, and there is no such test", file, name[1])
			}
		}
	}
	for line := range strings.Lines(readFile(t, "SECURITY.md")) {
		header := strings.HasPrefix(line, "| threat") || strings.HasPrefix(line, "|---")
		if strings.HasPrefix(line, "|") && !header && (!strings.Contains(line, "`Test") || strings.Count(line, "|") != 4) {
			t.Errorf("SECURITY.md: a threat without a guard or a test: %s", line)
		}
	}
}

// TestChangelogNamesTheSchema that the program has.
func TestChangelogNamesTheSchema(t *testing.T) {
	files, err := filepath.Glob("internal/store/migrations/sqlite/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	last, _, _ := strings.Cut(strings.TrimLeft(filepath.Base(files[len(files)-1]), "0"), "_")
	_, schema, told := strings.Cut(readFile(t, "CHANGELOG.md"), "### Schema\n\n- ")
	if number, _, _ := strings.Cut(schema, "."); !told || number != last {
		t.Errorf("CHANGELOG.md: the latest schema is %q, want %s", number, last)
	}
}
