package handlers

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

// figures returns a shop's figures of a day in the shop's time zone.
func (h *api) figures(c *gin.Context) error {
	n, err := id("id", c.Param("id"))
	if err != nil {
		return err
	}
	shop := doorbell.ShopID(n)
	if !grantOf(c).Shops.Has(shop) {
		return doorbell.Refuse(doorbell.NotFound, "There is no shop %d.", "门店 %d 不存在。", n)
	}
	zone := h.Zones[shop]
	if zone == nil {
		zone = h.Zones[0]
	}
	if zone == nil {
		zone = time.UTC
	}
	now := time.Now().In(zone)
	day := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, zone)
	if asked := c.Query("day"); asked != "" {
		if day, err = time.ParseInLocation(time.DateOnly, asked, zone); err != nil {
			return doorbell.InvalidField("day", "must be YYYY-MM-DD", "必须是 YYYY-MM-DD")
		}
	}
	if err := h.maySearch(c, shop); err != nil {
		return err
	}
	f, err := h.Days.Figures(c.Request.Context(), shop, day)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, f)
	return nil
}
