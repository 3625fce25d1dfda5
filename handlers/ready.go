package handlers

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

// Bus reports whether other nodes can be reached.
type Bus interface {
	Alone() bool
	// Reason returns in a few words why they can't, safe for strangers; empty while
	// they can.
	Reason() string
}

// The state of a part in /readyz.
const (
	partOK   = "ok"
	partDown = "down"
	partNone = "none" // not configured
)

// readiness is the body of /readyz: whether this node can serve, the state of each
// part, and why one is down or needs to be looked at.
type readiness struct {
	Ready   bool     `json:"ready"`
	Store   string   `json:"store"`
	Bus     string   `json:"bus"`
	Reasons []string `json:"reasons"`
}

// health adds the health routes.
func (h *operations) health(root *gin.RouterGroup) {
	root.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	root.GET("/readyz", h.answer(h.ready))
}

// ready answers 503 if this node can't serve. Without the bus it can: other nodes'
// alerts come up to 2 s late, and a load balancer that removed every node because
// their broker is down would lose the callbacks.
func (h *operations) ready(c *gin.Context) error {
	state := readiness{Ready: true, Store: partOK, Bus: partOK, Reasons: []string{}}
	if h.Bus == nil || h.Bus.Alone() {
		state.Bus = partNone
	} else if reason := h.Bus.Reason(); reason != "" {
		state.Bus = partDown
		state.Reasons = append(state.Reasons, reason)
	}
	if h.Complaints != nil {
		state.Reasons = append(state.Reasons, h.Complaints()...)
	}
	var refusal *doorbell.Error
	if err := h.Ready(c.Request.Context()); err != nil {
		state.Store = partDown
		refusal = doorbell.Refuse(doorbell.Unavailable, "The database can't serve.", "数据库不可用。").Because(err)
		state.Reasons = append(state.Reasons, "the database can't serve")
	}
	if h.draining.Load() {
		refusal = doorbell.Refuse(doorbell.Unavailable, "stopping", "正在停止")
		state.Reasons = append(state.Reasons, "stopping")
	}
	if refusal == nil {
		c.Header("Cache-Control", "no-store")
		c.JSON(http.StatusOK, state)
		return nil
	}
	state.Ready = false
	h.refuseWith(c, refusal, &state)
	return nil
}
