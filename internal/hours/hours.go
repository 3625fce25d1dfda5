// Package hours knows when a shop is open, by the clock on its wall.
package hours

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Hours are a shop's business hours. The zero Hours are never open.
type Hours struct { //nolint:recvcheck // it is built by pointer and read by value
	zone *time.Location
	week [7][]span         // by time.Weekday
	days map[string][]span // by date, in the place of the week's; none: closed
}

// span is from one minute of the day to another, which may be on the next day.
type span struct{ from, to int }

const (
	dayMinutes = 24 * 60
	// maxLines and maxDates bound what one shop can say.
	maxLines = 200
	maxDates = 2000
)

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// Parse reads lines: days, and when they are open. Days are daily, mon-fri or
// sat,sun, or a date or dates (2026-10-01..2026-10-07) that go before the week's
// days. Times are 10:00-14:00,17:00-22:00, where 22:00-02:00 ends on the next day,
// or closed. Lines for the same day add up; a date's lines replace the week's.
func Parse(lines []string, zone *time.Location) (Hours, error) {
	h := Hours{zone: zone, days: map[string][]span{}}
	if len(lines) > maxLines {
		return h, fmt.Errorf("has %d lines, at most %d are taken", len(lines), maxLines)
	}
	for _, line := range lines {
		days, times, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			return h, fmt.Errorf("%q: want days and times, say \"mon-fri 10:00-14:00,17:00-22:00\" or \"2026-10-01 closed\"", line)
		}
		spans, err := parseTimes(strings.TrimSpace(times))
		if err == nil {
			err = h.add(days, spans)
		}
		if err != nil {
			return h, fmt.Errorf("%q: %w", line, err)
		}
	}
	return h, nil
}

func (h *Hours) add(days string, spans []span) error {
	if days == "daily" {
		days = "sun-sat"
	}
	for part := range strings.SplitSeq(days, ",") {
		if part != "" && part[0] >= '0' && part[0] <= '9' {
			if err := h.addDates(part, spans); err != nil {
				return err
			}
			continue
		}
		first, last, several := strings.Cut(part, "-")
		if !several {
			last = first
		}
		from, to := slices.Index(weekdays, first), slices.Index(weekdays, last)
		if from < 0 || to < 0 {
			return fmt.Errorf("%q is neither daily, a day such as mon or mon-fri, nor a date such as 2026-10-01", part)
		}
		for d := from; ; d = (d + 1) % 7 {
			h.week[d] = append(h.week[d], spans...)
			if d == to {
				break
			}
		}
	}
	return nil
}

func (h *Hours) addDates(part string, spans []span) error {
	first, last, several := strings.Cut(part, "..")
	if !several {
		last = first
	}
	from, err1 := time.Parse(time.DateOnly, first)
	to, err2 := time.Parse(time.DateOnly, last)
	if err1 != nil || err2 != nil || to.Before(from) {
		return fmt.Errorf("%q is no date such as 2026-10-01, nor dates such as 2026-10-01..2026-10-07", part)
	}
	for d := from; !d.After(to); d = d.AddDate(0, 0, 1) {
		key := d.Format(time.DateOnly)
		h.days[key] = append(h.days[key], spans...)
		if len(h.days) > maxDates {
			return fmt.Errorf("more than %d dates", maxDates)
		}
	}
	return nil
}

func parseTimes(text string) (out []span, err error) {
	if text == "closed" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		first, last, ok := strings.Cut(strings.TrimSpace(part), "-")
		from, ok1 := minute(first)
		to, ok2 := minute(last)
		if !ok || !ok1 || !ok2 || from == dayMinutes {
			return nil, fmt.Errorf("%q is neither closed nor times such as 10:00-22:00", part)
		}
		if to <= from {
			to += dayMinutes
		}
		out = append(out, span{from, to})
	}
	return out, nil
}

// minute reads HH:MM; 24:00 is the end of a day.
func minute(text string) (int, bool) {
	if text == "24:00" {
		return dayMinutes, true
	}
	t, err := time.Parse("15:04", text)
	return t.Hour()*60 + t.Minute(), err == nil && len(text) == 5
}

// IsZero reports whether nobody said when the shop is open.
func (h Hours) IsZero() bool { return h.zone == nil }

// of returns the spans that begin on a day.
func (h Hours) of(day time.Time) []span {
	if spans, named := h.days[day.Format(time.DateOnly)]; named {
		return spans
	}
	return h.week[day.Weekday()]
}

// lookBack bounds how far Since looks for the beginning of hours without a pause.
const lookBack = 8

// Since returns since when the shop has been open without a pause at t; the zero
// time when it is closed. Hours are those of the wall's clock: an hour that comes
// twice is open twice, one that is left out is no time at all.
func (h Hours) Since(t time.Time) time.Time {
	if h.IsZero() {
		return time.Time{}
	}
	local := t.In(h.zone)
	year, month, day := local.Date()
	now := local.Hour()*60 + local.Minute()
	// Minutes of the wall's clock, counted from today's 0:00. A span's last minute
	// is the one before its end.
	var all []span
	for back := -lookBack; back <= 0; back++ {
		noon := time.Date(year, month, day+back, 12, 0, 0, 0, h.zone) // midnight may be left out
		for _, s := range h.of(noon) {
			all = append(all, span{back*dayMinutes + s.from, back*dayMinutes + s.to})
		}
	}
	began, open := 0, false
	for again := true; again; {
		again = false
		for _, s := range all {
			switch {
			case !open && s.from <= now && now < s.to:
				began, open, again = s.from, true, true
			case open && s.from < began && began <= s.to:
				began, again = s.from, true
			}
		}
	}
	if !open {
		return time.Time{}
	}
	return time.Date(year, month, day, 0, began, 0, 0, h.zone)
}
