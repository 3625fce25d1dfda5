package handlers

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
	"doorbell/transport"
)

const (
	// maxShops bounds what one stream follows.
	maxShops = 64
	// WebSocket close codes of our own: what 401 and 403 are elsewhere.
	closeUnauthorized = 4401
	closeForbidden    = 4403
)

// subprotocol is what a client offers that wants events.
const subprotocol = "doorbell.v1"

// webSocket upgrades. A browser sees no status of a refused handshake, so one
// that offers doorbell.v1 is accepted and told by a close code.
func (h *edge) webSocket(c *gin.Context) error {
	r := c.Request
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		c.Header("Upgrade", "websocket")
		return doorbell.Refuse(UpgradeNeeded, "This address speaks WebSocket; /events and /poll speak HTTP.", "此地址仅支持 WebSocket；HTTP 请使用 /events 或 /poll。")
	}
	origin, ok := h.originAllowed(r)
	if !ok {
		h.origins(c) // writes the refusal
		return nil
	}
	plain := !offers(r)
	browser := !plain && origin != ""
	sub, err := h.subscription(c, transport.WebSocket, plain, browser)
	if err != nil {
		if code, ok := closeCode(err); ok && browser {
			e := asError(err)
			c.Set(detachedKey, true)
			return h.Streams.RefuseWebSocket(c.Writer, r, code, string(e.Code))
		}
		return err
	}
	session, err := h.Hub.Open(r.Context(), sub)
	if err != nil {
		return unreadable(err)
	}
	c.Set(detachedKey, true)
	if err := h.Streams.WebSocket(c.Writer, r, session); err != nil {
		session.Leave(r.Context(), 0, "not upgraded")
		if errors.Is(err, transport.ErrDraining) {
			return err
		}
		h.log.InfoContext(r.Context(), "websocket not upgraded", "remote", c.ClientIP(), "error", err)
		c.Abort() // the upgrader has answered
	}
	return nil
}

// unreadable is the answer when the log can't be read.
func unreadable(err error) error {
	if errors.Is(err, transport.ErrDraining) {
		return err
	}
	return doorbell.Refuse(doorbell.Unavailable, "The log can't be read just now; connect again.", "暂时无法读取数据，请重新连接。").Because(err)
}

func closeCode(err error) (int, bool) {
	switch statuses[asError(err).Code] {
	case http.StatusUnauthorized:
		return closeUnauthorized, true
	case http.StatusForbidden:
		return closeForbidden, true
	default:
		return 0, false
	}
}

func offers(r *http.Request) bool {
	for _, line := range r.Header.Values("Sec-Websocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(p) == subprotocol {
				return true
			}
		}
	}
	return false
}

func (h *edge) events(c *gin.Context) error {
	sub, err := h.subscription(c, transport.SSE, false, false)
	if err != nil {
		return err
	}
	sub.Cursors = true
	session, err := h.Hub.Open(c.Request.Context(), sub)
	if err != nil {
		return unreadable(err)
	}
	if h.Streams.SSE(c.Writer, c.Request, session) {
		c.Set(detachedKey, true)
	}
	return nil
}

func (h *edge) poll(c *gin.Context) error {
	sub, err := h.subscription(c, transport.Poll, false, false)
	if err != nil {
		return err
	}
	wait, err := number(c, "wait", 25, 0, 60)
	if err != nil {
		return err
	}
	limit, err := number(c, "limit", 200, 1, 500)
	if err != nil {
		return err
	}
	sub.Window, sub.Console = int(limit), c.Query("console")
	session, err := h.Hub.Open(c.Request.Context(), sub)
	if err != nil {
		return unreadable(err)
	}
	if err := h.Streams.Poll(c.Writer, c.Request, session, time.Duration(wait)*time.Second, h.Version); err != nil {
		return unreadable(err)
	}
	return nil
}

// subscription reads what a client asks for. browser: it can't see a 400, so a
// cursor that can't be read becomes a reset.
func (h *edge) subscription(c *gin.Context, kind string, plain, browser bool) (sub transport.Subscription, err error) {
	sub = transport.Subscription{Transport: kind, Plain: plain, Remote: c.ClientIP()}
	if sub.Grant, err = h.streamGrant(c, kind, plain); err != nil {
		return sub, err
	}
	if sub.SID, err = streamLabel(c); err != nil {
		return sub, err
	}
	if sub.Shops, err = followed(c, sub.Grant.Shops); err != nil {
		return sub, err
	}
	if sub.Types, err = typeSet(c); err != nil {
		return sub, err
	}
	beat, err := number(c, "heartbeat", 0, 1, 60)
	if err != nil {
		return sub, err
	}
	if asked := time.Duration(beat) * time.Second; asked > 0 && asked < h.Heartbeat {
		sub.Heartbeat = asked
	}
	err = startOf(c, &sub)
	if err != nil && browser {
		sub.Start, err = transport.FromBadCursor, nil
	}
	return sub, err
}

