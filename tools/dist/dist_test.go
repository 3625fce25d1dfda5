package main

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const here = "linux/amd64"

// made is one release of this source for one target, for all tests of it.
func made(t *testing.T) release {
	t.Helper()
	r, err := newRelease(t.Context(), "../..", t.TempDir(), "v1.2.3-rc.1-4-gabcdef0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.programs(t.Context(), []string{here}, nil, io.Discard); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRelease: each file of a release is what it says.
func TestRelease(t *testing.T) {
	r := made(t)
	for name, check := range map[string]func(*testing.T, release){
		"the same to the bit": theSame, "static": static, "version": versionIs, "bill": billIs, "licences": licencesAre, "Debian package": packageIs,
	} {
		t.Run(name, func(t *testing.T) { check(t, r) })
	}
	if err := r.sums(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", sumsName)
	cmd.Dir = r.out
	if out, err := cmd.CombinedOutput(); err != nil || bytes.Count(out, []byte(": OK\n")) != 4 {
		t.Errorf("sha256sum: %v, want 4 files\n%s", err, out)
	}
}

// theSame builds the program in another folder again, from this machine's cache: the
// packages in it are by their content, so that make dist takes an empty one.
func theSame(t *testing.T, r release) {
	cache, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	again := func(r release) error {
		return r.compare(t.Context(), []string{here}, io.Discard, "GOCACHE="+strings.TrimSpace(string(cache)))
	}
	if err := again(r); err != nil {
		t.Error(err)
	}
	program, err := os.ReadFile(r.program(here))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(program, []byte(r.root+"/")) {
		t.Errorf("the program tells that it was built in %s", r.root)
	}
	r.out = t.TempDir()
	if err := os.WriteFile(r.program(here), append(program, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := again(r); err == nil || !strings.Contains(err.Error(), "is another when it is built again") {
		t.Errorf("a program with a byte more: %v", err)
	}
}

// static: deploy/Dockerfile's root has no libraries.
func static(t *testing.T, r release) {
	f, err := elf.Open(r.program(here))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read
	libraries, err := f.ImportedLibraries()
	if err != nil || len(libraries) > 0 {
		t.Errorf("it needs %v, %v", libraries, err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it needs a dynamic linker")
		}
	}
	recipe, err := os.ReadFile("../../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"CGO_ENABLED=0", trimmed, "-buildvcs=false", stripped, "doorbell/internal/cli.release=", "doorbell/internal/cli.revision="} {
		if !bytes.Contains(recipe, []byte(flag)) {
			t.Errorf("deploy/Dockerfile builds another program: it has no %q", flag)
		}
	}
}

func versionIs(t *testing.T, r release) {
	out, err := exec.CommandContext(t.Context(), r.program(here), "version").CombinedOutput()
	if want := "doorbell " + r.version + "\ncommit " + r.commit + "\n"; err != nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("it says %q, %v; want %q", out, err, want)
	}
}

// billIs: the bill names the modules that go.mod's linker put in, and no others.
func billIs(t *testing.T, r release) {
	text, err := os.ReadFile(r.program(here) + ".cdx.json")
	if err != nil {
		t.Fatal(err)
	}
	wantValid(t, text)
	var b billOf
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	sum, err := hash(r.program(here))
	if err != nil {
		t.Fatal(err)
	}
	if b.Serial != serial(sum) || !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(b.Serial) {
		t.Errorf("serial number %q", b.Serial)
	}
	if b.Metadata.Time != r.made.Format(time.RFC3339) {
		t.Errorf("made at %s, want the commit's %s", b.Metadata.Time, r.made)
	}
	ms, err := r.linked(t.Context(), r.program(here), here)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range b.Components {
		names = append(names, c.Name)
		if len(c.Licences) == 0 {
			t.Errorf("%s has no licence", c.Name)
		}
	}
	if want := slices.Sorted(maps.Keys(ms)); !slices.Equal(names, want) {
		t.Errorf("components %v, want %v", names, want)
	}
	for _, want := range []string{"modernc.org/sqlite", "github.com/gin-gonic/gin", "std"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, tested := range []string{"github.com/go-rod/rod", "github.com/Shopify/toxiproxy/v2"} { // of tests alone
		if slices.Contains(names, tested) {
			t.Errorf("%s is not in the program", tested)
		}
	}
}

func licencesAre(t *testing.T, r release) {
	ms, err := r.linked(t.Context(), r.program(here), here)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.out, licencesName))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ms {
		if !strings.Contains(string(text), "\n"+m.path+" "+m.version+": ") {
			t.Errorf("the terms of %s are missing", m.path)
		}
		files, err := m.terms()
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if terms, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "\n\n"+plain(terms)+"\n") {
				t.Errorf("the text of %s is missing: %v", file, err)
			}
		}
	}
	empty := module{path: "example.com/none", version: "v1.0.0", folders: []string{t.TempDir()}}
	if err := r.licences(modules{empty.path: empty}); err == nil || !strings.Contains(err.Error(), "example.com/none v1.0.0 has no licence file") {
		t.Errorf("a module without a licence: %v", err)
	}
	if err := r.licences(ms); err != nil {
		t.Fatal(err)
	}
}

// packageIs: the Debian package has its files, as it is made twice the same.
func packageIs(t *testing.T, r release) {
	deb := filepath.Join(r.out, "doorbell_1.2.3~rc.1+4.gabcdef0_amd64.deb")
	var sums [2][32]byte
	for i := range sums {
		if err := r.debian(t.Context(), "amd64", "doorbell <doorbell@packages.invalid>"); err != nil {
			t.Fatal(err)
		}
		var err error
		if sums[i], err = hash(deb); err != nil {
			t.Fatal(err)
		}
	}
	if sums[0] != sums[1] {
		t.Error("the package is another when it is made again")
	}
	list, err := r.output(t.Context(), r.out, []string{"TZ=UTC"}, "dpkg-deb", "--contents", deb)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`-rwxr-xr-x root/root .* \./usr/bin/doorbell\n`, `-rw-r----- root/root .* \./etc/doorbell/config\.yaml\n`,
		`\./usr/lib/systemd/system/doorbell\.service\n`, `\./usr/lib/systemd/system/doorbell\.socket\n`, `\./usr/share/doc/doorbell/copyright\n`,
		r.made.Format("2006-01-02 15:04") + ` \./usr/bin/doorbell\n`,
	} {
		if !regexp.MustCompile(want).Match(list) {
			t.Errorf("no %s in\n%s", want, list)
		}
	}
}

