package handlers

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

// deviceView is a paired device.
type deviceView struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`  // who paired it gave it
	Label   string     `json:"label"` // what it says that it is
	Shops   []shopView `json:"shops"`
	Since   time.Time  `json:"since"`
	Expires time.Time  `json:"expires"` // prolonged by use
	This    bool       `json:"this"`    // the one that asks
}

// devices lists the paired devices whose shops are all the caller's.
func (h *edge) devices(c *gin.Context) error {
	all, err := h.Logins.Devices(c.Request.Context())
	if err != nil {
		return err
	}
	g := grantOf(c)
	out := []deviceView{}
	for _, l := range all {
		if l.Grant.Shops.Within(g.Shops) {
			out = append(out, deviceView{
				ID: l.ID, Name: l.Grant.Subject, Label: l.Label, Shops: h.view(l.Grant.Shops.List), Since: l.Created, Expires: l.Grant.Expires, This: l.ID == g.Session,
			})
		}
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, gin.H{"devices": out})
	return nil
}

// revokeDevice signs a paired device out, and ends its streams. A foreign one
// looks like one that is not there.
func (h *edge) revokeDevice(c *gin.Context) error {
	all, err := h.Logins.Devices(c.Request.Context())
	if err != nil {
		return err
	}
	for _, l := range all {
		if l.ID != c.Param("id") || !l.Grant.Shops.Within(grantOf(c).Shops) {
			continue
		}
		if err := h.Logins.Revoke(c.Request.Context(), l.ID); err != nil {
			return err
		}
		h.Hub.EndLogin(l.ID)
		h.log.InfoContext(c.Request.Context(), "device revoked", "name", l.Grant.Subject, "by", by(c))
		c.Status(http.StatusNoContent)
		return nil
	}
	return doorbell.Refuse(doorbell.NotFound, "There is no such device.", "没有这个设备。")
}
