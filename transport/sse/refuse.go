package sse

import (
	"fmt"
	"net/http"

	"doorbell/transport"
)

// Refuse implements transport.Transport. It answers a temporary refusal of an
// EventSource with a stream that says when to come again and ends: after status
// 429 the EventSource would stay silent until the page is reloaded. A flood gains
// nothing by it: no session is opened and no place taken, the answer is shorter
// than the problem document, and the connection ends.
func (t *Transport) Refuse(w http.ResponseWriter, r *http.Request, why transport.Refusal) (transport.Outcome, error) {
	// A browser's own EventSource always sends this type; curl and fetch do so only
	// on request.
	native := transport.HeaderLists(r.Header, "Accept", "text/event-stream")
	forNow := why.Status == http.StatusTooManyRequests || why.Status == http.StatusServiceUnavailable
	if !forNow || !native {
		return transport.Unanswered, nil
	}
	if r.ProtoMajor == 1 { // HTTP/2 has no such header
		w.Header().Set("Connection", "close")
	}
	w.Header().Set("Cache-Control", "no-store, no-transform")
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	retryMs := why.RetryMs()
	_, _ = fmt.Fprintf(w, "retry: %d\nevent: bye\ndata: %s\n\n", retryMs, transport.Bye(why.Reason, retryMs)) // the client may be gone
	return transport.Answered, nil
}
