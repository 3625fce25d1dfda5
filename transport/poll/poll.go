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

// writeWait is how long a client may take to read an answer; the wait before the
// answer does not count.
const writeWait = 10 * time.Second

// Answer is the body of a poll's answer.
type Answer struct {
	Cursor    string            `json:"cursor"`
	Epoch     string            `json:"epoch"`
	Console   string            `json:"console"`
	Heartbeat float64           `json:"heartbeat"` // seconds: the longest wait of a poll
	Version   string            `json:"version"`
	Alerts    []json.RawMessage `json:"alerts"`
	Events    []json.RawMessage `json:"events"`
}

// Transport answers polls; it keeps nothing between two of them.
type Transport struct{}

var _ transport.Transport = Transport{}

// Refuse implements transport.Transport: every polling client reads the status.
func (Transport) Refuse(http.ResponseWriter, *http.Request, transport.Refusal) (transport.Outcome, error) {
	return transport.Unanswered, nil
}

// Shutdown implements transport.Transport: no session outlives its request.
func (Transport) Shutdown(context.Context) error { return nil }

// Serve implements transport.Transport: it runs the session until there is a
// message, or s.Wait is over, and writes the answer. An error says that the log
// could not be read; then nothing was written.
func (Transport) Serve(w http.ResponseWriter, r *http.Request, s *transport.Session) (transport.Outcome, error) {
	c := &collector{ready: make(chan struct{})}
	defer s.Leave(context.WithoutCancel(r.Context()), 0, transport.Gone.String())
	s.Run(r.Context(), c)
	if s.Stalled() {
		return transport.Unanswered, fmt.Errorf("read the log for a poll")
	}
	timer := time.NewTimer(s.Wait)
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
	// Nothing is added after Finish, so the cursor covers exactly these messages.
	cursor := s.Finish()
	a := Answer{
		Cursor: cursor.String(), Epoch: cursor.Epoch, Console: s.ID(), Heartbeat: s.Wait.Seconds(), Version: s.Version(),
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
	if writeAnswer(w, a) == nil {
		s.Left()
	}
	return transport.Answered, nil
}

// writeAnswer fails where the client has left: it comes again with its old cursor.
func writeAnswer(w http.ResponseWriter, a Answer) error {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWait)) // not supported: a test's recorder
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // the same bytes as on the other transports
	return enc.Encode(a)
}

// collector is a session's sink: the messages of one answer.
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
