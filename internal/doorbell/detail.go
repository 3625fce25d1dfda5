package doorbell

import (
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"
)

// Bounds of a Detail, in characters (Unicode code points).
const (
	maxLines = 50
	maxLine  = 80
	maxNote  = 200
	maxSpot  = 40 // a table, or a pickup number
)

// Detail tells the kitchen what was ordered, as far as the shop's system says.
// Consoles get it from the API and never by a stream, whose bytes are fixed;
// it is in no event to other systems and in no log, because a note may name a
// customer. A field that was not given is left out of the JSON, so that the
// hash of a body without any is what it was before there were details.
type Detail struct {
	Lines  []string `json:"lines,omitempty"`  // one dish each
	Note   string   `json:"note,omitempty"`   // what the customer asks for
	Table  string   `json:"table,omitempty"`  // where it goes
	Pickup string   `json:"pickup,omitempty"` // what is called out
}

// IsZero reports whether nothing was told.
func (d Detail) IsZero() bool {
	return len(d.Lines) == 0 && d.Note == "" && d.Table == "" && d.Pickup == ""
}

// equal reports whether d says the same: no lines and an empty list are alike.
func (d Detail) equal(e Detail) bool {
	return slices.Equal(d.Lines, e.Lines) && d.Note == e.Note && d.Table == e.Table && d.Pickup == e.Pickup
}

// check calls bad for each field that breaks a bound. With too many lines it
// names none of them: a body of 64 KiB would be answered with thousands.
func (d Detail) check(bad func(field, message string)) {
	text := func(field, s string, most int) {
		if !utf8.ValidString(s) || utf8.RuneCountInString(s) > most {
			bad(field, fmt.Sprintf("must be UTF-8 of at most %d characters", most))
		} else if slices.ContainsFunc([]rune(s), unicode.IsControl) {
			bad(field, "must be one line without control characters")
		}
	}
	if len(d.Lines) > maxLines {
		bad("lines", fmt.Sprintf("must be at most %d", maxLines))
	} else {
		for i, line := range d.Lines {
			text(fmt.Sprintf("lines[%d]", i), line, maxLine)
		}
	}
	text("note", d.Note, maxNote)
	text("table", d.Table, maxSpot)
	text("pickup", d.Pickup, maxSpot)
}
