package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
)

// door is where one provider's callbacks come in.
type door struct {
	provider string
	paths    []string
	// says is for whoever opens the address in a browser.
	english, chinese string
}

var doors = []door{
	{
		"wechat",
		[]string{"/pay/wechat", "/notify/paySuccess"},
		"WeChat Pay posts its payment notices here; set this address as notify_url.",
		"微信支付会向此地址 POST 支付通知；请将其设为 notify_url。",
	},
	{
		"stripe",
		[]string{"/pay/stripe"},
		"Stripe posts its events here; add this address as a webhook endpoint.",
		"Stripe 会向此地址 POST 事件；请将其添加为 webhook 端点。",
	},
	{
		"webhook",
		[]string{"/pay/webhook"},
		"Callbacks signed after Standard Webhooks are posted here.",
		"按 Standard Webhooks 签名的回调请 POST 到此地址。",
	},
}

// callbacks has the providers' routes.
func (h *edge) callbacks(root *gin.RouterGroup) {
	for _, d := range doors {
		for _, path := range d.paths {
			root.POST(path, func(c *gin.Context) { h.callback(c, d.provider) })
			root.GET(path, h.answer(func(c *gin.Context) error {
				if h.Gates[d.provider] == nil {
					return doorbell.Refuse(doorbell.NotFound, "There is nothing here.", "没有这个地址。")
				}
				c.Header("Allow", http.MethodPost)
				return doorbell.Refuse(WrongMethod, "%[1]s", "%[2]s", d.english, d.chinese)
			}))
		}
	}
}

// callbackStatus is what a provider is told of a verdict that is no success.
var callbackStatus = map[doorbell.Verdict]int{
	doorbell.UnknownOrder:  http.StatusNotFound,
	doorbell.AmountDiffers: http.StatusConflict,
	doorbell.OtherOrder:    http.StatusConflict,
	doorbell.Refused:       http.StatusBadRequest,
}

// callback takes one: bounded body, verify, commit, answer. What is told in a
// failure is for the provider's log and holds nothing of the body.
func (h *edge) callback(c *gin.Context, provider string) {
	gate := h.Gates[provider]
	if gate == nil {
		h.refuse(c, doorbell.Refuse(doorbell.NotFound, "There is nothing here.", "没有这个地址。"))
		return
	}
	body, err := readBody(c, payment.MaxBody)
	if err != nil {
		reason := "body_incomplete"
		if doorbell.CodeOf(err) == TooLarge {
			reason = "body_too_large"
		}
		gate.Note(reason, c.ClientIP())
		failCallback(c, statuses[doorbell.CodeOf(err)], reason)
		return
	}
	ctx := c.Request.Context()
	notice, err := gate.Verify(ctx, c.Request.Header, body, c.ClientIP())
	if f, ok := errors.AsType[*payment.Forgery](err); ok {
		if h.forgeLog.due() {
			h.log.WarnContext(ctx, "callback rejected", "provider", provider, "reason", f.Reason, "remote", c.ClientIP(), "request_id", requestID(c))
		}
		failCallback(c, http.StatusUnauthorized, f.Reason)
		return
	}
	if err != nil { // no place to verify it
		failCallback(c, http.StatusServiceUnavailable, "busy")
		return
	}
	// The provider hanging up must not leave a payment half told: the commit
	// goes on without it.
	verdict, err := h.Service.TakeNotice(context.WithoutCancel(ctx), notice)
	if err != nil {
		h.log.ErrorContext(ctx, "callback not kept", "provider", provider, "request_id", requestID(c), "error", err)
		h.metrics.callback(provider, "failed")
		failCallback(c, http.StatusServiceUnavailable, "try again")
		return
	}
	h.metrics.callback(provider, string(verdict))
	h.log.InfoContext(ctx, "callback", "provider", notice.Provider, "kind", notice.Kind, "verdict", verdict,
		"number", notice.Number, "transaction", notice.Transaction, "request_id", requestID(c))
	if !verdict.Succeeded() {
		failCallback(c, callbackStatus[verdict], string(verdict))
		return
	}
	c.Status(http.StatusNoContent) // all of these take any 2xx
}

// failCallback answers as WeChat Pay wants it; the others look at the status.
func failCallback(c *gin.Context, status int, message string) {
	c.AbortWithStatusJSON(status, gin.H{"code": "FAIL", "message": message})
}
