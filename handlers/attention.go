package handlers

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

// attention returns which of a shop's consoles can ring now.
func (h *api) attention(c *gin.Context) error {
	n, err := id("id", c.Param("id"))
	if err != nil {
		return err
	}
	shop := doorbell.ShopID(n)
	if !grantOf(c).Shops.Has(shop) {
		return doorbell.Refuse(doorbell.NotFound, "There is no shop %d.", "门店 %d 不存在。", n)
	}
	c.JSON(http.StatusOK, h.Consoles.AttentionOfAll(c.Request.Context(), shop))
	return nil
}
