package handlers

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
)

// routes adds the providers' routes.
func (h *callbacks) routes(root *gin.RouterGroup) {
	for _, e := range h.Endpoints {
		own := "/pay/" + e.Provider
		for _, path := range append([]string{own, own + "/:account"}, e.Paths...) {
			root.POST(path, func(c *gin.Context) { h.callback(c, e) })
			if slices.Contains(e.Paths, path) { // another program's route, which takes any method
				root.Match([]string{http.MethodPut, http.MethodPatch}, path, func(c *gin.Context) { h.callback(c, e) })
			}
			root.GET(path, h.answer(func(c *gin.Context) error {
				if h.gateOf(e, c) == nil {
					return doorbell.Refuse(doorbell.NotFound, "There is nothing here.", "没有这个地址。")
				}
				c.Header("Allow", http.MethodPost)
				return doorbell.Refuse(WrongMethod, "%[1]s", "%[2]s", e.English, e.Chinese)
			}))
		}
	}
}

// gateOf returns the provider's gate; nil if the provider, or the account in the
// path, is not configured.
func (h *callbacks) gateOf(e payment.Endpoint, c *gin.Context) *payment.Gate {
	gate := h.Gates[e.Provider]
	if account := c.Param("account"); gate == nil || account != "" && !gate.Has(account) {
		return nil
	}
	return gate
}

// callbackStatus is the status of the answer for a verdict that is not a success.
var callbackStatus = map[doorbell.Verdict]int{
	doorbell.UnknownOrder:  http.StatusNotFound,
	doorbell.AmountDiffers: http.StatusConflict,
	doorbell.OtherOrder:    http.StatusConflict,
	doorbell.SeveralOrders: http.StatusConflict,
	doorbell.OtherAccount:  http.StatusNotFound,
	doorbell.Refused:       http.StatusBadRequest,
}

// callback handles one callback: bounded body, verify, commit, answer.
func (h *callbacks) callback(c *gin.Context, e payment.Endpoint) {
	began, provider := time.Now(), e.Provider
	gate := h.gateOf(e, c)
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
		fail(c, e, statuses[doorbell.CodeOf(err)], reason)
		return
	}
	ctx := c.Request.Context()
	notice, err := gate.VerifyFor(ctx, c.Param("account"), c.Request.Header, body, c.ClientIP())
	if f, ok := errors.AsType[*payment.Forgery](err); ok {
		if h.forgeLog.due() {
			h.log.WarnContext(ctx, "callback rejected", "provider", provider, "reason", f.Reason, "remote", c.ClientIP(), "request_id", requestID(c))
		}
		fail(c, e, http.StatusUnauthorized, f.Reason)
		return
	}
	if err != nil { // no free place to verify it
		fail(c, e, http.StatusServiceUnavailable, "busy")
		return
	}
	if e.Forward != "" {
		notice.Raw = &doorbell.RawCallback{Header: forwarded(c.Request.Header), Body: body}
	}
	// If the provider hangs up, the commit still goes on: a payment must be settled
	// completely.
	verdict, err := h.Payments.TakeNotice(context.WithoutCancel(ctx), notice)
	if err != nil {
		h.log.ErrorContext(ctx, "callback not stored", "provider", provider, "request_id", requestID(c), "error", err)
		h.verdicts.WithLabelValues(provider, notStored).Inc()
		fail(c, e, http.StatusServiceUnavailable, "try again")
		return
	}
	h.took.WithLabelValues(provider).Observe(time.Since(began).Seconds())
	h.verdicts.WithLabelValues(provider, string(verdict)).Inc()
	h.logCallback(c, notice, verdict)
	tellProvider(c, e, notice, verdict)
}

// fail answers a callback that is not accepted, and ends the chain.
func fail(c *gin.Context, e payment.Endpoint, status int, message string) {
	c.Abort()
	e.Failed(c.Writer, status, message)
}

// tellProvider answers the provider by the verdict.
func tellProvider(c *gin.Context, e payment.Endpoint, notice doorbell.Notice, verdict doorbell.Verdict) {
	switch {
	case verdict.Succeeded():
		e.Taken(c.Writer)
	case verdict == doorbell.Refused: // doorbell's own text, which names the wrong field
		fail(c, e, callbackStatus[verdict], notice.Refusal)
	case verdict == doorbell.OtherAccount: // the answer reveals nothing of another account's orders
		fail(c, e, callbackStatus[verdict], string(doorbell.UnknownOrder))
	default:
		fail(c, e, callbackStatus[verdict], string(verdict))
	}
}

// logCallback writes one line for each callback. One with a wrong field may be a
// payment that does not ring, so it is a warning.
func (h *callbacks) logCallback(c *gin.Context, n doorbell.Notice, verdict doorbell.Verdict) {
	fields := []any{
		"provider", n.Provider, "kind", n.Kind, "verdict", verdict, "number", n.Number, "transaction", n.Transaction, "request_id", requestID(c),
	}
	if n.Refusal != "" {
		fields = append(fields, "reason", n.Refusal)
	}
	if n.Unusable {
		h.log.WarnContext(c.Request.Context(), "callback unusable", fields...)
		return
	}
	h.log.InfoContext(c.Request.Context(), "callback", fields...)
}

// hopByHop are the headers of one connection (RFC 9110, 7.6.1), and those that the
// forwarding request sets itself.
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Content-Length", "Accept-Encoding",
}

// forwarded returns the headers that are forwarded with a callback.
func forwarded(h http.Header) http.Header {
	out := h.Clone()
	for _, name := range hopByHop {
		out.Del(name)
	}
	return out
}
