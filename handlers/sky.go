package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
	"doorbell/transport"
)

// Sky is what the edge needs to know of a sky-take-out installation.
type Sky struct {
	Tokens    *auth.Sky // nil: its tokens are not accepted
	AdminName string    // of the cookie and the header with an employee's token
	UserName  string    // of the header with a customer's; empty: authentication

	Zone *time.Location // of times in their answers; nil: UTC
	// Customers tells who waits for orders; nil: nobody knows.
	Customers func(ctx context.Context, orders []doorbell.OrderID) (map[doorbell.OrderID]doorbell.Customer, error)
}

// customerHeader returns the name of the header with a customer's token.
func (s Sky) customerHeader() string {
	if s.UserName == "" {
		return "authentication"
	}
	return s.UserName
}

// maxSkyCookies bounds the cookies of one name that are tried: cookies ignore
// ports, so another program on the same host may have set one with this name.
const maxSkyCookies = 4

// skyTokens returns a request's employee tokens, from the header and from cookies.
func (h *guard) skyTokens(r *http.Request) (header string, cookies []string) {
	if !h.Sky.Tokens.TakesAdmins() {
		return "", nil
	}
	for _, c := range r.CookiesNamed(h.Sky.AdminName) {
		if c.Value != "" && len(cookies) < maxSkyCookies {
			cookies = append(cookies, c.Value)
		}
	}
	return r.Header.Get(h.Sky.AdminName), cookies
}

// skyEmployee reads an employee's token. given says that there was one; err, why
// it is not valid.
func (h *guard) skyEmployee(r *http.Request) (g doorbell.Grant, byCookie, given bool, err error) {
	header, cookies := h.skyTokens(r)
	if header != "" {
		if g, err = h.Sky.Tokens.Admin(header); err == nil {
			return g, false, true, nil
		}
	}
	for _, cookie := range cookies {
		if g, err = h.Sky.Tokens.Admin(cookie); err == nil {
			return g, true, true, nil
		}
	}
	return doorbell.Grant{}, false, err != nil, err
}

// skyGrant returns the grant of an employee's token if the caller has no
// credential of doorbell's. As with doorbell's cookie, the token alone may not
// change anything from a page's form.
func (h *guard) skyGrant(c *gin.Context) (doorbell.Grant, bool) {
	g, byCookie, given, err := h.skyEmployee(c.Request)
	if !given || err != nil {
		return g, false
	}
	return g, !byCookie || c.Request.Method == http.MethodGet || jsonOnly(c.Request) == nil
}

// plainGrant returns a plain client's grant. sky-take-out's token is checked
// first: its page does not know of a doorbell session that the browser sends
// along, so that session must not refuse the page, send it to another shop or end
// it.
func (h *guard) plainGrant(c *gin.Context) (doorbell.Grant, error) {
	shops, named := c.GetQuery("shops")
	ours := named && shops != auth.SkyShop.String() // asks for shops that sky's token does not admit to
	employee, _, given, tokenErr := h.skyEmployee(c.Request)
	if !ours && given && tokenErr == nil {
		employee.Expires, employee.Source = time.Time{}, skySource // the page never reconnects: without this it would become silent for good
		return employee, nil
	}
	open := h.SkyOpen && !ours
	if open && h.admittedByName(c.Request) {
		return doorbell.Grant{Subject: "sky.open", Role: doorbell.RoleConsole, Shops: doorbell.ShopSet{List: []doorbell.ShopID{auth.SkyShop}}, Source: skySource}, nil
	}
	g, err := h.ownGrant(c)
	switch {
	case err == nil || doorbell.CodeOf(err) != auth.TokenMissing:
		return g, err
	case open:
		return g, h.originRefusal(c.Request)
	case given:
		return g, tokenErr
	default:
		return g, err
	}
}

// skySource marks the grant of a plain client that sky-take-out's token admits.
const skySource = "sky"

// isPage reports whether a plain client is sky-take-out's page, which knows no
// cursor and never reconnects.
func isPage(sub transport.Subscription) bool {
	return sub.Plain && sub.Grant.Source == skySource && len(sub.Shops) == 1
}

// browserOf returns a text that identifies a browser as well as possible: a
// reloaded page has the same address, browser and login.
func browserOf(c *gin.Context, g doorbell.Grant) string {
	sum := sha256.Sum256([]byte(c.ClientIP() + "\n" + c.Request.UserAgent() + "\n" + g.Subject))
	return hex.EncodeToString(sum[:8])
}

