package handlers_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	gopath "path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"doorbell/handlers"
	"doorbell/static"
)

// shell is the list of a page's files.
type shell struct {
	Version string
	Files   map[string]string
}

func (s *testServer) shell(t *testing.T) (list shell) {
	t.Helper()
	got := s.do("GET", "shell.json", "").want(t, "the list", 200, "")
	if err := json.Unmarshal([]byte(got.body), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

var imported = regexp.MustCompile(`(?:from |new URL\()'(\.[a-z./]+\.js)'`)

// TestShell: the list has every file that the pages load, with the served content.
func TestShell(t *testing.T) {
	s := newServer(t)
	list := s.shell(t)
	for path, want := range list.Files {
		got := s.do("GET", path, "").want(t, path, 200, "")
		if sum := sha256.Sum256([]byte(got.body)); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s is served as %x, listed as %s", path, sum, want)
		}
	}
	// Found from the pages: a module that is not listed would be missing while the
	// server is away.
	seen := map[string]bool{}
	var follow func(path string)
	follow = func(path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		if list.Files[path] == "" {
			t.Errorf("%s is loaded, and not on the list", path)
		}
		for _, m := range imported.FindAllStringSubmatch(s.do("GET", path, "").body, -1) {
			follow(gopath.Join(gopath.Dir(path), m[1]))
		}
	}
	src := regexp.MustCompile(`(?:src|href)="(static/[^"]+|manifest.webmanifest)"`)
	for _, page := range []string{"", "demo", "doctor", "ledger", "admin"} {
		seen[page] = true
		for _, m := range src.FindAllStringSubmatch(s.do("GET", page, "").body, -1) {
			follow(m[1])
		}
	}
	if len(seen) < 30 {
		t.Errorf("only %d files were followed", len(seen))
	}
	build := s.do("GET", "static/build.js", "").body
	if !strings.Contains(build, `"shell":"`+list.Version+`"`) || !strings.Contains(build, `"version":"test"`) {
		t.Errorf("the page is told %s, want the list's version %s and the program's", build, list.Version)
	}
}

// shellOf returns the list of an edge that serves these pages.
func shellOf(t *testing.T, o handlers.Pages) shell {
	t.Helper()
	return newEdge(t, handlers.Options{Pages: o}).shell(t)
}

// TestShellVersion: changes with any file, a shop's own clip and the program, and
// with nothing else.
func TestShellVersion(t *testing.T) {
	version := func(o handlers.Pages) string { return shellOf(t, o).Version }
	own := fstest.MapFS{"1.zh.mp3": {Data: []byte("own")}}
	plain := version(handlers.Pages{})
	if again := version(handlers.Pages{}); again != plain {
		t.Errorf("the same files are %s and %s", plain, again)
	}
	if got := version(handlers.Pages{Version: "next"}); got == plain {
		t.Error("another program, the same version")
	}
	if got := version(handlers.Pages{Page: handlers.Page{Sounds: own}}); got == plain {
		t.Error("another clip, the same version")
	}
	files := fstest.MapFS{}
	err := fs.WalkDir(static.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && name != "sw.js" && name != "client.js" && name != "build.js" {
			files[name] = &fstest.MapFile{Data: []byte(name)}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	before := version(handlers.Pages{Static: files})
	for name, was := range files {
		files[name] = &fstest.MapFile{Data: []byte("changed")}
		if version(handlers.Pages{Static: files}) == before {
			t.Errorf("%s changed and the version did not", name)
		}
		files[name] = was
	}
	if len(files) < 30 || version(handlers.Pages{Static: files}) != before {
		t.Errorf("%d files were changed and back, or the version is another now", len(files))
	}
	live := fstest.MapFS{"1.zh.mp3": {Data: []byte("one")}}
	s := newEdge(t, handlers.Options{Pages: handlers.Pages{Page: handlers.Page{Sounds: live}}})
	one := s.shell(t)
	live["1.zh.mp3"] = &fstest.MapFile{Data: []byte("two")}
	if two := s.shell(t); two.Version == one.Version || two.Files["static/sounds/1.zh.mp3"] == one.Files["static/sounds/1.zh.mp3"] {
		t.Error("a clip was replaced while the server runs, and the list is the old one")
	}
}
