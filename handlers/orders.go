package handlers

import (
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

// newOrder is the body of POST /api/v1/orders.
type newOrder struct {
	ID       *int64 `json:"id"`
	Number   string `json:"number"`
	Shop     int64  `json:"shopId"`
	User     int64  `json:"userId"`
	Amount   *int64 `json:"amount"`
	Currency string `json:"currency"`
	doorbell.Detail
}

func (h *api) createOrder(c *gin.Context) error {
	var body newOrder
	if err := decode(c, &body); err != nil {
		return err
	}
	if body.Amount == nil {
		return doorbell.InvalidField("amount", "is missing", "缺失")
	}
	order := doorbell.Order{
		Number: body.Number, Shop: doorbell.ShopID(body.Shop), User: body.User,
		Money:  doorbell.Money{Minor: *body.Amount, Currency: body.Currency},
		Detail: body.Detail,
	}
	if body.ID != nil {
		if *body.ID < 1 {
			return doorbell.InvalidField("id", "must be from 1 to 9007199254740991", "必须是 1 到 9007199254740991 的整数")
		}
		order.ID = doorbell.OrderID(*body.ID)
	}
	if order.Shop > 0 && !grantOf(c).Shops.Has(order.Shop) {
		return foreignShop()
	}
	order, created, err := h.Orders.CreateOrder(c.Request.Context(), order)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	c.JSON(status, order)
	return nil
}

// orderFor returns the order in the path if the caller may see it: a foreign order
// is NotFound, like a missing one.
func (h *api) orderFor(c *gin.Context) (doorbell.Order, error) {
	n, err := id("id", c.Param("id"))
	if err != nil {
		return doorbell.Order{}, err
	}
	order, err := h.Orders.Order(c.Request.Context(), doorbell.OrderID(n))
	if err != nil {
		return doorbell.Order{}, err
	}
	g := grantOf(c)
	visible := g.Shops.Has(order.Shop)
	if g.Role == doorbell.RoleCustomer {
		visible = g.Subject == strconv.FormatInt(order.User, 10)
	}
	if !visible {
		return doorbell.Order{}, doorbell.Refuse(doorbell.NotFound, "There is no order %v.", "订单 %v 不存在。", n)
	}
	return order, nil
}

func (h *api) getOrder(c *gin.Context) error {
	order, err := h.orderFor(c)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, order)
	return nil
}

func (h *api) remind(c *gin.Context) error {
	order, err := h.orderFor(c)
	if err != nil {
		return err
	}
	if err := h.mayRemind(c, order.Shop); err != nil {
		return err
	}
	alert, err := h.Orders.Remind(c.Request.Context(), order.ID, by(c))
	if err != nil {
		return err
	}
	c.JSON(http.StatusAccepted, alert)
	return nil
}

func (h *api) acceptOrder(c *gin.Context) error {
	order, err := h.orderFor(c)
	if err != nil {
		return err
	}
	accept := h.Orders.AcceptOrder
	if grantOf(c).Role == doorbell.RoleConsole {
		accept = h.Orders.AcceptOrderByHand
	}
	if order, err = accept(c.Request.Context(), order.ID, by(c)); err != nil {
		return err
	}
	c.JSON(http.StatusOK, order)
	return nil
}

func (h *api) cancelOrder(c *gin.Context) error {
	order, err := h.orderFor(c)
	if err != nil {
		return err
	}
	if order, err = h.Orders.CancelOrder(c.Request.Context(), order.ID, by(c)); err != nil {
		return err
	}
	c.JSON(http.StatusOK, order)
	return nil
}

// by returns who acted, as the log stores it.
func by(c *gin.Context) string {
	g := grantOf(c)
	return string(g.Role) + ":" + g.Subject
}

// skyAnswer is sky-take-out's envelope.
type skyAnswer struct {
	Code int     `json:"code"`
	Msg  *string `json:"msg"`
	Data any     `json:"data"`
}

// skyReminder handles sky-take-out's reminder: always 200 in its envelope, except
// for a bad token, which is an empty 401. A reminder that comes too soon is a
// success without a ring, because code 0 shows the customer nothing.
func (h *api) skyReminder(c *gin.Context) {
	g, err := h.skyCustomer(c.Request)
	if err != nil {
		c.AbortWithStatus(http.StatusUnauthorized)
		return
	}
	c.Set(grantKey, g)
	if isHead(c.Request) { // a link checker's, which must not ring
		c.JSON(http.StatusOK, skyAnswer{Code: 1})
		return
	}
	order, err := h.orderFor(c)
	if err == nil {
		err = h.mayRemind(c, order.Shop)
	}
	if err == nil {
		_, err = h.Orders.Remind(c.Request.Context(), order.ID, by(c))
	}
	msg := ""
	switch doorbell.CodeOf(err) {
	case "", doorbell.TooSoon:
		c.JSON(http.StatusOK, skyAnswer{Code: 1})
		return
	case doorbell.NotFound, doorbell.Invalid:
		msg = "订单不存在"
	case doorbell.Conflict:
		msg = "订单状态错误"
	case TooMany: // not as too soon, which the kitchen was rung for within the minute
		msg = "催单过于频繁，请稍后再试"
	default:
		h.log.ErrorContext(c.Request.Context(), "reminder failed", "request_id", requestID(c), "error", err)
		msg = "系统繁忙，请稍后再试"
	}
	c.JSON(http.StatusOK, skyAnswer{Msg: &msg})
}
