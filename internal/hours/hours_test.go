package hours

import (
	"testing"
	"time"
)

func parse(t *testing.T, zone string, lines ...string) Hours {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	h, err := Parse(lines, loc)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestSince: open and closed by the week, by dates, over midnight, and where the
// wall's clock leaves an hour out or has it twice.
func TestSince(t *testing.T) {
	week := []string{"mon-fri 10:00-14:00,17:00-22:00", "sat,sun 11:00-02:00", "2026-10-01..2026-10-03 closed", "2026-12-24 10:00-16:00", "2026-12-24 20:00-21:00"}
	night := []string{"daily 22:00-03:30"}
	for _, c := range []struct {
		name, zone string
		lines      []string
		at, since  string // since empty: closed
	}{
		{"a minute early", "Asia/Shanghai", week, "2026-11-24T09:59:59+08:00", ""},
		{"opens", "Asia/Shanghai", week, "2026-11-24T10:00:00+08:00", "2026-11-24T10:00:00+08:00"},
		{"asked elsewhere", "Asia/Shanghai", week, "2026-11-24T02:30:00Z", "2026-11-24T10:00:00+08:00"},
		{"last second", "Asia/Shanghai", week, "2026-11-24T13:59:59+08:00", "2026-11-24T10:00:00+08:00"},
		{"closes", "Asia/Shanghai", week, "2026-11-24T14:00:00+08:00", ""},
		{"evening", "Asia/Shanghai", week, "2026-11-24T21:00:00+08:00", "2026-11-24T17:00:00+08:00"},
		{"past midnight", "Asia/Shanghai", week, "2026-11-29T01:59:00+08:00", "2026-11-28T11:00:00+08:00"},
		{"past midnight, Monday", "Asia/Shanghai", week, "2026-11-30T01:00:00+08:00", "2026-11-29T11:00:00+08:00"},
		{"past midnight, closed", "Asia/Shanghai", week, "2026-11-30T02:00:00+08:00", ""},
		{"a holiday", "Asia/Shanghai", week, "2026-10-02T12:00:00+08:00", ""},
		{"after it", "Asia/Shanghai", week, "2026-10-05T12:00:00+08:00", "2026-10-05T10:00:00+08:00"},
		{"an exception", "Asia/Shanghai", week, "2026-12-24T15:00:00+08:00", "2026-12-24T10:00:00+08:00"},
		{"an exception's second line", "Asia/Shanghai", week, "2026-12-24T20:30:00+08:00", "2026-12-24T20:00:00+08:00"},
		{"not the week's hours", "Asia/Shanghai", week, "2026-12-24T18:00:00+08:00", ""},
		{"the hour that comes twice, first", "Europe/Berlin", night, "2026-10-25T02:30:00+02:00", "2026-10-24T22:00:00+02:00"},
		{"the hour that comes twice, second", "Europe/Berlin", night, "2026-10-25T02:30:00+01:00", "2026-10-24T22:00:00+02:00"},
		{"closes after it", "Europe/Berlin", night, "2026-10-25T03:30:00+01:00", ""},
		{"the hour that is left out", "Europe/Berlin", night, "2026-03-29T03:15:00+02:00", "2026-03-28T22:00:00+01:00"},
		{"closes after that", "Europe/Berlin", night, "2026-03-29T03:30:00+02:00", ""},
		{"hours without a pause", "UTC", []string{"mon 20:00-24:00", "tue 00:00-06:00"}, "2026-11-24T05:00:00Z", "2026-11-23T20:00:00Z"},
		{"no hours", "UTC", []string{"mon closed"}, "2026-11-23T05:00:00Z", ""},
		{"over the week's end", "UTC", []string{"fri-mon 08:00-09:00"}, "2026-11-22T08:30:00Z", "2026-11-22T08:00:00Z"},
		{"a day that begins at one", "America/Sao_Paulo", []string{"daily 08:00-20:00"}, "2018-11-04T10:00:00-02:00", "2018-11-04T08:00:00-02:00"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		var want time.Time
		if c.since != "" {
			if want, err = time.Parse(time.RFC3339, c.since); err != nil {
				t.Fatal(err)
			}
		}
		if got := parse(t, c.zone, c.lines...).Since(at); !got.Equal(want) {
			t.Errorf("%s: open since %v, want %v", c.name, got, want)
		}
	}
	if always := parse(t, "UTC", "daily 00:00-24:00"); always.Since(time.Now()).IsZero() {
		t.Error("always open, and closed now")
	}
	if !(Hours{}).Since(time.Now()).IsZero() {
		t.Error("without hours it is open")
	}
}

// TestParseRefuses what it can't read, and says which line.
func TestParseRefuses(t *testing.T) {
	for _, line := range []string{"", "mon", "10:00-12:00", "mon 10-12", "mon 10:00", "mon 24:00-02:00", "moon 10:00-12:00", "2026-13-01 closed", "2026-10-02..2026-10-01 closed", "mon 25:00-26:00", "mon 9:00-10:00", "2000-01-01..2026-01-01 closed"} {
		if _, err := Parse([]string{"daily 10:00-11:00", line}, time.UTC); err == nil {
			t.Errorf("%q is taken", line)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("mon-fri 10:00-14:00,17:00-22:00", int64(0))
	f.Add("2026-10-01..2026-10-07 closed", int64(1790000000))
	f.Fuzz(func(t *testing.T, line string, at int64) {
		h, err := Parse([]string{line}, time.UTC)
		if err != nil {
			return
		}
		now := time.Unix(at%(1<<34), 0).UTC()
		if since := h.Since(now); since.After(now) || !since.IsZero() && now.Sub(since) > (lookBack+2)*24*time.Hour {
			t.Errorf("%q: open since %v at %v", line, since, now)
		}
	})
}
