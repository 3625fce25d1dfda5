package handlers

import (
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
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

// Cookie is the name of the session cookie on plain HTTP. On https a prefix that
// browsers know goes before it: they take such a cookie from https alone, so that
// nobody in the network, and no other host of the domain, can plant one.
const Cookie = "doorbell_session"

// The prefixes. The first demands the path /, which several servers under paths of
// one host would have to share.
const (
	hostPrefix   = "__Host-"
	securePrefix = "__Secure-"
)

// Cookies returns all names that a session cookie may have.
func Cookies() []string { return []string{Cookie, hostPrefix + Cookie, securePrefix + Cookie} }

// cookieName returns the name of the session cookie for this request.
func (h *web) cookieName(r *http.Request) string {
	switch {
	case !h.secure(r):
		return Cookie
	case h.BasePath == "/":
		return hostPrefix + Cookie
	default:
		return securePrefix + Cookie
	}
}

// sessionCookie returns the value of the session cookie; empty where there is
// none. former: it has the name of plain HTTP on https, where a server before
// this one gave it, or somebody planted it; it counts only where no other is.
func (h *web) sessionCookie(r *http.Request) (value string, former bool) {
	name := h.cookieName(r)
	if c, err := r.Cookie(name); err == nil && c.Value != "" {
		return c.Value, false
	}
	if c, err := r.Cookie(Cookie); err == nil && name != Cookie {
		return c.Value, c.Value != ""
	}
	return "", false
}

const (
	grantKey     = "grant"
	requestIDKey = "request_id"
)

// identify gives every request an id: the caller's own if that is a plain label.
func identify(c *gin.Context) {
	id := c.GetHeader("X-Request-Id")
	if !plainLabel(id) {
		id = rand.Text()[:16]
	}
	c.Set(requestIDKey, id)
	c.Header("X-Request-Id", id)
}

func requestID(c *gin.Context) string { return c.GetString(requestIDKey) }

// plainLabel reports whether s is a valid label: 1 to 64 of 0-9 A-Z a-z . _ -
func plainLabel(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '.' && r != '_' && r != '-'
	})
}

// bearer returns the token of an Authorization header.
func bearer(r *http.Request) (string, bool) {
	kind, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(kind, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(token), true
}

// grant returns the caller's grant: by doorbell's own credential, else by
// sky-take-out's token if one is configured.
func (h *guard) grant(c *gin.Context) (doorbell.Grant, error) {
	g, err := h.ownGrant(c)
	if err == nil {
		return g, nil
	}
	if employee, ok := h.skyGrant(c); ok {
		return employee, nil
	}
	return g, err
}

// ownGrant returns the caller's grant by the Authorization header, else by the
// session cookie. A cookie alone may not change anything from a foreign page.
func (h *guard) ownGrant(c *gin.Context) (doorbell.Grant, error) {
	if token, ok := bearer(c.Request); ok {
		g, err := h.Tokens.Check(token)
		if err == nil {
			h.expiryLog.note(c.Request.Context(), h.log, g)
		}
		return g, err
	}
	cookie, former := h.sessionCookie(c.Request)
	if cookie == "" {
		return doorbell.Grant{}, doorbell.Refuse(auth.TokenMissing, "This call needs a token: Authorization: Bearer …, or sign in.", "缺少令牌：请使用 Authorization: Bearer …，或先登录。")
	}
	if c.Request.Method != http.MethodGet {
		if err := jsonOnly(c.Request); err != nil {
			return doorbell.Grant{}, err
		}
	}
	g, prolonged, err := h.Logins.Check(c.Request.Context(), cookie)
	if err == nil && (prolonged || former) {
		h.setCookie(c, cookie, g.Expires)
	}
	return g, err
}

// jsonOnly refuses content types that a foreign page's form could send.
func jsonOnly(r *http.Request) error {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/json") {
		return doorbell.Refuse(WrongMedia, "Content-Type must be application/json.", "Content-Type 必须是 application/json。")
	}
	return nil
}

func (h *guard) setCookie(c *gin.Context, value string, expires time.Time) {
	age := max(1, int(time.Until(expires).Seconds())) // 0 would mean until the browser ends
	if value == "" {
		age = -1
	}
	name := h.cookieName(c.Request)
	if _, err := c.Request.Cookie(Cookie); err == nil && name != Cookie { // the former name's goes
		http.SetCookie(c.Writer, &http.Cookie{Name: Cookie, Path: h.BasePath, MaxAge: -1, HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode})
	}
	http.SetCookie(c.Writer, &http.Cookie{ //nolint:gosec // Secure only on https: a kitchen's LAN may have none
		Name: name, Value: value, Path: h.BasePath, MaxAge: age, HttpOnly: true, Secure: h.secure(c.Request), SameSite: http.SameSiteLaxMode,
	})
}

// secure reports whether the browser uses https.
func (h *web) secure(r *http.Request) bool {
	return strings.HasPrefix(h.PublicURL, "https://") || h.scheme(r) == "https"
}

