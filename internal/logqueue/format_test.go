package logqueue

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type secret string

func (secret) String() string { return "…" }

type shop int64

// TestFormats: both formats tell the same; JSON is one object a line, hides what text
// hides, and gives a duration its unit.
func TestFormats(t *testing.T) {
	line := func(f Format) string {
		var b bytes.Buffer
		log, end := NewLogger(&b, f)
		log.Warn("console disconnected", "shops", []shop{1, 7}, "shop", shop(7), "duration", 1500*time.Millisecond, "error", errors.New("read: reset"),
			"secret", secret("s3cret"), "secrets", []secret{"s3cret"}, "held", struct{ Key secret }{"s3cret"}, slog.Group("in", "secret", secret("s3cret")))
		end()
		if strings.Contains(b.String(), "s3cret") {
			t.Errorf("%s shows a secret: %s", f, &b)
		}
		return b.String()
	}
	if got := line(Text); !strings.Contains(got, `level=WARN msg="console disconnected" shops="[1 7]" shop=7 duration=1.5s error="read: reset" secret=…`) {
		t.Errorf("text: %s", got)
	}
	var got map[string]any
	if text := line(JSON); strings.Count(text, "\n") != 1 || json.Unmarshal([]byte(text), &got) != nil {
		t.Fatalf("not one object: %s", text)
	}
	if _, err := time.Parse(time.RFC3339Nano, got["time"].(string)); err != nil { //nolint:forcetypeassert // the test fails then, too
		t.Error(err)
	}
	delete(got, "time")
	want := map[string]any{
		"level": "WARN", "msg": "console disconnected", "shops": []any{1.0, 7.0}, "shop": 7.0, "duration": "1.5s", "error": "read: reset",
		"secret": "…", "secrets": "[…]", "held": "{Key:…}", "in": map[string]any{"secret": "…"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("json (-want +got):\n%s", diff)
	}
}

// TestTheQueuesOwnLine on what was dropped has the format of the others.
func TestTheQueuesOwnLine(t *testing.T) {
	var b bytes.Buffer
	q := &Queue{to: &b, format: JSON, left: 3, wake: make(chan struct{}, 1), done: make(chan struct{})}
	lines, _ := q.take(nil)
	var got map[string]any
	if err := json.Unmarshal(lines, &got); err != nil || got["lines"] != 3.0 {
		t.Errorf("%s: %v", lines, err)
	}
}
