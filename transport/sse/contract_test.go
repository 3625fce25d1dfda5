package sse

import (
	"regexp"
	"testing"
	"time"

	"doorbell/transport"
	"doorbell/transport/transporttest"
)

// TestContract tests SSE against transport.Transport.
func TestContract(t *testing.T) {
	const retry = "N"
	bye := func(reason string) string {
		return "200 retry: " + retry + "\nevent: bye\ndata: {\"event\":\"bye\",\"reason\":\"" + reason + "\",\"retryMs\":" + retry + "}\n\n"
	}
	var refusals []transporttest.TransportRefusal
	for _, c := range []struct {
		why  transport.Refusal
		told string
	}{
		{transport.Refusal{Status: 429, Reason: "too_many", Retry: 10 * time.Second}, bye("too_many")},
		{transport.Refusal{Status: 503, Reason: "unavailable"}, bye("unavailable")},
		{transport.Refusal{Status: 401, Reason: "token_expired"}, "401 unanswered\n"},
		{transport.Refusal{Status: 403, Reason: "forbidden"}, "403 unanswered\n"},
	} {
		refusals = append(refusals, transporttest.TransportRefusal{Why: c.why, Told: c.told, Ask: func(t *testing.T, base string) string {
			got := transporttest.AskPlainly(t, base+"events", "Accept", "text/event-stream")
			return regexp.MustCompile(`\d{4,5}`).ReplaceAllString(got, retry)
		}})
	}
	transporttest.Contract(t, transporttest.Implementation{
		Transport: transporttest.Transports()[1], New: func() transport.Transport { return New(time.Minute) },
		Outcome: transport.Detached, Outlives: true, Path: "events", Refusals: refusals,
	})
}
