// Package poll answers long polls from sessions that live for one request.
package poll

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"doorbell/transport"
)

// writeWait is how long a client may take to read an answer; the wait before
// it does not count.
const writeWait = 10 * time.Second

// Answer is what a poll gets.
type Answer struct {
	Cursor    string            `json:"cursor"`
	Epoch     string            `json:"epoch"`
	Console   string            `json:"console"`
	Heartbeat float64           `json:"heartbeat"` // seconds: how long a poll waits at most
	Version   string            `json:"version"`
	Alerts    []json.RawMessage `json:"alerts"`
	Events    []json.RawMessage `json:"events"`
}

// Serve runs the session until it has something to tell, or wait is over, and
// writes the answer. An error means that nothing was written.
func Serve(w http.ResponseWriter, r *http.Request, s *transport.Session, wait time.Duration, version string) error {
	c := &collector{ready: make(chan struct{})}
	defer s.Leave(context.WithoutCancel(r.Context()), 0, transport.Gone.String())
	s.Run(r.Context(), c)
	if s.Stalled() {
		return fmt.Errorf("read the log for a poll")
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-c.ready:
	default:
		select {
		case <-c.ready:
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	// Nothing is added after Finish, so that the cursor covers exactly this.
	cursor := s.Finish()
	a := Answer{
		Cursor: cursor.String(), Epoch: cursor.Epoch, Console: s.ID(), Heartbeat: wait.Seconds(), Version: version,
		Alerts: []json.RawMessage{}, Events: []json.RawMessage{},
	}
	for _, m := range c.messages {
		if m.Event == "" {
			a.Alerts = append(a.Alerts, m.Data)
		} else {
			a.Events = append(a.Events, m.Data)
		}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	writeAnswer(w, a)
	return nil
}

func writeAnswer(w http.ResponseWriter, a Answer) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWait)) // not supported: a test's recorder
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // the same bytes as on the other transports
	_ = enc.Encode(a)        // the client left: it comes again with its old cursor
}

// collector is a session's sink: what one answer holds.
type collector struct {
	once     sync.Once
	ready    chan struct{}
	messages []transport.Message // written under the session's lock, read after Finish
}

// TrySend implements transport.Sink.
func (c *collector) TrySend(m transport.Message) bool {
	c.messages = append(c.messages, m)
	c.once.Do(func() { close(c.ready) })
	return true
}

// Close implements transport.Sink.
func (c *collector) Close(transport.Reason) { c.once.Do(func() { close(c.ready) }) }
