// Command testtimes reads the output of go test -json: it prints what go test
// prints without -v, and at the end the tests that took longest.
//
//	go test -json ./... | testtimes
//
// It exits with 1 when a package failed, or when the input tells of none.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// longest is how many tests are listed.
const longest = 30

// event is a line of go test -json, as "go doc test2json" describes it.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

type timed struct {
	name    string
	seconds float64
}

func main() {
	failed, err := report(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testtimes:", err)
	}
	if failed || err != nil {
		os.Exit(1)
	}
}

// report copies what matters of a run to out.
func report(in io.Reader, out io.Writer) (failed bool, err error) {
	said := map[string]*strings.Builder{} // output of each test that has not ended, by package and test
	var times []timed
	packages := 0
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return true, err
		}
		var e event
		if json.Unmarshal(line, &e) != nil { // what the compiler says
			_, _ = out.Write(line)
			continue
		}
		top, _, _ := strings.Cut(e.Test, "/")
		key := e.Package + " " + top
		switch e.Action {
		case "output", "build-output":
			if said[key] == nil {
				said[key] = &strings.Builder{}
			}
			if line := strings.TrimSpace(e.Output); e.Test == "" || !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- PASS") {
				said[key].WriteString(e.Output)
			}
			if e.Test == "" {
				_, _ = io.WriteString(out, withoutPass(e.Output))
				delete(said, key)
			}
		case "pass", "fail", "skip":
			if e.Test == "" {
				packages++
				failed = failed || e.Action == "fail"
				continue
			}
			if e.Test != top {
				continue
			}
			if e.Action == "fail" {
				_, _ = io.WriteString(out, said[key].String())
			}
			delete(said, key)
			times = append(times, timed{e.Package + " " + e.Test, e.Elapsed})
		}
	}
	for _, unfinished := range said { // a panic, or the time limit
		_, _ = io.WriteString(out, unfinished.String())
	}
	slices.SortFunc(times, func(a, b timed) int { return cmp.Compare(b.seconds, a.seconds) })
	fmt.Fprintf(out, "\nthe longest of %d tests in %d packages, seconds:\n", len(times), packages)
	for _, t := range times[:min(longest, len(times))] {
		fmt.Fprintf(out, "%7.1f %s\n", t.seconds, t.name)
	}
	if packages == 0 {
		return true, fmt.Errorf("no package was tested")
	}
	return failed, nil
}

// withoutPass leaves out the line that only -v prints of a package.
func withoutPass(line string) string {
	if line == "PASS\n" {
		return ""
	}
	return line
}
