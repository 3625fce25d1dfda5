package handlers

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
)

// Cookie is the name of the session cookie.
const Cookie = "doorbell_session"

const (
	grantKey     = "grant"
	requestIDKey = "request_id"
)

// identify gives every request an id: the caller's, if it is a plain one.
func identify(c *gin.Context) {
	id := c.GetHeader("X-Request-Id")
	if !plainLabel(id) {
		id = rand.Text()[:16]
	}
	c.Set(requestIDKey, id)
	c.Header("X-Request-Id", id)
}

func requestID(c *gin.Context) string { return c.GetString(requestIDKey) }

// plainLabel is the rule for labels: 1 to 64 of 0-9 A-Z a-z . _ -
func plainLabel(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '.' && r != '_' && r != '-'
	})
}

// bearer is the token of an Authorization header.
func bearer(r *http.Request) (string, bool) {
	kind, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(kind, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(token), true
}

// grant finds out who calls: by the Authorization header, else by the session
// cookie. A cookie alone may not change anything from a page that is not ours.
func (h *edge) grant(c *gin.Context) (doorbell.Grant, error) {
	if token, ok := bearer(c.Request); ok {
		g, err := h.Tokens.Check(token)
		if err == nil {
			h.expiryLog.note(c.Request.Context(), h, g)
		}
		return g, err
	}
	cookie, err := c.Request.Cookie(Cookie)
	if err != nil || cookie.Value == "" {
		return doorbell.Grant{}, doorbell.Refuse(auth.TokenMissing, "This call needs a token: Authorization: Bearer …, or sign in.", "缺少令牌：请使用 Authorization: Bearer …，或先登录。")
	}
	if c.Request.Method != http.MethodGet {
		if err := jsonOnly(c.Request); err != nil {
			return doorbell.Grant{}, err
		}
	}
	g, prolonged, err := h.Logins.Check(c.Request.Context(), cookie.Value)
	if err == nil && prolonged {
		h.setCookie(c, cookie.Value, g.Expires)
	}
	return g, err
}

// jsonOnly refuses what a foreign page's form could send.
func jsonOnly(r *http.Request) error {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/json") {
		return doorbell.Refuse(WrongMedia, "Content-Type must be application/json.", "Content-Type 必须是 application/json。")
	}
	return nil
}

func (h *edge) setCookie(c *gin.Context, value string, expires time.Time) {
	age := int(time.Until(expires).Seconds())
	if value == "" {
		age = -1
	}
	http.SetCookie(c.Writer, &http.Cookie{ //nolint:gosec // Secure where there is https: a kitchen's LAN has none
		Name: Cookie, Value: value, Path: h.BasePath, MaxAge: age, HttpOnly: true,
		Secure: h.secure(c.Request), SameSite: http.SameSiteLaxMode,
	})
}

// secure reports whether the browser speaks https with us.
func (h *edge) secure(r *http.Request) bool {
	return strings.HasPrefix(h.PublicURL, "https://") || h.scheme(r) == "https"
}

// allow lets the named roles in; an admin is let in everywhere but as a
// customer.
func (h *edge) allow(roles ...doorbell.Role) gin.HandlerFunc {
	return h.answer(func(c *gin.Context) error {
		g, err := h.grant(c)
		if err != nil {
			return err
		}
		if g.Role != doorbell.RoleAdmin && !slices.Contains(roles, g.Role) {
			return doorbell.Refuse(doorbell.Forbidden, "Role %s may not do this.", "角色 %s 无权进行此操作。", g.Role)
		}
		c.Set(grantKey, g)
		return nil
	})
}

func grantOf(c *gin.Context) doorbell.Grant {
	g, ok := c.MustGet(grantKey).(doorbell.Grant)
	if !ok { // allow sets it
		panic("handlers: a route without allow")
	}
	return g
}

// foreignShop is the answer to a shop that the caller may not hear, whether
// there is one or not.
func foreignShop() error {
	return doorbell.Refuse(doorbell.Forbidden, "The token does not cover this shop.", "令牌不包含该门店。")
}

