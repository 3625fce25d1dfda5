package handlers

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
	"doorbell/transport"
)

const (
	// maxShops bounds the shops of one stream.
	maxShops = 64
)

// transportKey holds the transport of the requested stream.
const transportKey = "doorbell.transport"

// over marks a request as one for a stream of t, so that later refusals are sent
// in t's way.
func over(t transport.Transport) gin.HandlerFunc {
	return func(c *gin.Context) { c.Set(transportKey, t) }
}

// refusedByTransport sends a refusal in the transport's own way, if it has one.
func (h *web) refusedByTransport(c *gin.Context, err error, status int) bool {
	value, asked := c.Get(transportKey)
	if !asked {
		return false
	}
	t, ok := value.(transport.Transport)
	if !ok { // over has set it
		panic("handlers: a transport of another type")
	}
	e := asError(err)
	why := transport.Refusal{Status: status, Reason: string(e.Code), Retry: e.RetryAfter}
	if errors.Is(err, transport.ErrDraining) {
		why.Reason = transport.Shutdown.String()
	}
	outcome, untold := t.Refuse(c.Writer, c.Request, why)
	if outcome == transport.Detached {
		c.Set(detachedKey, true)
	}
	if untold != nil {
		h.log.ErrorContext(c.Request.Context(), "refusal not sent", "path", c.Request.URL.Path, "request_id", requestID(c), "error", untold)
	}
	return outcome != transport.Unanswered
}

// serve passes a session to its transport.
func (h *streams) serve(c *gin.Context, t transport.Transport, s *transport.Session) error {
	outcome, err := t.Serve(c.Writer, c.Request, s)
	if outcome == transport.Detached {
		c.Set(detachedKey, true)
	}
	switch {
	case err == nil:
		return nil
	case outcome != transport.Unanswered:
		h.log.InfoContext(c.Request.Context(), "stream not opened", "transport", s.Transport, "remote", c.ClientIP(), "error", err)
		c.Abort()
		return nil
	case errors.Is(err, transport.ErrDraining):
		return err
	default:
		return unreadable(err)
	}
}

// webSocket handles a WebSocket request.
func (h *streams) webSocket(c *gin.Context) error {
	plain := !transport.OffersEvents(c.Request)
	err := h.upgrade(c, plain)
	if err != nil {
		h.noteRefusedSocket(c, plain, err)
	}
	return err
}

func (h *streams) upgrade(c *gin.Context, plain bool) error {
	if err := handshake(c); err != nil {
		return err
	}
	origin, ok := h.originAllowed(c.Request)
	if !ok && (!plain || !h.skyAdmitsPage(c.Request)) {
		c.Header("Vary", "Origin")
		return h.originRefusal(c.Request)
	}
	over(h.Transports.WebSocket)(c) // a browser refused before this line is not one of doorbell's pages
	browser := !plain && origin != ""
	session, err := h.webSocketSession(c, plain, browser)
	if err != nil {
		return err
	}
	return h.serve(c, h.Transports.WebSocket, session)
}

func (h *streams) webSocketSession(c *gin.Context, plain, browser bool) (*transport.Session, error) {
	if e := Crowd(c.Request); e != nil { // checked here, so that a browser can see the refusal
		return nil, h.crowded(c.Request.Context(), e)
	}
	query := c.Request.URL.RawQuery
	bad := badQuery(query)
	unreadCursor := browser && bad == "after" && badQuery(withoutField(query, "after")) == ""
	if bad != "" && !unreadCursor {
		return nil, badQueryField(bad)
	}
	sub, err := h.subscription(c, transport.WebSocket, plain, browser)
	if err != nil {
		return nil, err
	}
	if unreadCursor {
		sub.Start = transport.FromBadCursor
	}
	return h.open(c, sub)
}

// open opens a session for a subscription.
func (h *streams) open(c *gin.Context, sub transport.Subscription) (*transport.Session, error) {
	session, err := h.Hub.Open(c.Request.Context(), sub)
	if e, ok := errors.AsType[*transport.CrowdedError](err); ok {
		return nil, h.crowded(c.Request.Context(), e)
	}
	if err != nil {
		return nil, unreadable(err)
	}
	return session, nil
}

// unreadable returns the error when the log can't be read.
func unreadable(err error) error {
	return doorbell.Refuse(doorbell.Unavailable, "The log can't be read just now; connect again.", "暂时无法读取数据，请重新连接。").Because(err)
}

func (h *streams) events(c *gin.Context) error {
	sub, err := h.subscription(c, transport.SSE, false, false)
	if err != nil {
		return err
	}
	sub.Cursors = true
	session, err := h.open(c, sub)
	if err != nil {
		return err
	}
	return h.serve(c, h.Transports.SSE, session)
}

func (h *streams) poll(c *gin.Context) error {
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
	sub.Wait = time.Duration(wait) * time.Second
	sub.Window, sub.Console, sub.Unlisted = int(limit), c.Query("console"), wait == 0
	if sub.Unlisted {
		if err := h.paced(sub.Grant); err != nil {
			return err
		}
	}
	session, err := h.open(c, sub)
	if err != nil {
		return err
	}
	return h.serve(c, h.Transports.Poll, session)
}

// subscription parses a client's request. For a browser, which can't see a 400, an
// unreadable cursor becomes a reset.
func (h *streams) subscription(c *gin.Context, kind string, plain, browser bool) (sub transport.Subscription, err error) {
	sub = transport.Subscription{Transport: kind, Plain: plain, Remote: c.ClientIP(), Client: h.client(c)}
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
	if sub.Start == transport.FromNow && isPage(sub) {
		sub.Start, sub.Browser = transport.FromPages, browserOf(c, sub.Grant)
	}
	if err != nil && browser {
		sub.Start, err = transport.FromBadCursor, nil
	}
	return sub, err
}

// streamGrant returns the grant of a connecting client: by ticket, else as for
// other requests; for a plain WebSocket client as sky-take-out's page, if the
// configuration allows that.
func (h *streams) streamGrant(c *gin.Context, kind string, plain bool) (g doorbell.Grant, err error) {
	if ticket, given := c.GetQuery("ticket"); given {
		if len(ticket) > 64 {
			return g, doorbell.InvalidField("ticket", "is too long", "过长")
		}
		var k doorbell.Ticket
		k, err = h.Logins.Spend(c.Request.Context(), ticket)
		g = k.Grant
	} else if kind == transport.WebSocket && plain {
		g, err = h.plainGrant(c)
	} else {
		g, err = h.grant(c)
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

// followed returns the shops of a stream: those asked for, else all of the
// grant's.
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

// startOf parses where a stream starts: Last-Event-ID has precedence over after.
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
