// Command mutants breaks one mechanism after another in a copy of the tree, as
// list.txt says, and holds that the tests which docs/reliability.md names are red
// then.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

//go:embed list.txt
var list string

func main() {
	names := flag.String("run", "", "only the mutants whose name matches this pattern")
	tests := flag.String("red", "", "only the tests whose line matches this pattern, say ./transport")
	limit := flag.Duration("limit", 8*time.Minute, "how long one run of a test may take")
	sound := flag.Bool("sound", true, "run each test without a mutant first: it must be green")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	survived, err := test(ctx, *names, *tests, *limit, *sound)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	if survived > 0 {
		os.Exit(1)
	}
}

// test runs the mutants of these names with these tests, prints the table, and
// returns how many were not seen.
func test(ctx context.Context, names, tests string, limit time.Duration, sound bool) (survived int, err error) {
	wanted, err := regexp.Compile(names)
	witness, err2 := regexp.Compile(tests)
	if err := errors.Join(err, err2); err != nil {
		return 0, err
	}
	all, err := parse(list)
	if err != nil {
		return 0, err
	}
	root, err := output(ctx, ".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return 0, err
	}
	tree, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(tree) //nolint:errcheck // a copy
	if err := copyTree(ctx, strings.TrimSpace(root), tree); err != nil {
		return 0, fmt.Errorf("copy the tree: %w", err)
	}
	b := &bench{tree: tree, limit: limit, sound: sound, known: map[string]string{}}
	var table []string
	for _, m := range all {
		if !wanted.MatchString(m.name()) {
			continue
		}
		for _, r := range m.runs {
			if !witness.MatchString(r.String()) {
				continue
			}
			began := time.Now()
			verdict, detail := b.judge(ctx, m, r)
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			line := fmt.Sprintf("%-14s %4.0f s  %s: %s", verdict, time.Since(began).Seconds(), m.name(), r)
			_, _ = fmt.Fprintln(os.Stdout, line)
			if verdict == red {
				_, _ = fmt.Fprintln(os.Stdout, "    "+firstFault(detail))
			} else {
				survived++
				table = append(table, line)
				_, _ = fmt.Fprintln(os.Stdout, tail(detail))
			}
		}
	}
	_, _ = fmt.Fprintf(os.Stdout, "\n%d not seen\n%s\n", survived, strings.Join(table, "\n"))
	return survived, nil
}

// The verdicts. All but red are failures.
const (
	red      = "red"
	green    = "GREEN"
	noChange = "DOES NOT APPLY"
	noBuild  = "NO BUILD"
	unsound  = "RED BEFORE"
	skipped  = "NOT RUN"
)

// bench runs tests in a copy of the tree.
type bench struct {
	tree  string
	limit time.Duration
	sound bool
	known map[string]string // verdicts of runs without a mutant
}

// judge applies a mutant, runs one of its tests and takes the mutant away again.
func (b *bench) judge(ctx context.Context, m mutant, r run) (verdict, detail string) {
	if b.sound {
		before, known := b.known[r.String()]
		if !known {
			before, detail = b.run(ctx, r)
			b.known[r.String()] = before
		}
		if before != green { // a test that is red or left out anyway is no witness
			if before == red {
				before = unsound
			}
			return before, detail
		}
	}
	files, err := m.applied(b.tree)
	if err != nil {
		return noChange, err.Error()
	}
	for file, text := range files {
		name := filepath.Join(b.tree, file)
		kept, err := os.ReadFile(name)
		if err != nil {
			return noChange, err.Error()
		}
		defer os.WriteFile(name, kept, 0o600) //nolint:errcheck // a copy; the next mutant would not apply
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return noChange, err.Error()
		}
	}
	return b.run(ctx, r)
}

// run runs a test and says what it was.
func (b *bench) run(ctx context.Context, r run) (verdict, detail string) {
	ctx, cancel := context.WithTimeout(ctx, b.limit+time.Minute) // go test ends by itself, and tells more
	defer cancel()
	var cmd *exec.Cmd
	if r.pkg == node {
		cmd = exec.CommandContext(ctx, "node", "--test", "--test-name-pattern="+r.filter, "test/"+r.tests[0]) //nolint:gosec // of our own list
		cmd.Dir = filepath.Join(b.tree, "tools/web")
	} else {
		cmd = exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-vet=off", "-timeout="+b.limit.String(), "-run="+r.filter, r.pkg) //nolint:gosec // of our own list
		cmd.Dir = b.tree
	}
	cmd.Env = append(os.Environ(), r.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its servers end with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second // what a test has left running holds its output
	out, err := cmd.CombinedOutput()
	return verdictOf(r, string(out), err), string(out)
}

// verdictOf reads what a test run printed. Only a failure of a named test counts
// as red: a tree that does not compile shows nothing.
func verdictOf(r run, out string, err error) string {
	if r.pkg == node {
		switch {
		case strings.Contains(out, "SyntaxError"):
			return noBuild
		case err != nil:
			return red
		case strings.Contains(out, "pass 0"):
			return skipped
		default:
			return green
		}
	}
	passed := 0
	for _, name := range r.tests {
		switch {
		case strings.Contains(out, "\n--- FAIL: "+name+" ") || strings.HasPrefix(out, "--- FAIL: "+name+" "):
			return red
		case strings.Contains(out, "--- PASS: "+name+" "):
			passed++
		}
	}
	switch {
	case err == nil && passed == len(r.tests):
		return green
	case strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]"):
		return noBuild
	case err != nil && strings.Contains(out, "=== RUN"): // a panic, a deadlock, the limit, a leak
		return red
	default:
		return skipped
	}
}

var faultPattern = regexp.MustCompile(`(?m)^ +\w+_test\.go:\d+: .*|^panic: .*|^ *(?:not ok|✖) .*`)

// firstFault returns the line that says what a red test found, so that somebody
// sees whether it is what was broken.
func firstFault(out string) string {
	const most = 200
	line := strings.TrimSpace(faultPattern.FindString(out))
	return line[:min(len(line), most)]
}

// tail returns the end of an output.
func tail(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return "    " + strings.Join(lines[max(0, len(lines)-25):], "\n    ")
}

// copyTree copies what git knows, or would add, and links what npm installed.
func copyTree(ctx context.Context, from, to string) error {
	names, err := output(ctx, from, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimRight(names, "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, os.ErrNotExist) { // removed, and not committed yet
			continue
		}
		if err != nil {
			return err
		}
		info, err := os.Stat(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), text, info.Mode().Perm()); err != nil {
			return err
		}
	}
	const modules = "tools/web/node_modules"
	if _, err := os.Stat(filepath.Join(from, modules)); err == nil {
		return os.Symlink(filepath.Join(from, modules), filepath.Join(to, modules))
	}
	return nil
}

func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // git, with arguments of our own
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return string(out), nil
}
