package handlers

import (
	"github.com/gin-gonic/gin"

	"doorbell/internal/reference"
)

// referenceRoutes add the interface written down: for programs, and to read.
func (h *pages) referenceRoutes(root *gin.RouterGroup) {
	for name, read := range map[string]func() ([]byte, error){"openapi.json": h.reference.OpenAPI, "asyncapi.json": h.reference.AsyncAPI} {
		root.GET("/"+name, h.asset, h.answer(func(c *gin.Context) error {
			content, err := read()
			if err != nil {
				return err
			}
			serveContent(c, name, "application/json; charset=utf-8", content)
			return nil
		}))
	}
	root.GET("/docs", h.answer(h.docs))
}

// docs is in the language that lang or the browser asks for.
func (h *pages) docs(c *gin.Context) error {
	language := reference.Language(c.Query("lang"))
	if language != reference.Chinese && language != reference.English {
		language = reference.Language(inLanguage(c.Request, string(reference.English), string(reference.Chinese)))
	}
	content, err := h.reference.Page(language)
	if err != nil {
		return err
	}
	c.Header("Vary", "Accept-Language")
	serveContent(c, "docs.html", "text/html; charset=utf-8", content)
	return nil
}
