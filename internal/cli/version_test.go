package cli

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"doorbell/internal/store"
)

// TestVersion: the release, the commit and the schema, a line each.
func TestVersion(t *testing.T) {
	var out strings.Builder
	if err := printVersion(t.Context(), nil, &out); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`^doorbell \S+\ncommit \S+\nschema %d\n$`, store.SchemaVersion())
	if !regexp.MustCompile(want).MatchString(out.String()) || store.SchemaVersion() < 13 {
		t.Errorf("%q, want %s", out.String(), want)
	}
}
