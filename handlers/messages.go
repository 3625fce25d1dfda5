package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
)

const (
	// inboxReader ticks off what their page's 通知中心 says was read: one list for the
	// shop, as there.
	inboxReader = "sky-inbox"
	// maxTicked bounds the ids of one call, and maxMessagePage a page.
	maxTicked      = 500
	maxMessagePage = 100
	// urgentAfter is when an order that nobody accepted is called urgent.
	urgentAfter = 5 * time.Minute
)

// The types of their messages.
const (
	messageNew     = 1
	messageUrgent  = 2
	messageDeliver = 3 // accepted, and not on its way yet
	messageHurried = 4
	messageToday   = 5 // the day's figures
)

// firstOfToday is what the id of a day's figures begins at: no alert's seq comes near.
const firstOfToday = doorbell.Seq(1) << 52

// message is one of theirs.
type message struct {
	ID         doorbell.Seq `json:"id"`
	Type       int          `json:"type"`
	Content    string       `json:"content"`
	Details    string       `json:"details"` // JSON, which their page evaluates
	Status     int          `json:"status"`
	CreateTime string       `json:"createTime"`
}

// messageRoutes are those that the TypeScript source of their page calls and that no
// backend of theirs serves; their nginx makes /api/messages of /admin/messages.
func (h *api) messageRoutes(root *gin.RouterGroup) {
	root.GET("/admin/messages/page", h.asEmployee(h.messagePage))
	root.GET("/admin/messages/countUnread", h.asEmployee(h.countUnread))
	root.PUT("/admin/messages/batch", h.asEmployee(h.tickMany))
	root.PUT("/admin/messages/:id", h.asEmployee(h.tickOne))
}

// asEmployee answers in their envelope: 200 with code 1, or code 0 and why; without
// an employee's token 401 with nothing in it.
func (h *api) asEmployee(call func(*gin.Context) (any, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		g, ok := h.skyGrant(c)
		if !ok {
			c.AbortWithStatus(http.StatusUnauthorized)
			return
		}
		c.Set(grantKey, g)
		data, err := call(c)
		if err == nil {
			c.JSON(http.StatusOK, skyAnswer{Code: 1, Data: data})
			return
		}
		msg := "系统繁忙，请稍后再试"
		if e := asError(err); e.Code == doorbell.Invalid {
			msg = e.Chinese
		} else {
			h.log.ErrorContext(c.Request.Context(), "messages not served", "request_id", requestID(c), "error", err)
		}
		c.JSON(http.StatusOK, skyAnswer{Msg: &msg})
	}
}

// fromOne is a number of the query from 1 to most, or the one that is meant without it.
func fromOne(c *gin.Context, name string, without, most int) (int, error) {
	text := c.Query(name)
	if text == "" {
		return without, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, doorbell.InvalidField(name, "must be a number from 1", "必须是正整数")
	}
	return min(n, most), nil
}

func (h *api) messagePage(c *gin.Context) (any, error) {
	number, err := fromOne(c, "pageNum", 1, 1<<20)
	if err != nil {
		return nil, err
	}
	size, err := fromOne(c, "pageSize", 10, maxMessagePage)
	if err != nil {
		return nil, err
	}
	q := doorbell.MessageQuery{Shop: auth.SkyShop, Reader: inboxReader, Offset: (number - 1) * size, Limit: size}
	records := []message{}
	switch c.Query("status") {
	case "1":
	case "", "2":
		q.Read = c.Query("status") == "2"
		q.All = !q.Read
		today, err := h.today(c.Request.Context())
		if err != nil {
			return nil, err
		}
		if number == 1 {
			records = append(records, today)
			q.Limit--
		} else {
			q.Offset--
		}
	default:
		return nil, doorbell.InvalidField("status", "must be 1 (unread) or 2 (read)", "必须是 1（未读）或 2（已读）")
	}
	list, total, err := h.Alerts.Messages(c.Request.Context(), q)
	if err != nil {
		return nil, err
	}
	if q.All || q.Read {
		total++
	}
	customers := h.waiting(c.Request.Context(), list)
	for _, m := range list {
		r := h.message(m, customers[m.OrderID])
		if h.toDeliver(c.Request.Context(), m) {
			r.Type, r.Content = messageDeliver, fmt.Sprintf("订单已接单： %s 请及时派送。", numberOf(m))
		}
		records = append(records, r)
	}
	return gin.H{"total": total, "records": records}, nil
}

// today is the message of the day's figures so far: it stands before all others, and
// counts as read, because it is never the same for long.
func (h *api) today(ctx context.Context) (message, error) {
	d, err := h.Ledgers.Day(ctx, auth.SkyShop, "")
	if err != nil {
		return message{}, err
	}
	var turnover, cancelled int64
	for _, e := range d.Entries {
		switch {
		case !e.Paid:
		case e.End() == doorbell.WasCancelled:
			cancelled += e.Amount
		default:
			turnover += e.Amount
		}
	}
	sum := d.Sum()
	rate := 0.0
	if sum.Paid > 0 {
		rate = float64(sum.Accepted) / float64(sum.Paid)
	}
	return message{
		ID: firstOfToday + doorbell.Seq(d.Begins.Unix()/86400), Type: messageToday, Content: "今日数据", Status: 2, CreateTime: time.Now().In(h.zone()).Format(time.DateTime),
		Details: evaluable(map[string]string{
			"turnover": yuan(turnover), "validOrderCount": strconv.Itoa(sum.Accepted), "orderCompletionRate": strconv.FormatFloat(rate, 'f', 2, 64),
			"newUsers":        "—", // their customers are not known here
			"cancelledOrders": strconv.Itoa(sum.Cancelled), "cancelledAmount": yuan(cancelled),
		}),
	}, nil
}

