package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"

	"doorbell/internal/config"
)

// Listeners are the sockets of a server. Callbacks may be nil: payment callbacks
// then arrive at Consoles, as they may in any case. Metrics and Admin may be nil.
type Listeners struct{ Consoles, Callbacks, Metrics, Admin net.Listener }

// Close closes those that are there.
func (l Listeners) Close() error {
	var errs []error
	for _, ln := range []net.Listener{l.Consoles, l.Callbacks, l.Metrics, l.Admin} {
		if ln != nil {
			errs = append(errs, ln.Close())
		}
	}
	return errors.Join(errs...)
}

// Listen opens what the settings name; given, if there is one, takes the
// place of server.addr.
func Listen(ctx context.Context, cfg config.Config, given net.Listener) (l Listeners, err error) {
	l.Consoles = given
	for _, s := range []struct {
		key, addr string
		ln        *net.Listener
	}{
		{"server.addr", cfg.Server.Addr, &l.Consoles},
		{"pay.addr", cfg.Pay.Addr, &l.Callbacks},
		{"metrics.addr", cfg.Metrics.Addr, &l.Metrics},
		{"server.admin", cfg.Server.Admin, &l.Admin},
	} {
		if s.addr == "" || *s.ln != nil {
			continue
		}
		if *s.ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", s.addr); err != nil {
			return Listeners{}, errors.Join(listenFault(s.key, s.addr, err), l.Close())
		}
	}
	return l, nil
}

// Inherited returns the socket that systemd hands over (sd_listen_fds(3): the first
// is descriptor 3), or nil. A socket that outlives the process keeps callbacks
// waiting, instead of refusing them, while one server stops and the next one
// starts.
func Inherited() (net.Listener, error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil //nolint:nilnil // none was handed over
	}
	if n := os.Getenv("LISTEN_FDS"); n != "1" {
		return nil, config.Fault{Err: fmt.Errorf("systemd hands over %s sockets, want one: name one ListenStream= in the socket unit", n)}
	}
	f := os.NewFile(3, "LISTEN_FDS")
	ln, err := net.FileListener(f)
	return ln, errors.Join(err, f.Close())
}

// listenFault says what to change. A port in use is not the settings' fault: it
// may be free when the service is started again.
func listenFault(key, addr string, err error) error {
	variable := config.EnvName(key)
	switch {
	case errors.Is(err, addrInUse):
		return fmt.Errorf("%s %s is in use: doorbell, or another program, runs there already. Stop it, or choose another port: %s=%s",
			key, addr, variable, nextPort(addr))
	case errors.Is(err, fs.ErrPermission):
		return config.Fault{Err: fmt.Errorf("%s %s: this user may not listen there; take a port from 1024, or let systemd hand over the socket: %w", key, addr, err)}
	default:
		return config.Fault{Err: fmt.Errorf("%s %s: want an address of this machine, say 127.0.0.1:8080, or 0.0.0.0:8080 for all of them: %w", key, addr, err)}
	}
}

// nextPort returns addr with the port behind its own.
func nextPort(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	n, err2 := strconv.Atoi(port)
	if errors.Join(err, err2) != nil || n >= 65535 {
		return "127.0.0.1:8081"
	}
	return net.JoinHostPort(host, strconv.Itoa(n+1))
}
