package ws

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"doorbell/transport"
)

// closeCodes maps HTTP statuses to the close codes that a browser gets instead. The
// page's ladder backs off after 1013, and asks for a new login after the others.
var closeCodes = map[int]int{
	http.StatusUnauthorized:    transport.AuthOver.CloseCode(),
	http.StatusForbidden:       closeForbidden,
	http.StatusTooManyRequests: websocket.CloseTryAgainLater,
}

// closeForbidden is a close code of our own that stands for 403.
const closeForbidden = 4403

// Refuse implements transport.Transport. It upgrades the request only to send bye,
// if there is a time to retry, and to close with a code.
func (t *Transport) Refuse(w http.ResponseWriter, r *http.Request, why transport.Refusal) (transport.Outcome, error) {
	code, known := closeCodes[why.Status]
	if why.Reason == transport.Shutdown.String() {
		code, known = transport.Shutdown.CloseCode(), true
	}
	if !known || !fromBrowser(r) {
		return transport.Unanswered, nil
	}
	var bye []byte
	if why.Retry > 0 { // a close frame can't carry it
		bye = transport.Bye(why.Reason, why.RetryMs())
	}
	return transport.Detached, refuse(w, r, bye, code, why.Reason)
}

// fromBrowser reports whether the request is from a page of ours: only those send both.
func fromBrowser(r *http.Request) bool {
	return r.Header.Get("Origin") != "" && transport.OffersEvents(r)
}

// refuse upgrades the request, sends last unless it is nil, and closes with code.
func refuse(w http.ResponseWriter, r *http.Request, last []byte, code int, reason string) error {
	up := websocket.Upgrader{
		Subprotocols: []string{transport.Subprotocol}, HandshakeTimeout: 5 * time.Second,
		CheckOrigin: func(*http.Request) bool { return true },
	}
	c, err := up.Upgrade(w, r, nil)
	if err != nil {
		return fmt.Errorf("upgrade to refuse: %w", err)
	}
	deadline := time.Now().Add(transport.Grace)
	err = c.SetWriteDeadline(deadline)
	if last != nil {
		err = errors.Join(err, c.WriteMessage(websocket.TextMessage, last))
	}
	msg := websocket.FormatCloseMessage(code, reason)
	err = errors.Join(err, c.WriteControl(websocket.CloseMessage, msg, deadline), c.SetReadDeadline(time.Now().Add(closeWait)))
	c.SetReadLimit(maxMessage)
	for waits := err == nil; waits; { // see closeWait
		_, _, gone := c.NextReader()
		waits = gone == nil
	}
	return errors.Join(err, c.Close())
}