// skyAdmitsPage reports whether a page of an unlisted origin may open a plain
// stream: sky-take-out's page is at http://localhost, and its nginx does not
// forward the host that the browser asked for.
func (h *guard) skyAdmitsPage(r *http.Request) bool {
	if !h.admittedByName(r) {
		return false
	}
	_, _, given, err := h.skyEmployee(r)
	return h.SkyOpen || given && err == nil
}

// noteRefusedSocket logs a refused handshake with the setting to change:
// sky-take-out's page shows only 错误, and never tries again.
func (h *guard) noteRefusedSocket(c *gin.Context, plain bool, err error) {
	n, due := h.skyLog.due()
	if !due {
		return
	}
	r := c.Request
	e := asError(err)
	fields := []any{
		"code", string(e.Code), "detail", e.Error(), "origin", r.Header.Get("Origin"), "host", h.host(r), "path", r.URL.Path,
		"plain", plain, "remote", c.ClientIP(), "request_id", requestID(c),
	}
	if hint := h.toAdmit(c, plain, e.Code); hint != "" {
		fields = append(fields, "to_allow", hint)
	}
	if n > 0 {
		fields = append(fields, "not_logged", n)
	}
	h.log.WarnContext(r.Context(), "websocket refused", fields...)
}

// toAdmit returns the setting that would admit a handshake that was refused with
// code.
func (h *guard) toAdmit(c *gin.Context, plain bool, code doorbell.Code) string {
	_, _, given, err := h.skyEmployee(c.Request)
	switch {
	case code == OriginNotAllowed:
		return `auth: {origins: ["` + c.Request.Header.Get("Origin") + `"]}`
	case !plain:
		return ""
	case given && err != nil && doorbell.CodeOf(err) == auth.TokenUnknownKey:
		return "sky: {secret: {admin: …}}, the value of the backend's sky.jwt.admin-secret-key"
	case given && err != nil && doorbell.CodeOf(err) == auth.TokenExpired:
		return "nothing: the employee signs in again"
	case code != auth.TokenMissing && code != auth.TokenUnknownKey && code != auth.TokenInvalid:
		return ""
	case h.Sky.Tokens.TakesAdmins():
		return "sky: {open: true}; or open the page at http://localhost, whose cookie " + h.Sky.AdminName + " then comes with the handshake"
	default:
		return "sky: {secret: {admin: …}}, the value of the backend's sky.jwt.admin-secret-key; or sky: {open: true}"
	}
}

// refusalsAMinute bounds the log lines that strangers can cause.
const refusalsAMinute = 60

// fewAMinute lets that many lines pass each minute, and counts the others.
type fewAMinute struct {
	mu      sync.Mutex
	began   time.Time
	passed  int
	dropped int
}

// due reports whether a line may be written, and how many were dropped since the
// last one.
func (f *fewAMinute) due() (dropped int, pass bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.began) >= time.Minute {
		f.began, f.passed = now, 0
	}
	if f.passed >= refusalsAMinute {
		f.dropped++
		return 0, false
	}
	f.passed++
	dropped, f.dropped = f.dropped, 0
	return dropped, true
}

// skyCustomer reads a customer's token: sky-take-out's or doorbell's.
func (h *guard) skyCustomer(r *http.Request) (doorbell.Grant, error) {
	raw := r.Header.Get(h.Sky.customerHeader())
	if h.Sky.Tokens.TakesUsers() {
		if g, err := h.Sky.Tokens.Customer(raw); err == nil {
			return g, nil
		}
	}
	g, err := h.Tokens.Check(raw)
	if err == nil && g.Role != doorbell.RoleCustomer {
		err = doorbell.Refuse(doorbell.Forbidden, "Only a customer reminds.", "只有顾客可以催单。")
	}
	return g, err
}

// Serves reports whether a path is doorbell's own; all others may belong to the
// backend behind it.
func (s *Server) Serves(path string) bool {
	for _, r := range s.routes {
		if i := strings.IndexAny(r.Path, ":*"); i >= 0 && strings.HasPrefix(path, r.Path[:i]) || r.Path == path {
			return true
		}
	}
	return false
}

// FromProxy reports whether a request comes straight from a trusted proxy.
func (s *Server) FromProxy(r *http.Request) bool { return s.web.trusted(r) }
