package handlers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

// policy lets the pages load what is ours and nothing else: alert texts come
// from outside.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; " +
	"font-src 'self'; connect-src 'self' ws: wss:; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

// pages has the console, the demonstration and what they load.
func (h *edge) pages(root *gin.RouterGroup) {
	for route, file := range map[string]string{
		"/": "index.html", "/demo": "demo.html", "/doctor": "doctor.html", "/client.js": "client.js", "/favicon.ico": "icon.svg",
		"/sw.js": "sw.js", "/manifest.webmanifest": "manifest.webmanifest",
	} {
		root.GET(route, h.asset, h.answer(func(c *gin.Context) error { return h.serveFile(c, file) }))
	}
	root.GET("/static/*file", h.asset, h.answer(func(c *gin.Context) error {
		return h.serveFile(c, strings.TrimPrefix(path.Clean(c.Param("file")), "/"))
	}))
	root.GET("/page.json", func(c *gin.Context) {
		c.Header("Cache-Control", "no-store")
		c.JSON(http.StatusOK, struct {
			Page
			Time time.Time `json:"time"`
		}{h.Page, time.Now().UTC()})
	})
}

// asset lets pages of allowed origins load our modules; others just get no
// permission to read them.
func (h *edge) asset(c *gin.Context) {
	c.Header("Vary", "Origin")
	if origin, ok := h.originAllowed(c.Request); ok && origin != "" && !h.ownOrigin(c.Request, origin) {
		c.Header("Access-Control-Allow-Origin", origin)
	}
}

func (h *edge) serveFile(c *gin.Context, name string) error {
	content, err := h.read(name)
	if err != nil {
		return doorbell.Refuse(doorbell.NotFound, "There is nothing here.", "没有这个地址。")
	}
	kind := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) { // whatever this machine's mime table says
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
	sum := sha256.Sum256(content)
	c.Header("Content-Type", kind)
	c.Header("ETag", `"`+hex.EncodeToString(sum[:12])+`"`)
	c.Header("Cache-Control", "no-cache")
	c.Header("X-Content-Type-Options", "nosniff")
	c.Header("Referrer-Policy", "no-referrer")
	c.Header("Content-Security-Policy", policy)
	http.ServeContent(c.Writer, c.Request, name, time.Time{}, bytes.NewReader(content))
	return nil
}

// read finds a shop's own clip before the shipped one.
func (h *edge) read(name string) ([]byte, error) {
	if clip, ok := strings.CutPrefix(name, "sounds/"); ok && h.Page.Sounds != nil {
		if content, err := fs.ReadFile(h.Page.Sounds, clip); err == nil {
			return content, nil
		}
	}
	content, err := fs.ReadFile(h.Static, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return content, nil
}
