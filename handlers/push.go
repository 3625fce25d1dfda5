package handlers

import (
	"context"
	"encoding/base64"
	"net/http"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

// Pushes keep where browsers want alerts pushed to.
type Pushes interface {
	SavePush(ctx context.Context, p doorbell.Push) error
	DropPush(ctx context.Context, endpoint string) error
}

// subscribe takes what pushManager.subscribe gave the page. Only a session can:
// what is pushed ends with it.
func (h *edge) subscribe(c *gin.Context) error {
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
	if !h.PushAllowed(body.Endpoint) {
		return doorbell.InvalidField("endpoint", "is not of a push service that is known here", "不是已知的推送服务地址")
	}
	key, err1 := base64.RawURLEncoding.DecodeString(body.Keys.Key)
	secret, err2 := base64.RawURLEncoding.DecodeString(body.Keys.Auth)
	if err1 != nil || err2 != nil || len(key) != 65 || len(secret) != 16 { // RFC 8291: an uncompressed P-256 point, 16 bytes
		return doorbell.InvalidField("keys", "must be p256dh of 65 and auth of 16 bytes, base64url", "p256dh 须为 65 字节，auth 须为 16 字节")
	}
	if body.Language != "zh" {
		body.Language = "en"
	}
	if !g.Shops.Has(body.Shop) {
		return foreignShop()
	}
	err := h.Pushes.SavePush(c.Request.Context(), doorbell.Push{
		Endpoint: body.Endpoint, Login: g.Session, Shop: body.Shop, Key: body.Keys.Key, Auth: body.Keys.Auth, Language: body.Language,
	})
	if err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// unsubscribe forgets an endpoint, which is a secret of whoever names it.
func (h *edge) unsubscribe(c *gin.Context) error {
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