// yuan writes fen as yuan.
func yuan(fen int64) string { return fmt.Sprintf("%d.%02d", fen/100, fen%100) }

// toDeliver reports whether a message's order was accepted and is not on its way yet.
// What can't be read stays a new order: the message counts.
func (h *api) toDeliver(ctx context.Context, m doorbell.Message) bool {
	if m.Type != doorbell.NewOrder || m.Source != doorbell.FromOrder || m.Open {
		return false
	}
	o, err := h.Orders.Order(ctx, m.OrderID)
	return err == nil && o.Shop == m.Shop && o.Status == doorbell.Accepted
}

// numberOf is an order's number as people know it.
func numberOf(m doorbell.Message) string {
	if m.Number == "" {
		return strconv.FormatInt(int64(m.OrderID), 10)
	}
	return m.Number
}

// zone is that of their backend.
func (h *api) zone() *time.Location {
	if h.Sky.Zone == nil {
		return time.UTC
	}
	return h.Sky.Zone
}

// waiting are the customers of the reminders among messages. Where they are not
// known their fields stay empty: the message counts.
func (h *api) waiting(ctx context.Context, list []doorbell.Message) map[doorbell.OrderID]doorbell.Customer {
	var orders []doorbell.OrderID
	for _, m := range list {
		if m.Type == doorbell.Reminder {
			orders = append(orders, m.OrderID)
		}
	}
	if h.Sky.Customers == nil || len(orders) == 0 {
		return nil
	}
	known, err := h.Sky.Customers(ctx, orders)
	if err != nil {
		h.log.WarnContext(ctx, "the customers of reminders can't be read", "error", err)
	}
	return known
}

// message is an alert in their shape. Their page parts content at its spaces: three
// parts for an order, whose second is a link, one for a reminder.
func (h *api) message(m doorbell.Message, of doorbell.Customer) message {
	out := message{ID: m.Seq, Status: 1, Details: "{}", CreateTime: m.Time.In(h.zone()).Format(time.DateTime)}
	if m.Read {
		out.Status = 2
	}
	number := numberOf(m)
	waits := time.Since(m.Time)
	switch {
	case m.Type == doorbell.Reminder:
		if of.Ordered == "" {
			of.Ordered = out.CreateTime
		}
		out.Type, out.Content = messageHurried, "客户催单，订单号："+number
		out.Details = evaluable(map[string]string{
			"orderTime": of.Ordered, "estimatedDeliveryTime": of.EstimatedDelivery, "consignee": of.Consignee,
			"phone": of.Phone, "address": of.Address, "orderDishes": strings.Join(m.Detail.Lines, "、"),
		})
	case m.Open && waits > urgentAfter:
		out.Type, out.Content = messageUrgent, fmt.Sprintf("订单已等待%d分钟： %s 请尽快接单。", int(waits.Minutes()), number)
	default:
		out.Type, out.Content = messageNew, fmt.Sprintf("您有新的订单： %s 请及时接单。", number)
	}
	return out
}

// evaluable is JSON that is a harmless expression of JavaScript too.
func evaluable(fields map[string]string) string {
	text, err := json.Marshal(fields) // which escapes < > & and U+2028
	if err != nil {                   // texts always encode
		panic(err)
	}
	return string(text)
}

func (h *api) countUnread(c *gin.Context) (any, error) {
	_, total, err := h.Alerts.Messages(c.Request.Context(), doorbell.MessageQuery{Shop: auth.SkyShop, Reader: inboxReader})
	return total, err
}

func (h *api) tickOne(c *gin.Context) (any, error) {
	seq, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil || seq < 1 {
		return nil, doorbell.InvalidField("id", "must be a message's", "必须是消息 id")
	}
	return nil, h.tick(c, []doorbell.Seq{doorbell.Seq(seq)})
}

func (h *api) tickMany(c *gin.Context) (any, error) {
	body, err := readBody(c, 16<<10)
	if err != nil {
		return nil, err
	}
	var given []json.Number
	if err := json.Unmarshal(body, &given); err != nil || len(given) > maxTicked {
		return nil, doorbell.InvalidField("body", "must be a list of at most 500 ids", "必须是最多 500 个 id 的数组")
	}
	var seqs []doorbell.Seq
	for _, one := range given {
		seq, err := one.Int64()
		if err != nil || seq < 1 {
			return nil, doorbell.InvalidField("body", "must be a list of ids", "必须是 id 数组")
		}
		seqs = append(seqs, doorbell.Seq(seq))
	}
	return nil, h.tick(c, seqs)
}

// tick notes that messages were read, which somebody who clicked has seen.
func (h *api) tick(c *gin.Context, seqs []doorbell.Seq) error {
	for _, seq := range seqs {
		err := h.Alerts.Receive(c.Request.Context(), doorbell.Receipt{
			Shop: auth.SkyShop, Seq: seq, Console: inboxReader, Stage: doorbell.Shown, Reason: "read", By: by(c),
		})
		if err != nil && doorbell.CodeOf(err) != doorbell.NotFound {
			return err
		}
	}
	return nil
}
