package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReadmeNamesTheGoVersion of go.mod, in both languages.
func TestReadmeNamesTheGoVersion(t *testing.T) {
	m := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readFile(t, "go.mod"))
	if m == nil {
		t.Fatal("go.mod names no version")
	}
	for file, phrase := range map[string]string{"README.md": "Needs Go " + m[1] + " or later", "README.zh-CN.md": "只需要 Go " + m[1] + " 或更高版本"} {
		if !strings.Contains(readFile(t, file), phrase) {
			t.Errorf("%s does not say %q, which go.mod asks for", file, phrase)
		}
	}
}

// TestReadmeNamesEveryKey of config.yaml by its section, in both languages.
func TestReadmeNamesEveryKey(t *testing.T) {
	sections := regexp.MustCompile(`(?m)^([a-z]+):`).FindAllStringSubmatch(readFile(t, "config.yaml"), -1)
	if len(sections) < 10 {
		t.Fatalf("config.yaml has %d sections?", len(sections))
	}
	for _, file := range []string{"README.md", "README.zh-CN.md"} {
		text := readFile(t, file)
		for _, s := range sections {
			if !strings.Contains(text, "`"+s[1]+".") && !strings.Contains(text, "`"+s[1]+"`") {
				t.Errorf("%s has no setting of the section %s", file, s[1])
			}
		}
	}
}

// TestReadmesAgree on every block of code that is no prose.
func TestReadmesAgree(t *testing.T) {
	blocks := func(file, kind string) []string {
		return regexp.MustCompile("(?s)```"+kind+"\n.*?```").FindAllString(readFile(t, file), -1)
	}
	for _, kind := range []string{"nginx", "vue"} {
		en, zh := blocks("README.md", kind), blocks("README.zh-CN.md", kind)
		if len(en) == 0 || strings.Join(en, "") != strings.Join(zh, "") {
			t.Errorf("the READMEs' %s blocks differ", kind)
		}
	}
}
