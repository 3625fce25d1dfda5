package handlers

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// TestTheNextDaysTokensAreWarnedOf: only the last day's warnings are remembered,
// so yesterday's never crowd out today's.
func TestTheNextDaysTokensAreWarnedOf(t *testing.T) {
	testrun.Bubble(t, func(t *testing.T) {
		var out strings.Builder
		log := slog.New(slog.NewTextHandler(&out, nil))
		var once onceADay
		warned := func(sub string) int {
			before := strings.Count(out.String(), "expires soon")
			once.note(t.Context(), log, doorbell.Grant{Subject: sub, Role: doorbell.RoleService, Expires: time.Now().Add(time.Hour)})
			return strings.Count(out.String(), "expires soon") - before
		}
		for i := range maxNoticed {
			if n := warned(fmt.Sprintf("old-%d", i)); n != 1 {
				t.Fatalf("the first of old-%d: %d lines, want 1", i, n)
			}
		}
		if n := warned("old-7") + warned("one-too-many"); n != 0 {
			t.Errorf("%d lines of one who was warned of today and one too many, want none", n)
		}
		time.Sleep(againAfter + time.Second)
		for i := range maxNoticed {
			if n := warned(fmt.Sprintf("new-%d", i)); n != 1 {
				t.Fatalf("the next day's new-%d: %d lines, want 1", i, n)
			}
		}
		if n := len(once.last); n > maxNoticed {
			t.Errorf("%d are remembered, want at most %d", n, maxNoticed)
		}
	})
}
