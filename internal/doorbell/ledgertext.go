package doorbell

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// LedgerColumns are those of WriteCSV.
var LedgerColumns = []string{
	"shop", "day", "line", "alert", "type", "source", "order_id", "number", "time", "paid", "amount_minor", "currency",
	"delivered", "shown", "sounded", "end", "end_at", "by", "why", "told",
}

// WriteCSV writes the entries of a day, without a line of names.
func (d LedgerDay) WriteCSV(to *csv.Writer) error {
	for i, e := range d.Entries {
		var at string
		var end Reached
		if e.End() != "" {
			end = e.Reached[len(e.Reached)-1]
			at = stamp(end.At)
		}
		row := []string{
			d.Shop.String(), d.Day, strconv.Itoa(i + 1), strconv.FormatInt(int64(e.Seq), 10), strconv.Itoa(int(e.Type)), string(e.Source),
			strconv.FormatInt(int64(e.OrderID), 10), e.Number, stamp(e.Time), strconv.FormatBool(e.Paid), strconv.FormatInt(e.Amount, 10), e.Currency,
			stamp(e.has(WasDelivered)), stamp(e.has(WasShown)), stamp(e.has(WasSounded)), string(end.Progress), at, end.By, e.reasons(), e.told(),
		}
		for i, cell := range row {
			row[i] = harmlessCell(cell)
		}
		if err := to.Write(row); err != nil {
			return err
		}
	}
	return nil
}

// harmlessCell keeps a spreadsheet from running what begins like a formula: numbers
// and names come from outside.
func harmlessCell(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

// reasons are what an entry lacks, in one text.
func (e LedgerEntry) reasons() string {
	out := make([]string, len(e.Why))
	for i, w := range e.Why {
		if out[i] = string(w); w == WasSilent {
			out[i] += ":" + e.Silent
		}
	}
	return strings.Join(out, " ")
}

// told is who was told of an entry, in one text.
func (e LedgerEntry) told() string {
	out := make([]string, len(e.Told))
	for i, t := range e.Told {
		out[i] = t.To + ":" + t.State
	}
	return strings.Join(out, " ")
}

// WriteText writes a day as a person reads it: the sum, and what is not as it should
// be. Times are those of the zone.
func (d LedgerDay) WriteText(out io.Writer, zone *time.Location) error {
	s := d.Sum()
	state := "as it stands"
	if d.Hash != "" {
		state = "sealed " + d.AsOf.In(zone).Format(time.DateTime) + ", hash " + d.Hash
	}
	var money []string
	for _, currency := range slices.Sorted(maps.Keys(s.Amounts)) {
		money = append(money, fmt.Sprintf("%d %s", s.Amounts[currency], currency))
	}
	lines := fmt.Sprintf("shop %d, %s (%s)\npaid %d, alerted %d, heard %d, accepted %d, cancelled %d", d.Shop, d.Day, state, s.Paid, s.Alerted, s.Heard, s.Accepted, s.Cancelled)
	if len(money) > 0 {
		lines += "; in minor units " + strings.Join(money, ", ")
	}
	lines += fmt.Sprintf("\nreminders %d, orders kept elsewhere %d; of %d somebody was told\n", s.Reminders, s.External, s.Escalated)
	if s.Lacking == 0 {
		lines += "nothing is missing: all that came was heard and taken care of\n"
	}
	if _, err := io.WriteString(out, lines); err != nil || s.Lacking == 0 {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "LINE\tTIME\tALERT\tNUMBER\tAMOUNT\tEND\tWHY\tTOLD") // Flush tells
	for i, e := range d.Entries {
		if len(e.Why) > 0 {
			_, _ = fmt.Fprintf(w, "%d\t%s\t%d\t%s\t%d %s\t%s\t%s\t%s\n", i+1, e.Time.In(zone).Format(time.TimeOnly), e.Seq, e.Number, e.Amount, e.Currency, e.End(), e.reasons(), e.told())
		}
	}
	return w.Flush()
}