// streamGrant is who connects: by ticket, else as elsewhere; the tutorial's
// page without anything, where the configuration lets it.
func (h *edge) streamGrant(c *gin.Context, kind string, plain bool) (g doorbell.Grant, err error) {
	if ticket, given := c.GetQuery("ticket"); given {
		if len(ticket) > 64 {
			return g, doorbell.InvalidField("ticket", "is too long", "过长")
		}
		var k doorbell.Ticket
		k, err = h.Logins.Spend(c.Request.Context(), ticket)
		g = k.Grant
	} else {
		g, err = h.grant(c)
		if kind == transport.WebSocket && plain && h.SkyOpen && doorbell.CodeOf(err) == auth.TokenMissing {
			return doorbell.Grant{Subject: "sky.open", Role: doorbell.RoleConsole, Shops: doorbell.ShopSet{List: []doorbell.ShopID{1}}}, nil
		}
	}
	if err == nil && g.Role == doorbell.RoleCustomer {
		err = doorbell.Refuse(doorbell.Forbidden, "Customers have no stream.", "顾客身份不能订阅提醒。")
	}
	return g, err
}

func streamLabel(c *gin.Context) (string, error) {
	sid := c.Param("sid")
	if sid == "" {
		var given bool
		if sid, given = c.GetQuery("sid"); !given {
			return "", nil
		}
	}
	if !plainLabel(sid) {
		return "", doorbell.InvalidField("sid", "must be 1 to 64 of 0-9 A-Z a-z . _ -", "必须是 1 到 64 个 0-9 A-Z a-z . _ - 字符")
	}
	return sid, nil
}

// followed are the shops of a stream: those asked for, else all of the grant's.
func followed(c *gin.Context, have doorbell.ShopSet) ([]doorbell.ShopID, error) {
	list, given := c.GetQuery("shops")
	if !given {
		if have.All || len(have.List) > maxShops || len(have.List) == 0 {
			return nil, doorbell.InvalidField("shops", "must name 1 to 64 shops: the token does not say which", "必须指定 1 到 64 个门店")
		}
		shops := slices.Clone(have.List)
		slices.Sort(shops)
		return shops, nil
	}
	var shops []doorbell.ShopID
	for text := range strings.SplitSeq(list, ",") {
		n, err := id("shops", text)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(shops, doorbell.ShopID(n)) {
			shops = append(shops, doorbell.ShopID(n))
		}
		if len(shops) > maxShops {
			return nil, doorbell.InvalidField("shops", "must name at most 64 shops", "最多 64 个门店")
		}
	}
	for _, shop := range shops {
		if !have.Has(shop) {
			return nil, foreignShop()
		}
	}
	slices.Sort(shops)
	return shops, nil
}

func typeSet(c *gin.Context) (set transport.TypeSet, err error) {
	list, given := c.GetQuery("types")
	if !given {
		return 0, nil
	}
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 4 {
			return 0, doorbell.InvalidField("types", "must be a list of 1, 2, 3, 4", "必须是 1、2、3、4 的列表")
		}
		set = set.With(doorbell.Type(n))
	}
	return set, nil
}

// startOf reads where a stream starts: Last-Event-ID wins over after.
func startOf(c *gin.Context, sub *transport.Subscription) (err error) {
	text, given := c.GetQuery("after")
	field := "after"
	if last := c.GetHeader("Last-Event-ID"); last != "" {
		text, given, field = last, true, "Last-Event-ID"
	}
	switch {
	case !given:
		sub.Start = transport.FromNow
	case text == "0":
		sub.Start = transport.FromOldest
	default:
		sub.Start = transport.FromCursor
		if sub.Cursor, err = doorbell.ParseCursor(text); err != nil {
			return doorbell.InvalidField(field, "is not a cursor: want 0 or EPOCH.SHOP:SEQ,SHOP:SEQ", "不是有效的游标：应为 0 或 EPOCH.SHOP:SEQ,SHOP:SEQ")
		}
	}
	return nil
}
