package handlers

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

// Pushes stores push subscriptions.
type Pushes interface {
	SavePush(ctx context.Context, p doorbell.Push) error
	DropPush(ctx context.Context, endpoint string) error
}

// subscribe stores the page's result of pushManager.subscribe. Only a session can
// subscribe, because a subscription ends with it.
func (h *api) subscribe(c *gin.Context) error {
	var body struct {
		Endpoint string `json:"endpoint"`
		Keys     struct {
			Key  string `json:"p256dh"`
			Auth string `json:"auth"`
		} `json:"keys"`
		Shop     doorbell.ShopID `json:"shopId"`
		Language string          `json:"language"`
	}
	if err := decode(c, &body); err != nil {
		return err
	}
	g := grantOf(c)
	if g.Session == "" {
		return doorbell.Refuse(doorbell.Conflict, "Pushes belong to a session: sign in by /login.", "推送仅限已登录的页面。")
	}
	if body.Shop < 1 || body.Shop > doorbell.MaxID { // a token of all shops has these, too, and nothing would ever be pushed
		return doorbell.InvalidField("shopId", "must be from 1 to 9007199254740991", "必须是 1 到 9007199254740991 的整数")
	}
	if !h.PushAllowed(body.Endpoint) {
		return doorbell.InvalidField("endpoint", "is not of a push service that is known here", "不是已知的推送服务地址")
	}
	subscription := doorbell.Push{Endpoint: body.Endpoint, Login: g.Session, Shop: body.Shop, Key: body.Keys.Key, Auth: body.Keys.Auth}
	if err := subscription.Check(); err != nil {
		return err
	}
	if body.Language != "zh" {
		body.Language = "en"
	}
	if !g.Shops.Has(body.Shop) {
		return foreignShop()
	}
	subscription.Language = body.Language
	err := h.Pushes.SavePush(c.Request.Context(), subscription)
	if err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// unsubscribe deletes an endpoint; only its owner knows the endpoint's secret
// address.
func (h *api) unsubscribe(c *gin.Context) error {
	var body struct {
		Endpoint string `json:"endpoint"`
	}
	if err := decode(c, &body); err != nil {
		return err
	}
	if err := h.Pushes.DropPush(c.Request.Context(), body.Endpoint); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
