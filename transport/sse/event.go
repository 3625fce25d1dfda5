package sse

import (
	"github.com/r3labs/sse/v2"

	"doorbell/transport"
)

// commentMark is what r3labs writes before a comment. An event goes to it as
// one comment that holds all of its lines, and conn takes the mark away: the
// bytes are made once for all consoles that get the same, where r3labs prints
// each field for each of them, and writes an empty id, which resets the
// browser's last, where there is none.
const commentMark = ": "

// eventOf is what r3labs is to write for a message, as a log of one event that
// is replayed to the connection's subscriber: past the stream's goroutine, which
// would cost a switch for each event and stops for all when one reader does.
func eventOf(m transport.Message) *sse.EventLog {
	if m.Shared == nil {
		return encode(m)
	}
	e, ok := m.Shared.Once(func() any { return encode(m) }).(*sse.EventLog)
	if !ok { // there is one transport that uses it
		panic("sse: a shared message of another transport")
	}
	return e
}

// first is the id that r3labs compares with a subscriber's, and does not write
// with a comment.
var first = []byte("0")

// encode leaves out the two line ends that r3labs writes behind a comment.
func encode(m transport.Message) *sse.EventLog {
	b := make([]byte, 0, len(m.Cursor)+len(m.Data)+len(m.Event)+32)
	if m.Cursor != "" {
		b = append(append(append(b, "id: "...), m.Cursor...), '\n')
	}
	b = append(append(b, "data: "...), m.Data...)
	if m.Event != "" {
		b = append(append(b, "\nevent: "...), m.Event...)
	}
	return &sse.EventLog{{ID: first, Comment: b}}
}
