package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
)

// sessionView is a session in a list. Its id differs from its cookie, and opens
// nothing.
type sessionView struct {
	ID      string        `json:"id"`
	Name    string        `json:"name"`  // the token's or ticket's sub; for a device, the name given at pairing
	Label   string        `json:"label"` // the browser's own description
	Role    doorbell.Role `json:"role"`
	Shops   []shopView    `json:"shops"`
	All     bool          `json:"all"` // all shops
	Since   time.Time     `json:"since"`
	Expires time.Time     `json:"expires"` // extended by use
	Limit   *time.Time    `json:"limit"`   // expires is never later; null for a paired device
	Paired  bool          `json:"paired"`
	Parent  string        `json:"parent,omitempty"` // the session whose ticket created it
	This    bool          `json:"this"`             // the caller's own
}

func (h *access) sessionViews(found []doorbell.Login, g doorbell.Grant) []sessionView {
	out := make([]sessionView, len(found))
	for i, l := range found {
		out[i] = sessionView{
			ID: l.ID, Name: l.Grant.Subject, Label: l.Label, Role: l.Grant.Role, Shops: h.view(l.Grant.Shops.List), All: l.Grant.Shops.All,
			Since: l.Created, Expires: l.Grant.Expires, Paired: l.Paired, Parent: l.Grant.Parent, This: l.ID == g.Session,
		}
		if !l.Limit.IsZero() {
			out[i].Limit = &l.Limit
		}
	}
	return out
}

// sessions lists what the caller may see: all for an admin, its shops' for a
// service, its own for a console.
func (h *access) sessions(c *gin.Context) error { return h.list(c, "sessions", h.Logins.List) }

// devices lists the paired devices all of whose shops the caller has; a device
// sees only itself.
func (h *access) devices(c *gin.Context) error { return h.list(c, "devices", h.Logins.Devices) }

func (h *access) list(c *gin.Context, name string, find func(context.Context, doorbell.Grant, string, int) (auth.Page, error)) error {
	limit, err := number(c, "limit", 100, 1, 500)
	if err != nil {
		return err
	}
	g := grantOf(c)
	page, err := find(c.Request.Context(), g, c.Query("after"), int(limit))
	if err != nil {
		return err
	}
	var next *string
	if page.Next != "" {
		next = &page.Next
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, gin.H{name: h.sessionViews(page.Logins, g), "next": next})
	return nil
}

// endSession ends a session, all that descends from it, and their streams. A
// foreign session looks like a missing one.
func (h *access) endSession(c *gin.Context) error {
	ctx, g := c.Request.Context(), grantOf(c)
	l, err := h.Logins.Find(ctx, g, c.Param("id"))
	if err != nil {
		return err
	}
	ended, err := h.Logins.End(ctx, l.ID, by(c))
	if err != nil {
		return err
	}
	h.Sessions.EndLogins(ended...)
	h.log.InfoContext(ctx, "session removed", "name", l.Grant.Subject, "paired", l.Paired, "ended", len(ended), "by", by(c))
	if l.ID == g.Session {
		h.setCookie(c, "", time.Time{})
	}
	c.Status(http.StatusNoContent)
	return nil
}
