package poll

import (
	"testing"

	"go.uber.org/goleak"

	"doorbell/transport"
	"doorbell/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestContract tests polling against transport.Transport.
func TestContract(t *testing.T) {
	transporttest.Contract(t, transporttest.Implementation{
		Transport: transporttest.Transports()[2], New: func() transport.Transport { return Transport{} },
		Outcome: transport.Answered, Path: "poll",
	})
}
