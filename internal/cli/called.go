package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// hints write command lines that can be pasted as they are: the program as it
// was called, with the settings that it was called with.
type hints struct {
	program string
	config  string // of --config; empty: what every command finds by itself
}

// hintsFor returns the hints for a process that was called by arg0 with --config file.
func hintsFor(arg0, file string) hints { return hints{program: calledAs(arg0), config: file} }

// line returns a command line of the program.
func (h hints) line(words string) string {
	out := h.program + " " + words
	if h.config != "" {
		out += " --config " + quoted(h.config)
	}
	return out
}

// program returns the command that started this process, as a person wrote it.
func program() string { return calledAs(os.Args[0]) }

// cached is a program in Go's build cache, where go run puts it: two digits,
// then a name by a hash.
var cached = regexp.MustCompile(`/[0-9a-f]{2}/[0-9a-f]{64}-d/[^/]+$`)

// calledAs returns how a person wrote the first word of the command line.
func calledAs(arg0 string) string {
	slashed := filepath.ToSlash(arg0)
	if cached.MatchString(slashed) || strings.Contains(slashed, "/go-build") && strings.Contains(slashed, "/exe/") {
		return "go run ."
	}
	if arg0 == "" {
		return "doorbell"
	}
	return quoted(arg0)
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,~-]+$`)

// quoted returns a word in quotes that a shell takes off again, where it needs any.
func quoted(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
