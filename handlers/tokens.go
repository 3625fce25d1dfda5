package handlers

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

// tokenView is a token in a list. Its id is a digest, and opens nothing.
type tokenView struct {
	ID        string        `json:"id"`
	Subject   string        `json:"sub"`
	Role      doorbell.Role `json:"role"`
	Shops     []shopView    `json:"shops"`
	All       bool          `json:"all"` // all shops
	Issued    *time.Time    `json:"issued"`
	Expires   time.Time     `json:"expires"`
	Used      *time.Time    `json:"used"`
	Revoked   *time.Time    `json:"revoked"`
	RevokedBy string        `json:"revokedBy,omitempty"`
	Parent    string        `json:"parent,omitempty"` // the token that made it
	This      bool          `json:"this"`             // the caller's own
}

// known returns a time, or nil for none.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// tokens lists the tokens that were made or used here.
func (h *access) tokens(c *gin.Context) error {
	limit, err := number(c, "limit", 100, 1, 500)
	if err != nil {
		return err
	}
	page, err := h.Register.List(c.Request.Context(), c.Query("after"), int(limit))
	if err != nil {
		return err
	}
	views := make([]tokenView, len(page.Tokens))
	for i, e := range page.Tokens {
		views[i] = tokenView{
			ID: e.ID, Subject: e.Grant.Subject, Role: e.Grant.Role, Shops: h.view(e.Grant.Shops.List), All: e.Grant.Shops.All,
			Issued: known(e.Grant.Issued), Expires: e.Grant.Expires, Used: known(e.Used), Revoked: known(e.Revoked), RevokedBy: e.RevokedBy,
			Parent: e.Parent, This: e.ID == grantOf(c).Source,
		}
	}
	var next *string
	if page.Next != "" {
		next = &page.Next
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, gin.H{"tokens": views, "next": next})
	return nil
}

// revokeToken revokes a token with all that was made by it.
func (h *access) revokeToken(c *gin.Context) error {
	if err := h.Register.Revoke(c.Request.Context(), c.Param("id"), by(c)); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
