package ws

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"doorbell/transport"
	"doorbell/transport/transporttest"
)

// TestContract holds WebSocket to transport.Transport.
func TestContract(t *testing.T) {
	again := 10 * time.Second
	var refusals []transporttest.TransportRefusal
	for _, c := range []struct {
		why  transport.Refusal
		told string
	}{
		{transport.Refusal{Status: 401, Reason: "token_expired"}, "closed 4401"},
		{transport.Refusal{Status: 403, Reason: "forbidden"}, "closed 4403"},
		{transport.Refusal{Status: 429, Reason: "too_many", Retry: again}, "bye too_many, closed 1013"},
		{transport.Refusal{Status: 503, Reason: "shutdown", Retry: again}, "bye shutdown, closed 1012"},
		{transport.Refusal{Status: 503, Reason: "unavailable", Retry: again}, "HTTP 503"},
		{transport.Refusal{Status: 400, Reason: "invalid"}, "HTTP 400"},
	} {
		refusals = append(refusals, transporttest.TransportRefusal{Why: c.why, Told: c.told, Ask: askAsPage})
	}
	transporttest.Contract(t, transporttest.Implementation{
		Transport: transporttest.Transports()[0], New: func() transport.Transport { return New(time.Minute) },
		Outcome: transport.Detached, Outlives: true, Path: "ws", Refusals: refusals,
	})
}

// askAsPage returns what a page is told: it sees no status of a handshake.
func askAsPage(t *testing.T, base string) (told string) {
	stream, err := transporttest.DialWebSocket(base, transporttest.Dial{Origin: strings.TrimSuffix(base, "/")})
	if err != nil {
		status, _, _ := strings.Cut(err.Error(), ":")
		return status
	}
	defer stream.Close()
	m, err := stream.Next()
	if err == nil {
		told = fmt.Sprintf("%s %s, ", m.Event, m.Reason)
		_, err = stream.Next()
	}
	return told + fmt.Sprintf("closed %d", transporttest.CloseError(err))
}
