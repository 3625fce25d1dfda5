package store

import (
	"strings"
	"testing"
)

// TestPagesAreKept: every database stores as many pages as a large chain has.
func TestPagesAreKept(t *testing.T) { onAll(t, testPagesAreKept) }

func testPagesAreKept(t *testing.T, db database) {
	s := db.open(t, nil)
	if got, err := s.Pages(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("at first %q, %v; want none", got, err)
	}
	for _, text := range []string{`[{"shop":1}]`, `["` + strings.Repeat("页", 100_000) + `"]`, `[]`} {
		if err := s.SavePages(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Pages(t.Context()); err != nil || string(got) != text {
			t.Errorf("kept %d bytes (%v), want the %d that were saved", len(got), err, len(text))
		}
	}
}
