package handlers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
)

// buildFile tells a page which program it came from; build generates it.
const buildFile = "build.js"

// pageRoutes maps the pages' addresses to their files.
var pageRoutes = map[string]string{
	"": "console/index.html", "demo": "demo/index.html", "doctor": "doctor/index.html", "ledger": "ledger/index.html", "admin": "admin/index.html", "manifest.webmanifest": "manifest.webmanifest",
}

// movedFiles maps the old addresses of workers that a page starts long after it
// was loaded, from before static had folders. A page that was open during the
// upgrade asks for these, and would neither ring nor report without them.
var movedFiles = map[string]string{"ticker.js": "console/ticker.js", "courier.js": "console/board/postworker.js"}

// shell lists the console's files for its service worker: every file by its
// address under the base path, with its SHA-256, and a version that changes with
// any of them. A worker that caches a complete version never shows a page of two
// versions.
type shell struct {
	Version string            `json:"version"`
	Files   map[string]string `json:"files"`
}

// parts returns the digests of the embedded files, without those that are not part
// of a page: the worker itself, and the module for other sites.
func parts(files fs.FS) (map[string]string, error) {
	digests := map[string]string{}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || slices.Contains([]string{"sw.js", "client.js", buildFile}, name) {
			return err
		}
		content, err := fs.ReadFile(files, name)
		digests[name] = digest(content)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("digest the pages: %w", err)
	}
	return digests, nil
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// shellNow returns the current list: a shop's own clips may be replaced while the
// server runs, so they are read each time.
func (h *pages) shellNow() (shell, error) {
	digests := maps.Clone(h.parts)
	for name := range digests {
		if h.Page.Sounds == nil || !strings.HasPrefix(name, "sounds/") {
			continue
		}
		content, err := h.read(name)
		if err != nil {
			return shell{}, err
		}
		digests[name] = digest(content)
	}
	sum := sha256.New()
	_, _ = fmt.Fprintln(sum, h.Version) // writing to a hash never fails
	for _, name := range slices.Sorted(maps.Keys(digests)) {
		_, _ = fmt.Fprintln(sum, name, digests[name])
	}
	s := shell{Version: hex.EncodeToString(sum.Sum(nil)[:8]), Files: map[string]string{}}
	for route, name := range pageRoutes {
		s.Files[route] = digests[name]
	}
	for name, d := range digests {
		if path.Ext(name) != ".html" && path.Ext(name) != ".webmanifest" {
			s.Files["static/"+name] = d
		}
	}
	s.Files["static/"+buildFile] = digest(h.build(s))
	return s, nil
}

// build returns the module that tells a page its version.
func (h *pages) build(s shell) []byte {
	text, err := json.Marshal(map[string]string{"shell": s.Version, "version": h.Version})
	if err != nil { // strings can always be encoded
		panic(err)
	}
	return fmt.Appendf(nil, "export const build = %s;\n", text)
}

func (h *pages) serveShell(c *gin.Context) error {
	s, err := h.shellNow()
	if err != nil {
		return err
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, s)
	return nil
}
