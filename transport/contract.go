package transport

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Transport carries sessions to clients in one way: WebSocket, SSE or long
// polling. The HTTP edge decides who may have a session and opens it; a transport
// knows of connections only. transporttest.Contract tests every implementation
// against this interface.
type Transport interface {
	// Serve takes r's connection for the session s, which Hub.Open has opened
	// and nobody has run yet. It calls s.Run with a Sink of its own, and s.Leave
	// once when the client is gone or the session has ended, whatever the
	// Outcome: the caller has nothing more to do with s.
	//
	// Serve may block for as long as the client stays (a poll's wait, an event
	// stream over HTTP/2), or return while the session goes on in goroutines of
	// the transport's own (Detached). It blocks on nothing else: what is written
	// to the client has a deadline, and what is read from the log is bounded.
	//
	// With Unanswered the error says why, and the caller answers. With Answered
	// and Detached the client has its answer; an error is for the log only.
	Serve(w http.ResponseWriter, r *http.Request, s *Session) (Outcome, error)

	// Refuse tells a client, where it could not read a plain HTTP answer, why
	// it gets no session. Unanswered means that it can read one: nothing was
	// written, and the caller answers with why.Status and the problem document.
	//
	//   - WebSocket: a browser sees no status of a refused handshake. One that
	//     offers Subprotocol gets its upgrade, bye where there is a time to come
	//     again, and a close code: 4401, 4403, 1013 for 429, 1012 of a node that
	//     stops. Every other status stays an HTTP answer.
	//   - SSE: a native EventSource takes every status but 200 for final. For
	//     429 and 503 it gets a stream that holds bye and retry, and ends.
	//   - Long poll: every client reads the status.
	Refuse(w http.ResponseWriter, r *http.Request, why Refusal) (Outcome, error)

	// Shutdown waits until the last session of Serve has left, or ctx ends; then it
	// returns an error. It ends no session: Hub.Shutdown runs first and tells all of
	// them. A later Serve either returns Unanswered with ErrDraining, or serves a
	// session that the hub ends at once. A transport whose sessions never outlive
	// their request returns at once: net/http's Shutdown waits for requests.
	Shutdown(ctx context.Context) error
}

// Subprotocol is offered by a WebSocket client that wants the contract's events.
const Subprotocol = "doorbell.v1"

// OffersEvents reports whether a WebSocket handshake offers Subprotocol. The name
// is case-sensitive (RFC 6455, 1.9): a client that gets events must also get the
// answer that names the subprotocol.
func OffersEvents(r *http.Request) bool {
	offers := strings.Split(strings.Join(r.Header.Values("Sec-Websocket-Protocol"), ","), ",")
	return slices.ContainsFunc(offers, func(one string) bool { return strings.TrimSpace(one) == Subprotocol })
}

// HeaderLists reports whether a header names token in its comma-separated lists.
func HeaderLists(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for one := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(one), token) {
				return true
			}
		}
	}
	return false
}

// Outcome says who is responsible for the request after a transport had it.
type Outcome int

// The outcomes.
const (
	Unanswered Outcome = iota // nothing was written: the caller answers
	Answered                  // the client has its answer
	Detached                  // the connection does not belong to net/http any more
)

// Refusal says why a client gets no session.
type Refusal struct {
	Status int           // of the plain HTTP answer
	Reason string        // for bye and the close frame: a problem's code, or Shutdown's name
	Retry  time.Duration // when the client may come again; 0: not set
}

// notNowRetry is Retry's default for a temporary refusal.
const notNowRetry = 2 * time.Second

// RetryMs returns when a refused client may come again, spread so that clients
// refused together don't all return at once.
func (r Refusal) RetryMs() int64 {
	wait := cmp.Or(r.Retry, notNowRetry).Milliseconds()
	return wait + rand.Int64N(wait/2+1)
}
