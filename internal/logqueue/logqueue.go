// Package logqueue writes log lines without ever keeping their writer waiting.
package logqueue

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	// maxLogBytes bounds the lines that wait to be written; those being written
	// come on top. A busy server writes some 100 KiB a second.
	maxLogBytes = 1 << 20
	// flushWait is how long the end of the program waits for its last lines.
	flushWait = 2 * time.Second
)

// Queue takes lines at once and writes them from a goroutine of its own. A
// standard error that nobody reads (a terminal that was stopped by Ctrl-S, a
// collector that hangs) stops whoever writes to it: the writer of the database,
// and with it every payment. Here lines that find no room are dropped and
// counted, and the log says so when it goes on. What is lost in a crash are the
// lines of the last moment.
type Queue struct {
	to     io.Writer
	format Format

	mu      sync.Mutex // guards all below
	waiting []byte
	left    int64 // dropped since the log said so
	dropped int64
	over    bool

	wake chan struct{} // buffered 1
	done chan struct{} // closed when all is written
}

// New starts a queue that writes to to; its own lines have that format.
func New(to io.Writer, format Format) *Queue {
	q := &Queue{to: to, format: format, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// Write takes one line; it never blocks and never fails.
func (q *Queue) Write(line []byte) (int, error) {
	q.mu.Lock()
	if len(q.waiting)+len(line) > maxLogBytes {
		q.left++
		q.dropped++
	} else {
		q.waiting = append(q.waiting, line...)
	}
	q.mu.Unlock()
	q.signal()
	return len(line), nil
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Dropped returns how many lines found no room.
func (q *Queue) Dropped() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}

// run writes until Close. An error is nobody's to hear: the log is where it
// would stand.
func (q *Queue) run() {
	defer close(q.done)
	var spare []byte
	for {
		lines, over := q.take(spare)
		spare = lines[:0] // spare itself is waiting's now, also where nothing waited
		if len(lines) > 0 {
			_, _ = q.to.Write(lines)
			continue
		}
		if over {
			return
		}
		<-q.wake
	}
}

// take empties the queue and returns what waited, with a line behind it on how many were dropped.
func (q *Queue) take(spare []byte) (lines []byte, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lines, q.waiting = q.waiting, spare
	if q.left > 0 {
		var b bytes.Buffer
		slog.New(q.format.handler(&b)).Warn("log lines dropped: standard error was blocked", "lines", q.left)
		lines, q.left = append(lines, b.Bytes()...), 0
	}
	return lines, q.over
}

// Close waits until all is written, at most flushWait: a log that takes nothing
// must not keep the program from ending.
func (q *Queue) Close() {
	q.mu.Lock()
	q.over = true
	q.mu.Unlock()
	q.signal()
	select {
	case <-q.done:
	case <-time.After(flushWait):
	}
}

// queuedHandler is a handler on a queue.
type queuedHandler struct {
	slog.Handler
	*Queue
}

// NewLogger returns a logger that writes to w; end waits for the last lines.
func NewLogger(w io.Writer, format Format) (log *slog.Logger, end func()) {
	q := New(w, format)
	return slog.New(queuedHandler{format.handler(q), q}), q.Close
}

// Dropped returns how many lines a logger of NewLogger could not write.
func Dropped(log *slog.Logger) int64 {
	if h, ok := log.Handler().(queuedHandler); ok {
		return h.Dropped()
	}
	return 0
}
