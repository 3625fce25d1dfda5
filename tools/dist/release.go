package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const sumsName, licencesName = "SHA256SUMS", "THIRD_PARTY_LICENSES"

// release is what all files of one release share.
type release struct {
	root, out string    // absolute
	version   string    // v1.2.3; v1.2.3-4-gabcdef0 four commits behind it; v0.0.0-57-gabcdef0 without a tag
	commit    string    // with +dirty where the source was changed
	made      time.Time // of the commit, or SOURCE_DATE_EPOCH
}

func newRelease(ctx context.Context, root, out, version string) (r release, err error) {
	if r.root, err = filepath.Abs(root); err != nil {
		return r, err
	}
	r.out = out
	if !filepath.IsAbs(out) {
		r.out = filepath.Join(r.root, out)
	}
	if r.commit, err = r.git(ctx, "rev-parse", "HEAD"); err != nil {
		return r, err
	}
	changed, err := r.git(ctx, "status", "--porcelain")
	if err != nil {
		return r, err
	}
	if changed != "" {
		r.commit += "+dirty"
	}
	seconds := os.Getenv("SOURCE_DATE_EPOCH")
	if seconds == "" {
		if seconds, err = r.git(ctx, "log", "-1", "--format=%ct"); err != nil {
			return r, err
		}
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return r, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	r.made, r.version = time.Unix(n, 0).UTC(), version
	if r.version == "" {
		r.version, err = r.describe(ctx)
	}
	if err == nil && !versionShape.MatchString(r.version) {
		err = fmt.Errorf("the version %q is none: want v1.2.3", r.version)
	}
	return r, err
}

// versionShape holds a semantic version, and what git describe adds to one.
var versionShape = regexp.MustCompile(`^v(\d+\.\d+\.\d+)(?:-([a-z]+[.\d]*))?(?:-(\d+)-(g[0-9a-f]+))?(-dirty)?$`)

// describe returns the version of the last tag, with the number of commits behind
// it; without any tag the number of all commits, so that a later one is higher.
func (r release) describe(ctx context.Context) (string, error) {
	version, err := r.git(ctx, "describe", "--tags", "--always", "--dirty", "--match", "v[0-9]*")
	if err != nil || strings.HasPrefix(version, "v") {
		return version, err
	}
	count, err := r.git(ctx, "rev-list", "--count", "HEAD")
	return "v0.0.0-" + count + "-g" + version, err
}

// debianVersion returns the version as dpkg compares it: 1.2.3~rc.1 comes before
// 1.2.3, and 1.2.3+4.gabcdef0 behind it.
func (r release) debianVersion() string {
	m := versionShape.FindStringSubmatch(r.version)
	v := m[1]
	if m[2] != "" {
		v += "~" + m[2]
	}
	if m[3] != "" {
		v += "+" + m[3] + "." + m[4]
	}
	if m[5] != "" {
		v += "+dirty"
	}
	return v
}

func (r release) git(ctx context.Context, args ...string) (string, error) {
	out, err := r.output(ctx, r.root, nil, "git", args...)
	return strings.TrimSpace(string(out)), err
}

// output runs a program in a folder and returns what it printed.
func (r release) output(ctx context.Context, folder string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, told bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = folder, &out, &told
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, told.Bytes())
	}
	return out.Bytes(), nil
}

// program returns the file of a target's program.
func (r release) program(target string) string {
	file := filepath.Join(r.out, "doorbell_"+r.version+"_"+strings.ReplaceAll(target, "/", "_"))
	if strings.HasPrefix(target, "windows/") {
		file += ".exe"
	}
	return file
}

// environment returns what a build depends on, whatever the caller has set.
func environment(target string) []string {
	system, arch, _ := strings.Cut(target, "/")
	return []string{"CGO_ENABLED=0", "GOOS=" + system, "GOARCH=" + arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off"}
}

// Flags are those of each release's program, deploy/Dockerfile's too: no path of
// the machine that builds, no build time, no symbols that only a debugger reads.
const (
	trimmed  = "-trimpath"
	stripped = "-s -w -buildid="
)

// build builds the program of the source in a folder.
func (r release) build(ctx context.Context, folder, file, target string, env ...string) error {
	link := fmt.Sprintf("%s -X doorbell/internal/cli.release=%s -X doorbell/internal/cli.revision=%s", stripped, r.version, r.commit)
	_, err := r.output(ctx, folder, append(environment(target), env...), "go", "build", trimmed, "-buildvcs=false", "-ldflags", link, "-o", file, ".")
	return err
}

// compare builds targets again, from a copy of the source in another folder, and
// from an empty build cache unless env names one.
func (r release) compare(ctx context.Context, targets []string, out io.Writer, env ...string) (err error) {
	folder, err := os.MkdirTemp("", "doorbell-again-")
	if err != nil {
		return err
	}
	defer func() {
		if gone := os.RemoveAll(folder); err == nil {
			err = gone
		}
	}()
	source := filepath.Join(folder, "source")
	if err := r.copySource(ctx, source); err != nil {
		return err
	}
	for _, target := range targets {
		file := filepath.Join(folder, "program")
		if err := r.build(ctx, source, file, target, append([]string{"GOCACHE=" + filepath.Join(folder, "cache")}, env...)...); err != nil {
			return err
		}
		first, err := hash(r.program(target))
		if err != nil {
			return err
		}
		second, err := hash(file)
		if err != nil {
			return err
		}
		if first != second {
			return fmt.Errorf("%s is another when it is built again in %s: %x, then %x", target, source, first, second)
		}
		if _, err := fmt.Fprintf(out, "%s: built twice in two folders, the same to the bit\n", target); err != nil {
			return err
		}
	}
	return nil
}

// copySource copies what belongs to the source, changed or not, into a new folder.
func (r release) copySource(ctx context.Context, to string) error {
	names, err := r.git(ctx, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.Trim(names, "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(r.root, name))
		if os.IsNotExist(err) { // removed, and not committed yet
			continue
		}
		if err != nil {
			return err
		}
		copied := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(copied), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(copied, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// clear removes the files of the release before.
func (r release) clear() error {
	old, err := filepath.Glob(filepath.Join(r.out, "doorbell_*"))
	if err != nil {
		return err
	}
	for _, file := range append(old, filepath.Join(r.out, sumsName), filepath.Join(r.out, licencesName)) {
		if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return os.MkdirAll(r.out, 0o750)
}

func hash(file string) (sum [sha256.Size]byte, err error) {
	content, err := os.ReadFile(file)
	return sha256.Sum256(content), err
}

// sums writes the checksums of all files that are there, as sha256sum -c reads them.
func (r release) sums() error {
	files, err := os.ReadDir(r.out) // in the order of their names
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, f := range files {
		if f.IsDir() || f.Name() == sumsName {
			continue
		}
		sum, err := hash(filepath.Join(r.out, f.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%x  %s\n", sum, f.Name())
	}
	return os.WriteFile(filepath.Join(r.out, sumsName), []byte(b.String()), 0o644) //nolint:gosec // for everybody
}
