package handlers

import (
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
	"doorbell/transport"
)

// maxLabel bounds a device's own description, in bytes.
const maxLabel = 100

// login opens a session for a token or a ticket of a console or an admin.
func (h *access) login(c *gin.Context) error {
	if err := jsonOnly(c.Request); err != nil {
		return err
	}
	var body struct {
		Token  string `json:"token"`
		Ticket string `json:"ticket"`
		Label  string `json:"label"` // the device's own description
	}
	if err := h.maySignIn(c); err != nil {
		return err
	}
	if err := decode(c, &body); err != nil {
		return err
	}
	if len(body.Label) > maxLabel {
		return doorbell.InvalidField("label", "must be at most 100 bytes", "最多 100 字节")
	}
	login, err := h.loginBy(c, body.Token, body.Ticket)
	if err != nil {
		return err
	}
	if role := login.Grant.Role; role != doorbell.RoleConsole && role != doorbell.RoleAdmin {
		return doorbell.Refuse(doorbell.Forbidden, "Role %s has no console.", "角色 %s 不能登录控制台。", role)
	}
	login.Label = body.Label
	cookie, g, err := h.Logins.Open(c.Request.Context(), login)
	if err != nil {
		return err
	}
	h.setCookie(c, cookie, g.Expires)
	return h.writeMe(c, g)
}

// loginBy returns the session for a token or a ticket. It ends at the latest when
// that does, except for a paired device.
func (h *access) loginBy(c *gin.Context, token, ticket string) (login doorbell.Login, err error) {
	switch {
	case ticket != "" && token == "":
		var k doorbell.Ticket
		k, err = h.Logins.Spend(c.Request.Context(), ticket)
		login.Grant, login.Paired = k.Grant, k.Pairs
	case token != "" && ticket == "":
		login.Grant, err = h.Tokens.Check(token)
	default:
		err = doorbell.InvalidField("token", "or ticket must be given, one of them", "与 ticket 必须且只能提供一个")
	}
	login.Limit = login.Grant.Expires
	return login, err
}

// lookAtTicket returns what a ticket would give, without spending it: a page asks
// before it replaces one sign-in by another. All invalid tickets get the same
// answer.
func (h *access) lookAtTicket(c *gin.Context) error {
	if err := jsonOnly(c.Request); err != nil {
		return err
	}
	if err := h.maySignIn(c); err != nil {
		return err
	}
	var body struct {
		Ticket string `json:"ticket"`
	}
	if err := decode(c, &body); err != nil {
		return err
	}
	if body.Ticket == "" {
		return doorbell.InvalidField("ticket", "is missing", "缺失")
	}
	k, err := h.Logins.Ticket(c.Request.Context(), body.Ticket)
	if err != nil {
		return err
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, gin.H{
		"sub": k.Grant.Subject, "role": k.Grant.Role, "shops": h.view(k.Grant.Shops.List), "all": k.Grant.Shops.All,
		"pairs": k.Pairs, "expires": k.Expires.Format(time.RFC3339),
	})
	return nil
}

// logout ends the session and its streams; without a session it succeeds, too.
func (h *access) logout(c *gin.Context) error {
	if err := jsonOnly(c.Request); err != nil {
		return err
	}
	if cookie, _ := h.sessionCookie(c.Request); cookie != "" {
		ended, err := h.Logins.SignOut(c.Request.Context(), cookie)
		if err != nil {
			return err
		}
		h.Sessions.EndLogins(ended...)
	}
	h.setCookie(c, "", time.Time{})
	c.Status(http.StatusNoContent)
	return nil
}

// shopView names a shop.
type shopView struct {
	ID   doorbell.ShopID `json:"id"`
	Name string          `json:"name"`
}

func (h *access) view(shops []doorbell.ShopID) []shopView {
	out := make([]shopView, len(shops))
	for i, shop := range shops {
		out[i] = shopView{ID: shop, Name: h.ShopNames[shop]}
	}
	return out
}

func (h *access) me(c *gin.Context) error { return h.writeMe(c, grantOf(c)) }

func (h *access) writeMe(c *gin.Context, g doorbell.Grant) error {
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, gin.H{
		"sub": g.Subject, "role": g.Role, "shops": h.view(g.Shops.List), "all": g.Shops.All,
		"expires": g.Expires.UTC().Format(time.RFC3339), "session": g.Session, "device": g.Device != "",
	})
	return nil
}