// scheme and host are the request's as the browser sees them; a trusted proxy
// may say so.
func (h *edge) scheme(r *http.Request) string {
	if h.trusted(r) {
		if p := r.Header.Get("X-Forwarded-Proto"); p == "https" || p == "http" {
			return p
		}
	}
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

func (h *edge) host(r *http.Request) string {
	if h.trusted(r) {
		if f := r.Header.Get("X-Forwarded-Host"); f != "" {
			return f
		}
	}
	return r.Host
}

// ownOrigin reports whether origin is this server itself.
func (h *edge) ownOrigin(r *http.Request, origin string) bool {
	if origin == strings.TrimSuffix(h.PublicURL, "/") && origin != "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.Scheme == h.scheme(r) && strings.EqualFold(u.Host, h.host(r))
}

// originAllowed reports whether a page of this origin may use us; a missing one
// is no page's.
func (h *edge) originAllowed(r *http.Request) (origin string, ok bool) {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		return "", true
	}
	origin = values[0]
	return origin, len(values) == 1 && (slices.Contains(h.Origins, origin) || origin != "null" && h.ownOrigin(r, origin))
}

// origins turns other pages away and lets the allowed ones read our answers,
// errors included.
func (h *edge) origins(c *gin.Context) {
	c.Header("Vary", "Origin")
	origin, ok := h.originAllowed(c.Request)
	if !ok {
		h.originLog.note(c.Request.Context(), h, origin, c.Request)
		h.refuse(c, doorbell.Refuse(OriginNotAllowed,
			"Origin %s may not connect to %s. To allow it, add to config.yaml: auth: {origins: [\"%s\"]}",
			"来源 %s 不允许连接 %s。如需允许，请在 config.yaml 中加入：auth: {origins: [\"%s\"]}",
			origin, h.host(c.Request), origin))
		return
	}
	if origin == "" || h.ownOrigin(c.Request, origin) {
		return
	}
	c.Header("Access-Control-Allow-Origin", origin)
	c.Header("Access-Control-Allow-Credentials", "true")
	c.Header("Access-Control-Expose-Headers", "Retry-After, X-Request-Id")
}

// preflight answers OPTIONS, which come without a token.
func preflight(c *gin.Context) {
	c.Header("Access-Control-Allow-Methods", "GET, POST, PUT, OPTIONS")
	c.Header("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, Last-Event-ID")
	c.Header("Access-Control-Max-Age", "600")
	c.Status(http.StatusNoContent)
}

// onceAMinute bounds a line that a stranger can cause.
type onceAMinute struct {
	mu   sync.Mutex
	last time.Time
}

func (o *onceAMinute) due() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); now.Sub(o.last) >= time.Minute {
		o.last = now
		return true
	}
	return false
}

func (o *onceAMinute) note(ctx context.Context, h *edge, origin string, r *http.Request) {
	if o.due() {
		h.log.WarnContext(ctx, "origin not allowed", "origin", origin, "host", h.host(r), "path", r.URL.Path,
			"to_allow", "auth.origins")
	}
}

const (
	// expiryNotice is how long before its end a service's token is warned of.
	expiryNotice = 7 * 24 * time.Hour
	// maxNoticed bounds whom the last warnings are remembered of.
	maxNoticed = 1000
)

// onceADay warns of service tokens that end soon, once a day each: the order
// system that holds one must not fall silent by surprise.
type onceADay struct {
	mu   sync.Mutex
	last map[string]time.Time // by subject
}

func (o *onceADay) note(ctx context.Context, h *edge, g doorbell.Grant) {
	left := time.Until(g.Expires)
	shortLived := !g.Issued.IsZero() && g.Expires.Sub(g.Issued) <= expiryNotice // made for one errand
	if g.Role != doorbell.RoleService || left > expiryNotice || shortLived {
		return
	}
	o.mu.Lock()
	last, noted := o.last[g.Subject]
	due := !noted && len(o.last) < maxNoticed || noted && time.Since(last) > 24*time.Hour
	if due {
		if o.last == nil {
			o.last = map[string]time.Time{}
		}
		o.last[g.Subject] = time.Now()
	}
	o.mu.Unlock()
	if due {
		h.log.WarnContext(ctx, "a service's token ends soon", "sub", g.Subject, "expires", g.Expires, "left", left.Round(time.Minute))
	}
}
