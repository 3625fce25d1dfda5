package sse

import (
	"strconv"

	"github.com/r3labs/sse/v2"

	"doorbell/transport"
)

// commentMark is what r3labs writes before a comment. Each event is passed to
// r3labs as one comment that contains all of its lines, and conn removes the mark.
// So the bytes are encoded once for all consoles; r3labs itself would print each
// field for each of them, and would write an empty id where there is none, which
// resets the browser's last id.
const commentMark = ": "

// eventOf returns a message as a log of one event, which r3labs replays to the
// connection's subscriber. This bypasses the stream's goroutine, which costs a
// switch for each event and stops for all readers when one stalls.
func eventOf(m transport.Message) *sse.EventLog {
	if m.Shared == nil {
		return encode(m)
	}
	e, ok := m.Shared.Once(func() any { return encode(m) }).(*sse.EventLog)
	if !ok { // only this transport uses it
		panic("sse: a shared message of another transport")
	}
	return e
}

// first is the id that r3labs compares with a subscriber's; with a comment it is
// not written.
var first = []byte("0")

// encode omits the two line ends that r3labs writes after a comment.
func encode(m transport.Message) *sse.EventLog {
	b := make([]byte, 0, len(m.Cursor)+len(m.Data)+len(m.Event)+32)
	if m.Cursor != "" {
		b = append(append(append(b, "id: "...), m.Cursor...), '\n')
	}
	b = append(append(b, "data: "...), m.Data...)
	if m.Event != "" {
		b = append(append(b, "\nevent: "...), m.Event...)
	}
	if m.RetryMs > 0 { // a native EventSource ignores bye and would reconnect after retry
		b = strconv.AppendInt(append(b, "\nretry: "...), m.RetryMs, 10)
	}
	return &sse.EventLog{{ID: first, Comment: b}}
}

// encodeBurst makes one comment of all events of a burst.
func encodeBurst(b transport.Burst) *sse.EventLog {
	size := 0
	for _, a := range b.Alerts {
		size += len(a.Data) + 64
	}
	text := make([]byte, 0, size)
	for i, a := range b.Alerts {
		if i > 0 {
			text = append(text, "\n\n"...)
		}
		if id := b.AppendCursor(append(text, "id: "...), i); len(id) > len(text)+len("id: ") {
			text = id
			text = append(text, '\n')
		}
		text = append(append(text, "data: "...), a.Data...)
	}
	return &sse.EventLog{{ID: first, Comment: text}}
}
