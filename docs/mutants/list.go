package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// mutant is one way to break a mechanism, and the tests that must be red then.
type mutant struct {
	broken string // the document's left column
	how    string // which of several ways; may be empty
	hunks  []hunk
	runs   []run
}

// name tells one mutant from all others.
func (m mutant) name() string {
	if m.how == "" {
		return m.broken
	}
	return m.broken + " / " + m.how
}

// hunk replaces a text that stands in its file exactly once.
type hunk struct{ file, find, put string }

// run is one command that must be red: go test of one package, or, where pkg is
// node, of one file of tools/web/test.
type run struct {
	env    []string
	pkg    string
	tests  []string // top-level tests, or the one file of node
	filter string   // all that follows -run, or the name pattern of node
}

const node = "node"

// String returns the run as the list has it.
func (r run) String() string {
	words := append(slices.Clone(r.env), r.pkg)
	if r.pkg == node {
		words = append(words, r.tests[0])
	}
	if r.filter != "" {
		words = append(words, r.filter)
	}
	return strings.Join(words, " ")
}

// parse reads the list. Each mutant begins with "## " and its name; its other lines
// begin with a word that says what they are:
//
//	how the way, where one mechanism is broken in several
//	file path, followed by the text to find ("-") and the text to put there ("+")
//	red [NAME=value ...] ./package TestOne|TestTwo
//	red node file.test.js [pattern of a test's name]
func parse(text string) (all []mutant, err error) {
	var m *mutant
	var h *hunk
	for i, line := range strings.Split(text, "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case word == "##":
			all = append(all, mutant{broken: rest})
			m, h = &all[len(all)-1], nil
			continue
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case m == nil:
			return nil, fmt.Errorf("line %d stands before the first mutant", i+1)
		case line[0] == '-' && h != nil:
			h.find += "\n" + line[1:]
			continue
		case line[0] == '+' && h != nil:
			h.put += "\n" + line[1:]
			continue
		}
		h = nil
		switch word {
		case "how":
			m.how = rest
		case "file":
			m.hunks = append(m.hunks, hunk{file: rest})
			h = &m.hunks[len(m.hunks)-1]
		case "red":
			r, err := parseRun(rest)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			m.runs = append(m.runs, r)
		default:
			return nil, fmt.Errorf("line %d begins with %q: want ##, how, file, -, + or red", i+1, word)
		}
	}
	for i := range all {
		for j := range all[i].hunks {
			h := &all[i].hunks[j]
			h.find, h.put = strings.TrimPrefix(h.find, "\n"), strings.TrimPrefix(h.put, "\n")
		}
	}
	return all, nil
}

var envPattern = regexp.MustCompile(`^[A-Z][A-Z0-9_]*=\S*$`)

func parseRun(text string) (r run, err error) {
	words := strings.Fields(text)
	for len(words) > 0 && envPattern.MatchString(words[0]) {
		r.env, words = append(r.env, words[0]), words[1:]
	}
	if len(words) < 2 {
		return r, fmt.Errorf("red %q: want a package and a test", text)
	}
	r.pkg = words[0]
	if r.pkg == node {
		r.tests, r.filter = words[1:2], strings.Join(words[2:], " ")
		return r, nil
	}
	if r.filter = words[1]; len(words) > 2 || !strings.HasPrefix(r.pkg, "./") {
		return r, fmt.Errorf("red %q: want ./package and one pattern without a space", text)
	}
	top, _, _ := strings.Cut(r.filter, "/")
	for name := range strings.SplitSeq(top, "|") {
		r.tests = append(r.tests, strings.Trim(name, "^$()"))
	}
	return r, nil
}

// apply returns the file's text after the hunk.
func (h hunk) apply(text string) (string, error) {
	if n := strings.Count(text, h.find); h.find == "" || n != 1 {
		return "", fmt.Errorf("%s has %d times, want once: %q", h.file, n, h.find)
	}
	return strings.Replace(text, h.find, h.put, 1), nil
}

// applied returns the files that a mutant changes, as they are then.
func (m mutant) applied(root string) (map[string]string, error) {
	files := map[string]string{}
	for _, h := range m.hunks {
		text, known := files[h.file]
		if !known {
			b, err := os.ReadFile(filepath.Join(root, h.file))
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		changed, err := h.apply(text)
		if err != nil {
			return nil, err
		}
		files[h.file] = changed
	}
	return files, nil
}

// row is a line of the document's table.
type row struct {
	broken    string
	witnesses []string
}

var witnessPattern = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]*|[a-z]+\\.test\\.js)`")

// rows reads the table under the document's heading.
func rows(document string) (out []row, err error) {
	_, table, found := strings.Cut(document, "\n| broken | red |\n|---|---|\n")
	if !found {
		return nil, fmt.Errorf("the document has no table of what is broken")
	}
	for line := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) != 2 {
			break
		}
		r := row{broken: cells[0]}
		for _, m := range witnessPattern.FindAllStringSubmatch(cells[1], -1) {
			r.witnesses = append(r.witnesses, m[1])
		}
		out = append(out, r)
	}
	return out, nil
}
