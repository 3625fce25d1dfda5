package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

// Desk is what an admin looks into and sends again, besides Web and Guard.
type Desk struct {
	// Received returns the latest lines of the inbox.
	Received func(ctx context.Context, limit int) ([]doorbell.Callback, error)
	// Replay judges a line of the inbox again.
	Replay func(ctx context.Context, n doorbell.Notice) (doorbell.Verdict, error)
	// Unsent returns the latest messages to other systems that wait or were given up.
	Unsent func(ctx context.Context, limit int) ([]doorbell.Outgoing, error)
	// SendAgain queues a message again, and returns how many there are of this id.
	SendAgain func(ctx context.Context, id int64) (int64, error)
}

// desk handles them.
type desk struct {
	*guard
	Desk
}

func (h *desk) routes(v1 *gin.RouterGroup) {
	v1.GET("/inbox", h.allow(), h.answer(h.inbox))
	v1.POST("/inbox/replay", h.allow(), h.answer(h.replayCallback))
	v1.GET("/outbox", h.allow(), h.answer(h.outbox))
	v1.POST("/outbox/:id/replay", h.allow(), h.answer(h.sendAgain))
}

// callbackView is a payment callback that passed verification.
type callbackView struct {
	Provider    string              `json:"provider"`
	Account     string              `json:"account,omitempty"`
	Kind        doorbell.NoticeKind `json:"kind"`
	Transaction string              `json:"transactionId"`
	Number      string              `json:"number"`
	Amount      int64               `json:"amount"` // in the currency's minor unit
	Currency    string              `json:"currency"`
	Verdict     doorbell.Verdict    `json:"verdict"`
	Reason      string              `json:"reason,omitempty"`
	Waits       bool                `json:"waits"` // for somebody to look into it
	Times       int64               `json:"times"`
	First       time.Time           `json:"first"`
	Last        time.Time           `json:"last"`
}

func (h *desk) inbox(c *gin.Context) error {
	limit, err := number(c, "limit", 100, 1, 500)
	if err != nil {
		return err
	}
	found, err := h.Received(c.Request.Context(), int(limit))
	if err != nil {
		return err
	}
	views := make([]callbackView, len(found))
	for i, n := range found {
		views[i] = callbackView{
			Provider: n.Provider, Account: n.Account, Kind: n.Kind, Transaction: n.Transaction, Number: n.Number, Amount: n.Minor, Currency: n.Currency,
			Verdict: n.Verdict, Reason: n.Reason, Waits: n.Verdict.Anomalous() || n.Verdict == doorbell.UnknownOrder,
			Times: n.Times, First: n.FirstAt, Last: n.LastAt,
		}
	}
	c.JSON(http.StatusOK, gin.H{"callbacks": views})
	return nil
}

// replayCallback judges a callback again, by the order as it stands now; the amount
// still counts.
func (h *desk) replayCallback(c *gin.Context) error {
	var body struct {
		Provider    string              `json:"provider"`
		Kind        doorbell.NoticeKind `json:"kind"`
		Transaction string              `json:"transactionId"`
	}
	if err := decode(c, &body); err != nil {
		return err
	}
	if body.Provider == "" {
		return doorbell.InvalidField("provider", "is missing", "缺失")
	}
	if body.Transaction == "" {
		return doorbell.InvalidField("transactionId", "is missing", "缺失")
	}
	switch body.Kind {
	case doorbell.PaymentNotice, doorbell.RefundNotice, doorbell.EventNotice:
	default:
		return doorbell.InvalidField("kind", "must be payment, refund or event", "只能是 payment、refund 或 event")
	}
	verdict, err := h.Replay(c.Request.Context(), doorbell.Notice{Provider: body.Provider, Kind: body.Kind, Transaction: body.Transaction})
	if err != nil {
		return err
	}
	h.log.InfoContext(c.Request.Context(), "callback replayed", "provider", body.Provider, "transaction", body.Transaction, "verdict", verdict, "by", by(c))
	c.JSON(http.StatusOK, gin.H{"verdict": verdict, "settled": verdict.Succeeded()})
	return nil
}

// messageView is a message to another system that it has not got.
type messageView struct {
	ID       int64              `json:"id"`
	Hook     string             `json:"hook"`
	Event    doorbell.EventType `json:"event"`
	Shop     doorbell.ShopID    `json:"shopId"`
	State    string             `json:"state"` // waiting or given_up
	Attempts int                `json:"attempts"`
	Created  time.Time          `json:"created"`
	Next     *time.Time         `json:"next"` // null: never
	Error    string             `json:"error,omitempty"`
}

func (h *desk) outbox(c *gin.Context) error {
	limit, err := number(c, "limit", 100, 1, 500)
	if err != nil {
		return err
	}
	found, err := h.Unsent(c.Request.Context(), int(limit))
	if err != nil {
		return err
	}
	views := make([]messageView, len(found))
	for i, o := range found {
		views[i] = messageView{
			ID: o.ID, Hook: o.Hook, Event: o.Event, Shop: o.Shop, State: o.State.String(), Attempts: o.Attempts, Created: o.CreatedAt, Error: o.LastError,
		}
		if o.State == doorbell.Waiting {
			views[i].Next = &found[i].NextAt
		}
	}
	c.JSON(http.StatusOK, gin.H{"messages": views})
	return nil
}

// sendAgain queues a message again, with all its attempts.
func (h *desk) sendAgain(c *gin.Context) error {
	message, err := id("id", c.Param("id"))
	if err != nil {
		return err
	}
	n, err := h.SendAgain(c.Request.Context(), message)
	if err != nil {
		return err
	}
	if n == 0 {
		return doorbell.Refuse(doorbell.NotFound, "There is no such message.", "没有这条消息。")
	}
	h.log.InfoContext(c.Request.Context(), "message queued again", "message", message, "by", by(c))
	c.Status(http.StatusNoContent)
	return nil
}
