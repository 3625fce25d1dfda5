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

func (h *api) raise(c *gin.Context) error {
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
	alert, created, err := h.Alerts.RaiseAlert(c.Request.Context(), body,
		doorbell.Key{Subject: g.Subject, Shop: body.Shop, Value: key})
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	c.Data(status, jsonType, alert.Encode()) // MarshalJSON's result needs no second check
	return nil
}

// jsonType is the content type as Gin writes it.
const jsonType = "application/json; charset=utf-8"

// alertView is an alert with its state.
type alertView struct {
	alert    doorbell.Alert
	State    string             `json:"state"` // "open", "closed", or "" for an alert that never rings
	By       string             `json:"by,omitempty"`
	At       *time.Time         `json:"at,omitempty"`
	ClosedBy doorbell.Seq       `json:"closedBy,omitempty"` // the seq of the alert that closed it
	Reached  []doorbell.Reached `json:"reached"`
	Receipts []doorbell.Receipt `json:"receipts"`
	Detail   doorbell.Detail    `json:"detail,omitzero"`
	// The refunded amount of its order's payment; both are omitted if nothing was
	// refunded.
	Refunded int64  `json:"refundedAmount,omitempty"`
	Currency string `json:"currency,omitempty"`
	// Of one alert alone: who was told that nobody took care of it.
	Told []toldView `json:"told,omitempty"`
}

// toldView is one step of the ladder.
type toldView struct {
	To    string    `json:"to"`
	Rung  int       `json:"rung"`  // from 1
	Round int       `json:"round"` // from 1
	At    time.Time `json:"at"`
	State string    `json:"state"` // waiting, delivered, given_up, withdrawn
	Done  time.Time `json:"doneAt,omitzero"`
	Error string    `json:"error,omitempty"`
}

func toldViews(told []doorbell.Escalation) []toldView {
	out := make([]toldView, len(told))
	for i, e := range told {
		out[i] = toldView{To: e.To, Rung: e.Rung + 1, Round: e.Round + 1, At: e.At, State: e.State.String(), Done: e.DoneAt, Error: e.Error}
	}
	return out
}

// MarshalJSON returns the alert as on the streams, with further fields.
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
	v := alertView{alert: a.Alert, Reached: a.Reached(time.Now()), Receipts: a.Receipts, Detail: a.Detail}
	if a.Refunded.Minor > 0 {
		v.Refunded, v.Currency = a.Refunded.Minor, a.Refunded.Currency
	}
	switch {
	case a.Open:
		v.State = "open"
	case a.Type.Rings():
		v.State = "closed"
	default: // a 3 or 4 is itself an action, not an open alert
		v.By, v.At = a.Actor, &a.Time
	}
	if a.Closed != nil {
		v.By, v.At, v.ClosedBy = a.Closed.By, &a.Closed.At, a.Closed.Seq
	}
	return v
}

func (h *api) alerts(c *gin.Context) error {
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
	may := h.mayRead
	if q.Search != "" || q.Type != 0 && !q.OpenOnly { // open alerts have an index of their own
		may = h.maySearch
	}
	if err := may(c, q.Shop); err != nil {
		return err
	}
	page, err := h.Alerts.Alerts(c.Request.Context(), q)
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

// alertInPath returns the shop and seq of a path; a foreign shop counts as one
// without alerts.
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

// alert tells of one alert how far it came: each state with who and when, and who was
// told that nobody took care of it.
func (h *api) alert(c *gin.Context) error {
	shop, seq, err := alertInPath(c)
	if err != nil {
		return err
	}
	if err := h.mayRead(c, shop); err != nil {
		return err
	}
	a, told, err := h.Alerts.Alert(c.Request.Context(), shop, seq)
	if err != nil {
		return err
	}
	v := view(a)
	v.Told = toldViews(told)
	c.JSON(http.StatusOK, v)
	return nil
}

func (h *api) acceptAlert(c *gin.Context) error {
	shop, seq, err := alertInPath(c)
	if err != nil {
		return err
	}
	closing, err := h.Alerts.AcceptAlert(c.Request.Context(), shop, seq, by(c))
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, gin.H{"alert": closing, "by": closing.Actor, "at": closing.Time.Format(doorbell.TimeLayout)})
	return nil
}

func (h *api) receipt(c *gin.Context) error {
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
	// Otherwise one device could report that another one has sounded, and nobody
	// would learn that the kitchen is silent. Receive refuses an invalid id.
	if body.Console != "" && len(body.Console) <= 64 {
		own, err := h.Consoles.SendsAny(c.Request.Context(), body.Console, grantOf(c), shop)
		if err != nil {
			return nodesSilent(err)
		}
		if !own {
			return doorbell.Refuse(doorbell.Forbidden, "Console %[1]q is none of yours that follows shop %[2]d; the stream's hello names yours.",
				"控制台 %[1]q 不属于您，或未订阅门店 %[2]d；您的控制台 id 见连接后的 hello 事件。", body.Console, shop)
		}
	}
	err = h.Alerts.Receive(c.Request.Context(), doorbell.Receipt{
		Shop: shop, Seq: seq, Console: body.Console, Stage: body.Stage, Reason: body.Reason, By: grantOf(c).Subject,
	})
	if err != nil {
		return err
	}
	h.Consoles.NoteReceiptOfAny(c.Request.Context(), body.Console, body.Stage, time.Now().UTC())
	c.Status(http.StatusNoContent)
	return nil
}