// shops lists the shops of the token; for a * token those that are configured or
// have a log.
func (h *access) shops(c *gin.Context) error {
	after, err := number(c, "after", 0, 0, doorbell.MaxID)
	if err != nil {
		return err
	}
	limit, err := number(c, "limit", 100, 1, 500)
	if err != nil {
		return err
	}
	set := grantOf(c).Shops
	all := slices.Clone(set.List)
	if set.All {
		if all, err = h.Shops.Shops(c.Request.Context(), doorbell.ShopID(after), int(limit)+1); err != nil {
			return err
		}
		for shop := range h.ShopNames {
			all = append(all, shop)
		}
	}
	slices.Sort(all)
	all = slices.DeleteFunc(slices.Compact(all), func(shop doorbell.ShopID) bool { return shop <= doorbell.ShopID(after) })
	var next *doorbell.ShopID
	if len(all) > int(limit) {
		all = all[:limit]
		next = &all[limit-1]
	}
	c.JSON(http.StatusOK, gin.H{"shops": h.view(all), "next": next})
	return nil
}

// grantBody is the body of tickets and tokens.
type grantBody struct {
	Subject string   `json:"sub"`
	Shops   shopList `json:"shops"`
	TTL     lifetime `json:"ttl"`
	Life    lifetime `json:"life"` // tickets by a service: up to 15 minutes
	Pair    bool     `json:"pair"` // tickets by a service: the device stays signed in
}

// consoleGrant returns the console grant that the caller may hand on: for shops
// within its own, and no longer than a console caller's token, or any caller's
// session, with which it ends.
func consoleGrant(c *gin.Context, fallback, longest time.Duration) (doorbell.Grant, grantBody, error) {
	var body grantBody
	if err := decode(c, &body); err != nil {
		return doorbell.Grant{}, body, err
	}
	caller := grantOf(c)
	if body.Subject == "" {
		body.Subject = caller.Subject
	}
	if len(body.Subject) > 128 {
		return doorbell.Grant{}, body, doorbell.InvalidField("sub", "must be at most 128 bytes", "最多 128 字节")
	}
	shops := caller.Shops
	if body.Shops.Given {
		shops = body.Shops.Set
	}
	if !shops.All && len(shops.List) == 0 {
		return doorbell.Grant{}, body, doorbell.InvalidField("shops", "must name at least one shop", "至少指定一个门店")
	}
	if !shops.Within(caller.Shops) {
		return doorbell.Grant{}, body, foreignShop()
	}
	ttl := time.Duration(body.TTL)
	if ttl == 0 {
		ttl = fallback
	}
	if ttl < time.Second || ttl > longest {
		return doorbell.Grant{}, body, doorbell.InvalidField("ttl", "must be from 1s to "+longest.String(), "必须在 1s 到 "+longest.String()+" 之间")
	}
	expires := time.Now().Add(ttl)
	if (caller.Role == doorbell.RoleConsole || caller.Session != "") && caller.Expires.Before(expires) {
		expires = caller.Expires
	}
	return doorbell.Grant{
		Subject: body.Subject, Role: doorbell.RoleConsole, Shops: shops, Expires: doorbell.Instant(expires),
		Parent: caller.Session, Source: caller.Source, Device: caller.Device,
	}, body, nil
}

func (h *access) ticket(c *gin.Context) error {
	if err := h.keepPace(c.Request.Context(), h.paces.tickets, grantOf(c).Holder()); err != nil {
		return err
	}
	g, body, err := consoleGrant(c, auth.SessionByTicket, auth.ConsoleTTL)
	if err != nil {
		return err
	}
	life := auth.TicketTTL
	if asked := time.Duration(body.Life); asked != 0 {
		if asked < time.Second || asked > auth.LinkTTL || grantOf(c).Role == doorbell.RoleConsole {
			return doorbell.InvalidField("life", "is for services, up to 15m", "仅供服务端使用，最长 15m")
		}
		life = asked
	}
	issue := h.Logins.MakeTicket
	if body.Pair {
		// A device stays signed in; but what a session creates ends with the session.
		if grantOf(c).Role == doorbell.RoleConsole || grantOf(c).Session != "" {
			return doorbell.InvalidField("pair", "is for services, by token", "仅供服务端使用令牌调用")
		}
		issue = h.Logins.MakePairing
	}
	ticket, expires, err := issue(c.Request.Context(), g, life)
	if err != nil {
		return err
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, gin.H{"ticket": ticket, "expires": expires.Format(time.RFC3339)})
	return nil
}

