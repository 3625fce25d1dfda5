package handlers

import (
	"context"
	"errors"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
	"doorbell/transport"
)

// Codes used only by the HTTP edge.
const (
	OriginNotAllowed doorbell.Code = "origin_not_allowed"
	TooLarge         doorbell.Code = "too_large"
	WrongMethod      doorbell.Code = "method_not_allowed"
	WrongMedia       doorbell.Code = "unsupported_media_type"
	UpgradeNeeded    doorbell.Code = "upgrade_required"
)

// statuses is the only table from codes to HTTP.
var statuses = map[doorbell.Code]int{
	doorbell.Invalid:     http.StatusBadRequest,
	doorbell.Forbidden:   http.StatusForbidden,
	doorbell.NotFound:    http.StatusNotFound,
	doorbell.Conflict:    http.StatusConflict,
	doorbell.TooSoon:     http.StatusTooManyRequests,
	doorbell.Unavailable: http.StatusServiceUnavailable,
	doorbell.Internal:    http.StatusInternalServerError,
	auth.TokenMissing:    http.StatusUnauthorized,
	auth.TokenExpired:    http.StatusUnauthorized,
	auth.TokenUnknownKey: http.StatusUnauthorized,
	auth.TokenInvalid:    http.StatusUnauthorized,
	auth.TokenRevoked:    http.StatusUnauthorized,
	auth.SessionRemoved:  http.StatusUnauthorized,
	auth.SessionOutdated: http.StatusUnauthorized,
	OriginNotAllowed:     http.StatusForbidden,
	TooLarge:             http.StatusRequestEntityTooLarge,
	WrongMethod:          http.StatusMethodNotAllowed,
	WrongMedia:           http.StatusUnsupportedMediaType,
	UpgradeNeeded:        http.StatusUpgradeRequired,
	TooMany:              http.StatusTooManyRequests,
}

// problem is an RFC 9457 document.
type problem struct {
	Type      string           `json:"type"`
	Title     string           `json:"title"`
	Status    int              `json:"status"`
	Detail    string           `json:"detail"`
	Code      doorbell.Code    `json:"code"`
	RequestID string           `json:"request_id"`
	Errors    []doorbell.Field `json:"errors,omitempty"`
	*readiness
}

// asError returns what the client learns of err.
func asError(err error) *doorbell.Error {
	if e, ok := errors.AsType[*doorbell.Error](err); ok {
		return e
	}
	if errors.Is(err, transport.ErrDraining) {
		e := doorbell.Refuse(doorbell.Unavailable, "This server is stopping; connect again.", "服务器正在停止，请重新连接。")
		e.RetryAfter = 1e9
		return e
	}
	return doorbell.Refuse(doorbell.Internal, "Something went wrong here.", "服务器内部错误。").Because(err)
}

// answer makes a handler from a function that returns an error; all errors are
// written in this one place.
func (h *web) answer(f func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := f(c); err != nil {
			h.refuse(c, err)
		}
	}
}

// refuse writes err as a problem document, or in the stream transport's own way,
// and ends the chain.
func (h *web) refuse(c *gin.Context, err error) { h.refuseWith(c, err, nil) }

// refuseWith does the same and adds /readyz's state.
func (h *web) refuseWith(c *gin.Context, err error, state *readiness) {
	e := asError(err)
	status, ok := statuses[e.Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	if status >= http.StatusInternalServerError && !errors.Is(err, context.Canceled) && !errors.Is(err, transport.ErrDraining) {
		h.log.ErrorContext(c.Request.Context(), "request failed", "method", c.Request.Method, "path", c.Request.URL.Path,
			"status", status, "request_id", requestID(c), "error", err)
	}
	c.Abort()
	if c.Writer.Written() {
		return // the answer has already begun
	}
	if e.RetryAfter > 0 {
		c.Header("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	if status == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", `Bearer realm="doorbell"`)
	}
	if h.refusedByTransport(c, err, status) {
		return
	}
	c.Header("Cache-Control", "no-store")
	c.Header("Content-Type", "application/problem+json")
	c.JSON(status, problem{
		Type: "urn:doorbell:problem:" + string(e.Code), Title: http.StatusText(status), Status: status,
		Detail: inLanguage(c.Request, e.English, e.Chinese), Code: e.Code, RequestID: requestID(c), Errors: e.Fields,
		readiness: state,
	})
}

// inLanguage chooses by Accept-Language; Chinese only if it is preferred.
func inLanguage(r *http.Request, english, chinese string) string {
	if PrefersChinese(r.Header.Get("Accept-Language")) {
		return chinese
	}
	return english
}

// PrefersChinese reports whether an Accept-Language names Chinese with a
// higher weight than English.
func PrefersChinese(header string) bool {
	best := map[string]float64{}
	for i, part := range strings.Split(header, ",") {
		if i == 16 {
			break
		}
		tag, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			weight, _ = strconv.ParseFloat(q, 64)
		}
		lang, _, _ := strings.Cut(strings.ToLower(tag), "-")
		best[lang] = max(best[lang], weight)
	}
	if best["zh"] == best["en"] && best["zh"] > 0 { // equal weights: the first one named wins
		lower := strings.ToLower(header)
		return strings.Index(lower, "zh") < strings.Index(lower, "en")
	}
	return best["zh"] > best["en"]
}

// recovered turns a panic into a 500 and a log line with its stack.
func (h *web) recovered(c *gin.Context) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it like this
			panic(p)
		}
		h.log.ErrorContext(c.Request.Context(), "panic", "path", c.Request.URL.Path, "panic", p, "stack", string(debug.Stack()))
		h.refuse(c, errors.New("panic"))
	}()
	c.Next()
}
