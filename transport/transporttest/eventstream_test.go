package transporttest

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestEventReader checks the client that the suite judges the server by, with the
// web platform's tests of the format. The console's reader passes the same cases
// (tools/web/test).
func TestEventReader(t *testing.T) {
	text, err := os.ReadFile("testdata/eventstream.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name   string
		Chunks []string
		Events []streamEvent
		LastID string `json:"lastId"`
		Retry  int
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		events, r := readEvents(strings.Join(c.Chunks, ""))
		if d := cmp.Diff(c.Events, events); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.Name, d)
		}
		if r.lastID != c.LastID || r.retry != c.Retry {
			t.Errorf("%s: last id %q and retry %d, want %q and %d", c.Name, r.lastID, r.retry, c.LastID, c.Retry)
		}
	}
	if len(cases) < 25 {
		t.Errorf("%d cases", len(cases))
	}
}