// token creates a token for a caller with a token. A session may not, because what
// it creates must end with it, and a token can't be ended.
func (h *access) token(c *gin.Context) error {
	if grantOf(c).Session != "" {
		return doorbell.Refuse(doorbell.Forbidden, "A session makes tickets; tokens are made by token.", "登录会话只能生成 ticket，签发令牌需要使用令牌。")
	}
	if err := h.keepPace(c.Request.Context(), h.paces.tickets, grantOf(c).Holder()); err != nil {
		return err
	}
	g, _, err := consoleGrant(c, auth.ConsoleTTL, auth.ServiceTTL)
	if err != nil {
		return err
	}
	token, err := h.Register.Issue(c.Request.Context(), g, g.Source)
	if err != nil {
		return err
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, gin.H{"token": token, "expires": g.Expires.Format(time.RFC3339)})
	return nil
}

func (h *api) hearing(c *gin.Context) error {
	var body struct {
		Audible *bool  `json:"audible"`
		Reason  string `json:"reason"`
		Label   string `json:"label"`
	}
	if err := decode(c, &body); err != nil {
		return err
	}
	if body.Audible == nil {
		return doorbell.InvalidField("audible", "is missing", "缺失")
	}
	for field, text := range map[string]string{"reason": body.Reason, "label": body.Label} {
		if len(text) > 200 {
			return doorbell.InvalidField(field, "must be at most 200 bytes", "最多 200 字节")
		}
	}
	known, err := h.Consoles.SetHearingOfAny(c.Request.Context(), c.Param("console"), grantOf(c),
		transport.Hearing{Audible: *body.Audible, Reason: body.Reason, Label: body.Label})
	if err != nil {
		return nodesSilent(err)
	}
	if !known {
		return doorbell.Refuse(doorbell.NotFound, "There is no such console.", "没有这个控制台。")
	}
	c.Status(http.StatusNoContent)
	return nil
}

func (h *api) consoles(c *gin.Context) error {
	n, err := id("id", c.Param("id"))
	if err != nil {
		return err
	}
	if !grantOf(c).Shops.Has(doorbell.ShopID(n)) {
		return doorbell.Refuse(doorbell.NotFound, "There is no shop %d.", "门店 %d 不存在。", n)
	}
	c.JSON(http.StatusOK, gin.H{"consoles": h.Consoles.ConsolesOfAll(c.Request.Context(), doorbell.ShopID(n))})
	return nil
}

// maxAnnouncement bounds an announcement, in bytes.
const maxAnnouncement = 2000

func (h *api) announce(c *gin.Context) error {
	var body struct {
		Text  string   `json:"text"`
		Shops shopList `json:"shops"`
	}
	if err := decode(c, &body); err != nil {
		return err
	}
	if body.Text == "" || len(body.Text) > maxAnnouncement {
		return doorbell.InvalidField("text", "must be 1 to 2000 bytes", "必须是 1 到 2000 字节")
	}
	shops := grantOf(c).Shops
	if body.Shops.Given {
		if !body.Shops.Set.Within(shops) {
			return foreignShop()
		}
		shops = body.Shops.Set
	}
	list := shops.List
	if shops.All {
		list = nil // all
	} else if list == nil {
		list = []doorbell.ShopID{}
	}
	n := h.Consoles.AnnounceToAll(c.Request.Context(), body.Text, list, h.AnnouncePlain)
	c.JSON(http.StatusAccepted, gin.H{"consoles": n})
	return nil
}

// nodesSilent returns a temporary refusal, because another node that may know the
// answer could not be asked.
func nodesSilent(cause error) error {
	e := doorbell.Refuse(doorbell.Unavailable, "The node that has this console can't be asked just now; try again.", "暂时无法联系该控制台所在的节点，请稍后重试。").Because(cause)
	e.RetryAfter = time.Second
	return e
}
