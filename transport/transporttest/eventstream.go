package transporttest

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// streamEvent is an event as an EventSource passes it to its page.
type streamEvent struct {
	ID    string `json:"id"`
	Event string `json:"event"`
	Data  string `json:"data"`
}

// eventReader reads text/event-stream as the HTML standard's "interpreting an
// event stream" says, step by step.
type eventReader struct {
	in     *bufio.Reader
	begun  bool
	afterC bool // the last line ended in CR: a LF that follows belongs to it

	id     string // what the id field said, counts with the next empty line
	lastID string // what an EventSource would come back with
	retry  int    // ms; 0: never said
}

// next waits for the next event that is dispatched.
func (r *eventReader) next() (streamEvent, error) {
	var data strings.Builder
	kind := ""
	for {
		line, err := r.line()
		if err != nil { // an event that is not finished is discarded
			return streamEvent{}, err
		}
		if line == "" {
			r.lastID = r.id
			if data.Len() == 0 {
				kind = ""
				continue
			}
			if kind == "" {
				kind = "message"
			}
			return streamEvent{ID: r.lastID, Event: kind, Data: strings.TrimSuffix(data.String(), "\n")}, nil
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			kind = value
		case "data":
			data.WriteString(value + "\n")
		case "id":
			if !strings.Contains(value, "\x00") {
				r.id = value
			}
		case "retry":
			r.setRetry(value)
		}
	}
}

func (r *eventReader) setRetry(value string) {
	n := 0
	for _, c := range value {
		if c < '0' || c > '9' || n > 1e9 {
			return
		}
		n = 10*n + int(c-'0')
	}
	if value != "" {
		r.retry = n
	}
}

// line reads up to LF, CR or CRLF; it does not wait for the byte after a CR.
func (r *eventReader) line() (string, error) {
	var b strings.Builder
	for {
		c, err := r.in.ReadByte()
		if err != nil {
			return "", err
		}
		if r.afterC && c == '\n' {
			r.afterC = false
			continue
		}
		r.afterC = c == '\r'
		if c == '\n' || c == '\r' {
			break
		}
		b.WriteByte(c)
	}
	text := b.String()
	if !r.begun {
		r.begun = true
		text = strings.TrimPrefix(text, "\ufeff")
	}
	return strings.ToValidUTF8(text, "\ufffd"), nil
}

// readEvents reads all of a stream.
func readEvents(text string) (events []streamEvent, r *eventReader) {
	r = &eventReader{in: bufio.NewReader(strings.NewReader(text))}
	for {
		e, err := r.next()
		if errors.Is(err, io.EOF) {
			return events, r
		}
		events = append(events, e)
	}
}
