package main

import (
	"cmp"
	"context"
	"debug/buildinfo"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// module is one whose code is in a program.
type module struct {
	path, version string
	sum           string   // of go.sum; empty for the standard library
	folders       []string // of its packages that are linked in, and those above them up to its own, which comes first
}

// modules are by path.
type modules map[string]module

func (ms modules) add(more modules) {
	for path, m := range more {
		m.folders = append(slices.Clone(ms[path].folders), m.folders...)
		slices.Sort(m.folders)
		m.folders = slices.Compact(m.folders)
		ms[path] = m
	}
}

func (ms modules) sorted() []module {
	return slices.SortedFunc(maps.Values(ms), func(a, b module) int { return cmp.Compare(a.path, b.path) })
}

// linked returns the modules that a program says it is made of, and the standard
// library, with their folders on this machine.
func (r release) linked(ctx context.Context, file, target string) (modules, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, err
	}
	lines, err := r.output(ctx, r.root, environment(target), "go", "list", "-deps", "-f",
		"{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}", ".")
	if err != nil {
		return nil, err
	}
	goroot, err := r.output(ctx, r.root, nil, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	version := cmp.Or(info.GoVersion, runtime.Version())
	out := modules{"std": {path: "std", version: strings.TrimPrefix(version, "go"), folders: []string{strings.TrimSpace(string(goroot))}}}
	folders := map[string][]string{}
	for line := range strings.Lines(string(lines)) {
		parts := strings.Split(strings.TrimSpace(line), "\t")
		if len(parts) != 3 {
			continue
		}
		for dir := parts[2]; len(dir) >= len(parts[1]); dir = filepath.Dir(dir) {
			folders[parts[0]] = append(folders[parts[0]], dir)
		}
	}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			return nil, fmt.Errorf("%s is replaced by %s: its licence is not looked for there", dep.Path, dep.Replace.Path)
		}
		if len(folders[dep.Path]) == 0 {
			return nil, fmt.Errorf("%s says that it has %s in it, and go list does not name it", file, dep.Path)
		}
		out.add(modules{dep.Path: {path: dep.Path, version: dep.Version, sum: dep.Sum, folders: folders[dep.Path]}})
	}
	return out, nil
}

// licenceName is how files with terms are called: LICENSE, LICENSE-3RD-PARTY.md,
// SQLITE-LICENSE, COPYING, NOTICE, PATENTS.
var licenceName = regexp.MustCompile(`(?i)^(.*[-_])?(un)?(licen[cs]es?|copying|copyright|notice|patents)([-_.].*)?$`)

// terms returns the files of a module that say what its user may do. A module
// without a licence may not be handed out by anybody, so that is an error.
func (m module) terms() (files []string, err error) {
	found := false
	for _, dir := range m.folders {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() || filepath.Ext(e.Name()) == ".go" || !licenceName.MatchString(e.Name()) {
				continue
			}
			files = append(files, filepath.Join(dir, e.Name()))
			lower := strings.ToLower(e.Name())
			found = found || strings.Contains(lower, "licen") || strings.Contains(lower, "copying")
		}
	}
	if !found {
		return nil, fmt.Errorf("%s %s has no licence file in %s", m.path, m.version, m.folders[0])
	}
	return files, nil
}

// licences writes the terms of all that is linked in, each file whole.
func (r release) licences(ms modules) error {
	var b strings.Builder
	b.WriteString("The programs of this folder contain code of others, under these terms.\n")
	for _, m := range ms.sorted() {
		files, err := m.terms()
		if err != nil {
			return err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(m.folders[0], file)
			if err != nil {
				return err
			}
			rule := strings.Repeat("=", 80)
			fmt.Fprintf(&b, "\n%s\n%s %s: %s\n%s\n\n%s\n", rule, m.path, m.version, filepath.ToSlash(name), rule, plain(text))
		}
	}
	return os.WriteFile(filepath.Join(r.out, licencesName), []byte(b.String()), 0o644) //nolint:gosec // for everybody
}

// plain returns a text with the ends of lines of Unix, without empty ones behind it.
func plain(text []byte) string {
	return strings.TrimRight(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
}

// spdx returns the short name (spdx.org/licenses) of a licence's text, or "" where
// the text is none of those that are known here.
func spdx(text string) string {
	text = strings.Join(strings.Fields(strings.ToLower(text)), " ")
	for _, known := range []struct{ id, phrase, also string }{
		{"Apache-2.0", "apache license", "version 2.0, january 2004"},
		{"MPL-2.0", "mozilla public license", "version 2.0"},
		{"MIT", "permission is hereby granted, free of charge", "the above copyright notice and this permission notice"},
		{"ISC", "permission to use, copy, modify, and", "with or without fee"},
		{"BSD-3-Clause", "redistribution and use in source and binary forms", "endorse or promote products"},
		{"BSD-2-Clause", "redistribution and use in source and binary forms", "in binary form must reproduce"},
		{"Unlicense", "this is free and unencumbered software", "public domain"},
	} {
		if strings.Contains(text, known.phrase) && strings.Contains(text, known.also) {
			return known.id
		}
	}
	return ""
}
