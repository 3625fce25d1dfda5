package transport

import (
	"net/http"
	"testing"
)

// TestOffersEvents: only a client whose handshake can be answered with the
// subprotocol gets events.
func TestOffersEvents(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  bool
	}{
		{nil, false},
		{[]string{"doorbell.v1"}, true},
		{[]string{"chat , doorbell.v1"}, true},
		{[]string{"chat", "doorbell.v1"}, true},
		{[]string{"Doorbell.V1"}, false},
		{[]string{"doorbell.v10"}, false},
	} {
		r := &http.Request{Header: http.Header{"Sec-Websocket-Protocol": c.lines}}
		if got := OffersEvents(r); got != c.want {
			t.Errorf("%q: %v, want %v", c.lines, got, c.want)
		}
	}
}
