package handlers

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

// idempotencyKey reads the header: 1 to 255 visible ASCII.
func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	bad := strings.ContainsFunc(key, func(c rune) bool { return c < '!' || c > '~' })
	if len(values) > 1 || key == "" || len(key) > 255 || bad {
		return "", doorbell.InvalidField("Idempotency-Key", "must be 1 to 255 visible ASCII characters", "必须是 1 到 255 个可见 ASCII 字符")
	}
	return key, nil
}

func (h *edge) raise(c *gin.Context) error {
	var body doorbell.Raise
	if err := decode(c, &body); err != nil {
		return err
	}
	key, err := idempotencyKey(c.Request)
	if err != nil {
		return err
	}
	g := grantOf(c)
	if body.Shop > 0 && !g.Shops.Has(body.Shop) {
		return foreignShop()
	}
	alert, created, err := h.Service.RaiseAlert(c.Request.Context(), body,
		doorbell.Key{Subject: g.Subject, Shop: body.Shop, Value: key})
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	c.Data(status, jsonType, alert.Encode()) // what MarshalJSON gives needs no second look
	return nil
}

// jsonType is as Gin has it.
const jsonType = "application/json; charset=utf-8"

// alertView is an alert with what became of it.
type alertView struct {
	alert    doorbell.Alert
	State    string             `json:"state"` // "open", "closed", or "" for what never rings
	By       string             `json:"by,omitempty"`
	At       *time.Time         `json:"at,omitempty"`
	ClosedBy doorbell.Seq       `json:"closedBy,omitempty"` // the seq of the alert that silenced it
	Receipts []doorbell.Receipt `json:"receipts"`
}

// MarshalJSON is the alert as the streams send it, with more fields.
func (v alertView) MarshalJSON() ([]byte, error) {
	type rest alertView
	more, err := json.Marshal(rest(v))
	if err != nil {
		return nil, err
	}
	b := v.alert.Encode()
	b[len(b)-1] = ','
	return append(b, more[1:]...), nil
}

func view(a doorbell.AlertState) alertView {
	v := alertView{alert: a.Alert, Receipts: a.Receipts}
	switch {
	case a.Open:
		v.State = "open"
	case a.Type.Rings():
		v.State = "closed"
	default: // a 3 or 4 is itself what somebody did
		v.By, v.At = a.Actor, &a.Time
	}
	if a.Closed != nil {
		v.By, v.At, v.ClosedBy = a.Closed.By, &a.Closed.At, a.Closed.Seq
	}
	return v
}

func (h *edge) alerts(c *gin.Context) error {
	shop, err := id("shop", c.Query("shop"))
	if err != nil {
		return err
	}
	if !grantOf(c).Shops.Has(doorbell.ShopID(shop)) {
		return foreignShop()
	}
	q := doorbell.AlertQuery{Shop: doorbell.ShopID(shop)}
	switch state := c.Query("state"); state {
	case "":
	case "open":
		q.OpenOnly = true
	default:
		return doorbell.InvalidField("state", "must be open, or left out", "只能是 open 或省略")
	}
	var typ, before, after, limit int64
	for _, p := range []struct {
		field               string
		to                  *int64
		fallback, low, high int64
	}{
		{"type", &typ, 0, 1, 4},
		{"before", &before, 0, 1, doorbell.MaxID},
		{"after", &after, 0, 0, doorbell.MaxID},
		{"limit", &limit, 50, 1, 500},
	} {
		if *p.to, err = number(c, p.field, p.fallback, p.low, p.high); err != nil {
			return err
		}
	}
	if q.Search = strings.TrimSpace(c.Query("search")); len(q.Search) > 200 {
		return doorbell.InvalidField("search", "must be at most 200 bytes", "最多 200 字节")
	}
	q.Type, q.Before, q.After, q.Limit = doorbell.Type(typ), doorbell.Seq(before), doorbell.Seq(after), int(limit)
	page, err := h.Service.Alerts(c.Request.Context(), q)
	if err != nil {
		return err
	}
	views := make([]alertView, len(page.Alerts))
	for i, a := range page.Alerts {
		views[i] = view(a)
	}
	var next *doorbell.Seq
	if page.Next > 0 {
		next = &page.Next
	}
	c.JSON(http.StatusOK, gin.H{"alerts": views, "cursor": page.Cursor.String(), "next": next})
	return nil
}

// alertInPath is the shop and seq of a path; a foreign shop has no alerts.
func alertInPath(c *gin.Context) (shop doorbell.ShopID, seq doorbell.Seq, err error) {
	n, err := id("shop", c.Param("shop"))
	if err != nil {
		return 0, 0, err
	}
	m, err := id("seq", c.Param("seq"))
	if err != nil {
		return 0, 0, err
	}
	if !grantOf(c).Shops.Has(doorbell.ShopID(n)) {
		return 0, 0, doorbell.Refuse(doorbell.NotFound, "Shop %d has no alert %d.", "门店 %d 没有提醒 %d。", n, m)
	}
	return doorbell.ShopID(n), doorbell.Seq(m), nil
}

func (h *edge) acceptAlert(c *gin.Context) error {
	shop, seq, err := alertInPath(c)
	if err != nil {
		return err
	}
	closing, err := h.Service.AcceptAlert(c.Request.Context(), shop, seq, by(c))
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, gin.H{"alert": closing, "by": closing.Actor, "at": closing.Time.Format(doorbell.TimeLayout)})
	return nil
}

func (h *edge) receipt(c *gin.Context) error {
	shop, seq, err := alertInPath(c)
	if err != nil {
		return err
	}
	var body struct {
		Console string         `json:"console"`
		Stage   doorbell.Stage `json:"stage"`
		Reason  string         `json:"reason"`
	}
	if err := decode(c, &body); err != nil {
		return err
	}
	err = h.Service.Receive(c.Request.Context(), doorbell.Receipt{
		Shop: shop, Seq: seq, Console: body.Console, Stage: body.Stage, Reason: body.Reason, By: grantOf(c).Subject,
	})
	if err != nil {
		return err
	}
	h.Hub.NoteReceipt(body.Console, time.Now().UTC())
	c.Status(http.StatusNoContent)
	return nil
}