// allow admits the named roles, and an admin for every role but customer.
func (h *guard) allow(roles ...doorbell.Role) gin.HandlerFunc {
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
	if !ok { // allow has set it
		panic("handlers: a route without allow")
	}
	return g
}

// foreignShop returns the error for a shop that the caller may not see, whether it
// exists or not.
func foreignShop() error {
	return doorbell.Refuse(doorbell.Forbidden, "The token does not cover this shop.", "令牌不包含该门店。")
}

// scheme and host return those of the request as the browser sees them; a trusted
// proxy may set them.
func (h *web) scheme(r *http.Request) string {
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

func (h *web) host(r *http.Request) string {
	if h.trusted(r) {
		if f := r.Header.Get("X-Forwarded-Host"); f != "" {
			return f
		}
	}
	return r.Host
}

// ownOrigin reports whether origin is this server.
func (h *web) ownOrigin(r *http.Request, origin string) bool {
	if origin == strings.TrimSuffix(h.PublicURL, "/") && origin != "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.Scheme == h.scheme(r) && strings.EqualFold(u.Host, h.host(r))
}

// originAllowed reports whether a page of this origin may call; a request without
// an origin does not come from a page.
func (h *web) originAllowed(r *http.Request) (origin string, ok bool) {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		return "", true
	}
	origin = values[0]
	return origin, len(values) == 1 && (slices.Contains(h.Origins, origin) || origin != "null" && h.ownOrigin(r, origin))
}

// origins refuses pages of other origins and lets the allowed ones read the
// answers, errors included.
func (h *web) origins(c *gin.Context) {
	c.Header("Vary", "Origin")
	origin, ok := h.originAllowed(c.Request)
	if !ok {
		h.refuse(c, h.originRefusal(c.Request))
		return
	}
	if origin == "" || h.ownOrigin(c.Request, origin) {
		return
	}
	c.Header("Access-Control-Allow-Origin", origin)
	c.Header("Access-Control-Allow-Credentials", "true")
	c.Header("Access-Control-Expose-Headers", "Retry-After, X-Request-Id")
}

// originRefusal returns the error that says what to configure, and logs it once a
// minute.
func (h *web) originRefusal(r *http.Request) error {
	origin := r.Header.Get("Origin")
	h.originLog.note(r.Context(), h, origin, r)
	return doorbell.Refuse(OriginNotAllowed,
		"Origin %s may not connect to %s. To allow it, add to config.yaml: auth: {origins: [\"%s\"]}",
		"来源 %s 不允许连接 %s。如需允许，请在 config.yaml 中加入：auth: {origins: [\"%s\"]}",
		origin, h.host(r), origin)
}

// onceAMinute limits a log line that strangers can cause.
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

func (o *onceAMinute) note(ctx context.Context, h *web, origin string, r *http.Request) {
	if o.due() {
		h.log.WarnContext(ctx, "origin not allowed", "origin", origin, "host", h.host(r), "path", r.URL.Path,
			"to_allow", "auth.origins")
	}
}

const (
	// expiryNotice is how long before its end a service's token causes a warning.
	expiryNotice = 7 * 24 * time.Hour
	// againAfter is the time until the next warning about the same token.
	againAfter = 24 * time.Hour
	// maxNoticed bounds the subjects whose last warning, of the last day, is
	// remembered.
	maxNoticed = 1000
)

// onceADay warns of service tokens that expire soon, once a day each: an order
// system must not stop working by surprise.
type onceADay struct {
	mu   sync.Mutex
	last map[string]time.Time // by subject
	// swept is when old entries were last removed.
	swept time.Time
}

func (o *onceADay) note(ctx context.Context, log *slog.Logger, g doorbell.Grant) {
	left := time.Until(g.Expires)
	shortLived := !g.Issued.IsZero() && g.Expires.Sub(g.Issued) <= expiryNotice // made for a short task
	if g.Role != doorbell.RoleService || left > expiryNotice || shortLived {
		return
	}
	o.mu.Lock()
	last, noted := o.last[g.Subject]
	if !noted && len(o.last) >= maxNoticed {
		o.forget()
	}
	due := !noted && len(o.last) < maxNoticed || noted && time.Since(last) > againAfter
	if due {
		if o.last == nil {
			o.last = map[string]time.Time{}
		}
		o.last[g.Subject] = time.Now()
	}
	o.mu.Unlock()
	if due {
		log.WarnContext(ctx, "service token expires soon", "sub", g.Subject, "expires", g.Expires, "left", left.Round(time.Minute))
	}
}

// forget removes the entries older than againAfter, at most once a minute, because
// a flood of subjects calls it each time. Needs o.mu.
func (o *onceADay) forget() {
	if time.Since(o.swept) < time.Minute {
		return
	}
	o.swept = time.Now()
	maps.DeleteFunc(o.last, func(_ string, last time.Time) bool { return time.Since(last) > againAfter })
}
