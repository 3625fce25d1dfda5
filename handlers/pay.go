package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
)

// callbacks has the providers' routes.
func (h *edge) callbacks(root *gin.RouterGroup) {
	for _, path := range []string{"/pay/wechat", "/notify/paySuccess"} {
		root.POST(path, h.weChat)
		root.GET(path, h.answer(func(c *gin.Context) error {
			if h.WeChat == nil {
				return doorbell.Refuse(doorbell.NotFound, "There is nothing here.", "没有这个地址。")
			}
			c.Header("Allow", http.MethodPost)
			return doorbell.Refuse(WrongMethod, "WeChat Pay posts its payment notices here; set this address as notify_url.",
				"微信支付会向此地址 POST 支付通知；请将其设为 notify_url。")
		}))
	}
}

// callbackStatus is what a provider is told of a verdict that is no success.
var callbackStatus = map[doorbell.Verdict]int{
	doorbell.UnknownOrder:  http.StatusNotFound,
	doorbell.AmountDiffers: http.StatusConflict,
	doorbell.OtherOrder:    http.StatusConflict,
	doorbell.Refused:       http.StatusBadRequest,
}

// weChat takes a callback: bounded body, verify, commit, answer. What is told
// in a failure is for the provider's log and holds nothing of the body.
func (h *edge) weChat(c *gin.Context) {
	if h.WeChat == nil {
		h.refuse(c, doorbell.Refuse(doorbell.NotFound, "There is nothing here.", "没有这个地址。"))
		return
	}
	body, err := readBody(c, payment.MaxBody)
	if err != nil {
		reason := "body_incomplete"
		if doorbell.CodeOf(err) == TooLarge {
			reason = "body_too_large"
		}
		h.WeChat.Note(reason, c.ClientIP())
		h.failWeChat(c, statuses[doorbell.CodeOf(err)], reason)
		return
	}
	ctx := c.Request.Context()
	notice, err := h.WeChat.Verify(ctx, c.Request.Header, body, c.ClientIP())
	if f, ok := errors.AsType[*payment.Forgery](err); ok {
		if h.forgeLog.due() {
			h.log.WarnContext(ctx, "callback rejected", "provider", "wechat", "reason", f.Reason, "remote", c.ClientIP(), "request_id", requestID(c))
		}
		h.failWeChat(c, http.StatusUnauthorized, f.Reason)
		return
	}
	if err != nil { // no place to verify it
		h.failWeChat(c, http.StatusServiceUnavailable, "busy")
		return
	}
	// The provider hanging up must not leave a payment half told: the commit
	// goes on without it.
	verdict, err := h.Service.TakeNotice(context.WithoutCancel(ctx), notice)
	if err != nil {
		h.log.ErrorContext(ctx, "callback not kept", "provider", "wechat", "request_id", requestID(c), "error", err)
		h.metrics.callback("wechat", "failed")
		h.failWeChat(c, http.StatusServiceUnavailable, "try again")
		return
	}
	h.metrics.callback("wechat", string(verdict))
	h.log.InfoContext(ctx, "callback", "provider", notice.Provider, "kind", notice.Kind, "verdict", verdict,
		"number", notice.Number, "transaction", notice.Transaction, "request_id", requestID(c))
	if !verdict.Succeeded() {
		h.failWeChat(c, callbackStatus[verdict], string(verdict))
		return
	}
	c.Status(http.StatusNoContent)
}

func (h *edge) failWeChat(c *gin.Context, status int, message string) {
	c.AbortWithStatusJSON(status, gin.H{"code": "FAIL", "message": message})
}
