package docs_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestPackagedUnits: the Debian package brings the units of the README, with the
// folder of packaged programs.
func TestPackagedUnits(t *testing.T) {
	units := regexp.MustCompile("(?s)```ini\n# /etc/systemd/system/(\\S+)\n(.*?)```").FindAllStringSubmatch(readFile(t, "README.md"), -1)
	if len(units) != 2 {
		t.Fatalf("the README has %d units, want the service and its socket", len(units))
	}
	for _, u := range units {
		if want := strings.ReplaceAll(u[2], "/usr/local/bin/", "/usr/bin/"); readFile(t, "deploy/debian/"+u[1]) != want {
			t.Errorf("deploy/debian/%s is not the README's; want\n%s", u[1], want)
		}
	}
}

// TestInstallCommands: each command of docs/install.md is a target of the Makefile,
// or one that make deb-check runs as it is written; both languages have the same.
func TestInstallCommands(t *testing.T) {
	commands := func(file string) (lines []string) {
		for _, b := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(readFile(t, file), -1) {
			lines = append(lines, strings.Split(strings.TrimSpace(b[1]), "\n")...)
		}
		return lines
	}
	all := commands("docs/install.md")
	if len(all) < 6 || strings.Join(all, "\n") != strings.Join(commands("docs/install.zh-CN.md"), "\n") {
		t.Errorf("docs/install.md has %q, and the Chinese page others", all)
	}
	var run []string // beginnings of commands
	for _, m := range regexp.MustCompile(`(?m)(?:\bwritten '([^']+)'|\$\(commands (\S+)\))`).FindAllStringSubmatch(readFile(t, "tools/debcheck.sh"), -1) {
		run = append(run, m[1]+m[2])
	}
	makefile := readFile(t, "Makefile")
	for _, line := range all {
		target, made := strings.CutPrefix(line, "make ")
		ok := made && regexp.MustCompile(`(?m)^`+target+`:`).MatchString(makefile)
		for _, beginning := range run {
			ok = ok || strings.HasPrefix(line, beginning)
		}
		if !ok {
			t.Errorf("nothing runs %q", line)
		}
	}
}
