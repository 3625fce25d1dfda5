package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// printable returns text from outside as a terminal may have it: what a payment's
// sender signed, an alert's content. What moves a cursor, turns the writing round or ends a line early is
// escaped.
func printable(text string) string {
	if !strings.ContainsFunc(text, unprintable) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unprintable(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unprintable(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }

// sayf formats with each text made printable.
func sayf(out io.Writer, format string, args ...any) (int, error) {
	safe := make([]any, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case int, int64, bool:
			safe[i] = v
		default:
			safe[i] = printable(fmt.Sprint(v))
		}
	}
	return fmt.Fprintf(out, format, safe...)
}
