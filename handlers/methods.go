package handlers

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

// headKey marks a HEAD request that is answered as GET.
type headKey struct{}

// isHead reports whether the client sees no body and wants nothing done.
func isHead(r *http.Request) bool { return r.Context().Value(headKey{}) != nil }

// heads answers HEAD as GET; net/http, which knows the original method, omits the
// body. A HEAD for a stream stays a HEAD, which no route accepts.
func (h *web) heads(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && !h.isStream(r.URL.Path) {
			r = r.WithContext(context.WithValue(r.Context(), headKey{}, true))
			r.Method = http.MethodGet
		}
		next.ServeHTTP(w, r)
	})
}

// below returns the path without the base path.
func (h *web) below(path string) string {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(h.BasePath, "/"))
	if !ok {
		return ""
	}
	return rest
}

func (h *web) isStream(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(h.below(path), "/"), "/")
	return first == "ws" || first == "events" || first == "poll"
}

// crossOrigin reports whether pages of allowed origins may call a route.
func (h *web) crossOrigin(path string) bool {
	path = h.below(path)
	return strings.HasPrefix(path, "/api/v1/") || path == "/login" || path == "/logout" ||
		path == "/poll" || path == "/events" || strings.HasPrefix(path, "/events/")
}

// preflights answers OPTIONS, which carry no token, for all routes that pages of
// other origins may call; it uses the routes themselves, so that none is
// forgotten.
func (h *web) preflights(r *gin.Engine) {
	methods := map[string][]string{}
	for _, route := range r.Routes() {
		if !h.crossOrigin(route.Path) {
			continue
		}
		methods[route.Path] = append(methods[route.Path], route.Method)
		if route.Method == http.MethodGet && !h.isStream(route.Path) {
			methods[route.Path] = append(methods[route.Path], http.MethodHead)
		}
	}
	for path, allowed := range methods {
		slices.Sort(allowed)
		list := strings.Join(append(allowed, http.MethodOptions), ", ")
		r.OPTIONS(path, h.origins, func(c *gin.Context) {
			c.Header("Access-Control-Allow-Methods", list)
			c.Header("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, Last-Event-ID")
			c.Header("Access-Control-Max-Age", "600")
			c.Status(http.StatusNoContent)
		})
	}
}

// wrongMethod adds the methods that are answered besides Gin's list.
func (h *web) wrongMethod(c *gin.Context) error {
	if allow := c.Writer.Header().Get("Allow"); strings.Contains(allow, http.MethodGet) && !h.isStream(c.Request.URL.Path) {
		c.Header("Allow", allow+", "+http.MethodHead)
	}
	method := c.Request.Method
	if isHead(c.Request) {
		method = http.MethodHead
	}
	return doorbell.Refuse(WrongMethod, "%s is not possible here.", "此地址不支持 %s。", method)
}

// guarded forbids caching of every answer and guessing its type; cacheable answers
// say so themselves.
func guarded(c *gin.Context) {
	c.Header("Cache-Control", "no-store")
	c.Header("X-Content-Type-Options", "nosniff")
}