// TestDebianVersions: dpkg puts them in the order in which they were made.
func TestDebianVersions(t *testing.T) {
	order := []string{"v0.0.0-5-gfff0000", "v0.0.0-57-gaaa0000", "v1.0.0-rc.1", "v1.0.0-rc.1-3-gabc0000", "v1.0.0", "v1.0.0-4-gabc0000", "v1.0.1"}
	for i := range order[1:] {
		older, newer := release{version: order[i]}.debianVersion(), release{version: order[i+1]}.debianVersion()
		if err := exec.CommandContext(t.Context(), "dpkg", "--compare-versions", older, "lt", newer).Run(); err != nil {
			t.Errorf("dpkg does not put %s before %s: %v", older, newer, err)
		}
	}
	for _, bad := range []string{"1.2.3", "v1", "v1.2.3 ", "v1.2.3/..", "main"} {
		if _, err := newRelease(t.Context(), "../..", t.TempDir(), bad); err == nil {
			t.Errorf("the version %q is taken", bad)
		}
	}
}

// TestTargets: the Makefile vets what is built here.
func TestTargets(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if want := "TARGETS := " + strings.ReplaceAll(Targets, ",", " ") + "\n"; !strings.Contains(string(makefile), want) {
		t.Errorf("the Makefile has no line %q", want)
	}
}
