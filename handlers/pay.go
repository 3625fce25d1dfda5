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
	// taken and failed answer a callback; the latter by a text that stands in
	// the provider's log and holds nothing of the body.
	taken  func(c *gin.Context)
	failed func(c *gin.Context, status int, message string)
}

// Most look at the status alone; WeChat Pay wants its two fields in a failure.
func noContent(c *gin.Context) { c.Status(http.StatusNoContent) }

func failJSON(c *gin.Context, status int, message string) {
	c.AbortWithStatusJSON(status, gin.H{"code": "FAIL", "message": message})
}

// Alipay looks at the body alone: these seven bytes are success.
func sayAlipay(c *gin.Context) { c.String(http.StatusOK, "success") }

func failText(c *gin.Context, status int, message string) {
	c.Abort()
	c.String(status, "fail: "+message)
}

var doors = []door{
	{
		"wechat",
		[]string{"/pay/wechat", "/notify/paySuccess"},
		"WeChat Pay posts its payment notices here; set this address as notify_url.",
		"微信支付会向此地址 POST 支付通知；请将其设为 notify_url。",
		noContent, failJSON,
	},
	{
		"alipay",
		[]string{"/pay/alipay"},
		"Alipay posts its asynchronous notices here; set this address as notify_url.",
		"支付宝会向此地址 POST 异步通知；请将其设为 notify_url。",
		sayAlipay, failText,
	},
	{
		"stripe",
		[]string{"/pay/stripe"},
		"Stripe posts its events here; add this address as a webhook endpoint.",
		"Stripe 会向此地址 POST 事件；请将其添加为 webhook 端点。",
		noContent, failJSON,
	},
	{
		"webhook",
		[]string{"/pay/webhook"},
		"Callbacks signed after Standard Webhooks are posted here.",
		"按 Standard Webhooks 签名的回调请 POST 到此地址。",
		noContent, failJSON,
	},
}

// callbacks has the providers' routes.
func (h *edge) callbacks(root *gin.RouterGroup) {
	for _, d := range doors {
		for _, path := range d.paths {
			root.POST(path, func(c *gin.Context) { h.callback(c, d) })
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

// callback takes one: bounded body, verify, commit, answer.
func (h *edge) callback(c *gin.Context, d door) {
	provider := d.provider
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
		d.failed(c, statuses[doorbell.CodeOf(err)], reason)
		return
	}
	ctx := c.Request.Context()
	notice, err := gate.Verify(ctx, c.Request.Header, body, c.ClientIP())
	if f, ok := errors.AsType[*payment.Forgery](err); ok {
		if h.forgeLog.due() {
			h.log.WarnContext(ctx, "callback rejected", "provider", provider, "reason", f.Reason, "remote", c.ClientIP(), "request_id", requestID(c))
		}
		d.failed(c, http.StatusUnauthorized, f.Reason)
		return
	}
	if err != nil { // no place to verify it
		d.failed(c, http.StatusServiceUnavailable, "busy")
		return
	}
	if h.Forward[provider] {
		notice.Raw = &doorbell.RawCallback{Header: forwarded(c.Request.Header), Body: body}
	}
	// The provider hanging up must not leave a payment half told: the commit
	// goes on without it.
	verdict, err := h.Service.TakeNotice(context.WithoutCancel(ctx), notice)
	if err != nil {
		h.log.ErrorContext(ctx, "callback not kept", "provider", provider, "request_id", requestID(c), "error", err)
		h.metrics.callback(provider, "failed")
		d.failed(c, http.StatusServiceUnavailable, "try again")
		return
	}
	h.metrics.callback(provider, string(verdict))
	h.log.InfoContext(ctx, "callback", "provider", notice.Provider, "kind", notice.Kind, "verdict", verdict,
		"number", notice.Number, "transaction", notice.Transaction, "request_id", requestID(c))
	if !verdict.Succeeded() {
		d.failed(c, callbackStatus[verdict], string(verdict))
		return
	}
	d.taken(c)
}

// hopByHop are the headers of one connection (RFC 9110, 7.6.1), and what our
// own request sets anew.
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Content-Length", "Accept-Encoding",
}

// forwarded are the headers that are passed on with a callback.
func forwarded(h http.Header) http.Header {
	out := h.Clone()
	for _, name := range hopByHop {
		out.Del(name)
	}
	return out
}
