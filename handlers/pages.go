package handlers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

// policy lets the pages load only the server's own files, because alert texts come
// from outside. 'self' covers the server's WebSocket (Firefox, Chrome 71, Safari
// 16 and later; an older Safari uses SSE).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; " +
	"font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

// Two pages may listen by the microphone whether their own chime is heard; the
// policy above leaves a recording no way out: connect-src is this server, which
// takes no audio. No page may use the camera or the location.
const (
	listens = "camera=(), geolocation=(), microphone=(self)"
	deaf    = "camera=(), geolocation=(), microphone=()"
)

var listeningPages = map[string]bool{"console/index.html": true, "doctor/index.html": true}

// routes adds the console, the demonstration and their files.
func (h *pages) routes(root *gin.RouterGroup) {
	files := map[string]string{"client.js": "client.js", "favicon.ico": "icon.svg", "sw.js": "sw.js"}
	maps.Copy(files, pageRoutes)
	for route, file := range files {
		root.GET("/"+route, h.asset, h.answer(func(c *gin.Context) error { return h.serveFile(c, file) }))
	}
	h.referenceRoutes(root)
	root.GET("/shell.json", h.answer(h.serveShell))
	root.GET("/static/*file", h.asset, h.answer(func(c *gin.Context) error {
		name := strings.TrimPrefix(path.Clean(c.Param("file")), "/")
		if to, moved := movedFiles[name]; moved {
			c.Header("Location", to) // relative: a proxy may serve it under another path
			c.Status(http.StatusFound)
			return nil
		}
		return h.serveFile(c, name)
	}))
	root.GET("/page.json", func(c *gin.Context) {
		c.Header("Cache-Control", "no-store")
		c.JSON(http.StatusOK, struct {
			Page
			Time time.Time `json:"time"`
		}{h.Page, time.Now().UTC()})
	})
}

// asset serves modules also to pages of allowed origins; others get no permission
// to read them.
func (h *pages) asset(c *gin.Context) {
	c.Header("Vary", "Origin")
	if origin, ok := h.originAllowed(c.Request); ok && origin != "" && !h.ownOrigin(c.Request, origin) {
		c.Header("Access-Control-Allow-Origin", origin)
	}
}

func (h *pages) serveFile(c *gin.Context, name string) error {
	content, err := h.read(name)
	if err != nil {
		return doorbell.Refuse(doorbell.NotFound, "There is nothing here.", "没有这个地址。")
	}
	kind := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) { // independent of this machine's mime table
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".css":
		kind = "text/css; charset=utf-8"
	case ".html":
		kind = "text/html; charset=utf-8"
	case ".svg":
		kind = "image/svg+xml"
	case ".png":
		kind = "image/png"
	case ".webmanifest":
		kind = "application/manifest+json"
	case ".mp3":
		kind = "audio/mpeg"
	}
	serveContent(c, name, kind, content)
	return nil
}

// serveContent sends a page or a part of one, or 304 where the client has it.
func serveContent(c *gin.Context, name, kind string, content []byte) {
	sum := sha256.Sum256(content)
	c.Header("Content-Type", kind)
	c.Header("ETag", `"`+hex.EncodeToString(sum[:12])+`"`)
	c.Header("Cache-Control", "no-cache")
	c.Header("X-Content-Type-Options", "nosniff")
	c.Header("Referrer-Policy", "no-referrer")
	c.Header("Content-Security-Policy", policy)
	if listeningPages[name] {
		c.Header("Permissions-Policy", listens)
	} else {
		c.Header("Permissions-Policy", deaf)
	}
	http.ServeContent(c.Writer, c.Request, name, time.Time{}, bytes.NewReader(content))
}

// shipped reports whether a clip of this name comes with the program: other files
// in the shop's folder are not public.
func (h *pages) shipped(name string) bool {
	info, err := fs.Stat(h.Static, name)
	return err == nil && info.Mode().IsRegular()
}

// read returns a shop's own clip, else the shipped one.
func (h *pages) read(name string) ([]byte, error) {
	if clip, ok := strings.CutPrefix(name, "sounds/"); ok && h.Page.Sounds != nil && h.shipped(name) {
		if content, err := fs.ReadFile(h.Page.Sounds, clip); err == nil {
			return content, nil
		}
	}
	if name == buildFile {
		s, err := h.shellNow()
		return h.build(s), err
	}
	content, err := fs.ReadFile(h.Static, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return content, nil
}
