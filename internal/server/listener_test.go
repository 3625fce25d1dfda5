package server

import (
	"errors"
	"net"
	"strings"
	"testing"

	"doorbell/internal/config"
)

func isFault(err error) bool {
	_, ok := errors.AsType[config.Fault](err)
	return ok
}

// TestPortsSayWhatToChange: a port in use names its setting and another port;
// an address that is not this machine's is the settings' fault.
func TestPortsSayWhatToChange(t *testing.T) {
	used, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close() //nolint:errcheck // the test is over
	for _, c := range []struct {
		key, addr string
		fault     bool // of the settings
		says      string
	}{
		{"server.addr", used.Addr().String(), false, "is in use"},
		{"pay.addr", used.Addr().String(), false, "DOORBELL_PAY_ADDR=127.0.0.1:"},
		{"metrics.addr", used.Addr().String(), false, "metrics.addr"},
		{"server.addr", "192.0.2.1:80", true, "want an address of this machine"},
	} {
		cfg := config.Default()
		cfg.Server.Addr = "127.0.0.1:0"
		switch c.key {
		case "server.addr":
			cfg.Server.Addr = c.addr
		case "pay.addr":
			cfg.Pay.Addr = c.addr
		default:
			cfg.Metrics.Addr = c.addr
		}
		l, err := Listen(t.Context(), cfg, nil)
		if err == nil {
			_ = l.Close() // it should not be there
		}
		if isFault(err) != c.fault || !strings.Contains(err.Error(), c.key+" "+c.addr) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s: %v (a fault of the settings: %v), want %v saying %q", c.key, c.addr, err, isFault(err), c.fault, c.says)
		}
	}
}
