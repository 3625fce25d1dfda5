package handlers

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

// maxExceptions bounds an answer; CSV has all entries.
const maxExceptions = 1000

// ledgerView is a shop's day.
type ledgerView struct {
	Shop       doorbell.ShopID    `json:"shop"`
	Day        string             `json:"day"`
	Begins     time.Time          `json:"begins"`
	Ends       time.Time          `json:"ends"`
	AsOf       time.Time          `json:"asOf"`
	Sealed     bool               `json:"sealed"`
	Before     string             `json:"before,omitempty"` // the hash of the day before
	Hash       string             `json:"hash,omitempty"`
	Sum        doorbell.LedgerSum `json:"sum"`
	Exceptions []ledgerLine       `json:"exceptions"`
}

// ledgerLine is an entry with its number.
type ledgerLine struct {
	Line int `json:"line"`
	doorbell.LedgerEntry
}

// ledger tells of a shop's day: what was paid, heard and accepted, and what was not.
func (h *api) ledger(c *gin.Context) error {
	n, err := id("shop", c.Query("shop"))
	if err != nil {
		return err
	}
	shop := doorbell.ShopID(n)
	if !grantOf(c).Shops.Has(shop) {
		return foreignShop()
	}
	format := c.DefaultQuery("format", "json")
	if format != "json" && format != "csv" {
		return doorbell.InvalidField("format", "must be json or csv", "只能是 json 或 csv")
	}
	if err := h.maySearch(c, shop); err != nil {
		return err
	}
	d, err := h.Ledgers.Day(c.Request.Context(), shop, c.Query("day"))
	if err != nil {
		return err
	}
	if format == "csv" {
		return writeCSV(c, d)
	}
	v := ledgerView{
		Shop: d.Shop, Day: d.Day, Begins: d.Begins, Ends: d.Ends, AsOf: d.AsOf, Sealed: d.Hash != "", Before: d.Before, Hash: d.Hash, Sum: d.Sum(),
		Exceptions: []ledgerLine{},
	}
	for i, e := range d.Entries {
		if len(e.Why) > 0 && len(v.Exceptions) < maxExceptions {
			v.Exceptions = append(v.Exceptions, ledgerLine{i + 1, e})
		}
	}
	c.JSON(http.StatusOK, v)
	return nil
}

// writeCSV begins with a byte order mark: a spreadsheet takes Chinese for something
// else without.
func writeCSV(c *gin.Context, d doorbell.LedgerDay) error {
	c.Header("Content-Type", "text/csv; charset=utf-8")
	c.Header("Content-Disposition", fmt.Sprintf(`attachment; filename="ledger-%d-%s.csv"`, d.Shop, d.Day))
	c.Status(http.StatusOK)
	_, _ = c.Writer.WriteString("\ufeff") // as below
	w := csv.NewWriter(c.Writer)
	_ = w.Write(doorbell.LedgerColumns) // a client that has left needs no answer
	_ = d.WriteCSV(w)
	w.Flush()
	return nil
}
