package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doorbell/internal/config"
)

// certificate is the pair of server.tls, as its files are now.
type certificate struct {
	files config.TLS
	log   *slog.Logger

	seen  map[string]stamp // of the pair that was read last, used by run alone
	pair  atomic.Pointer[tls.Certificate]
	fault atomic.Pointer[string] // why the files that are there now are not in use; nil: they are
}

// newCertificate reads the pair; nil where the settings name none.
func newCertificate(files config.TLS, log *slog.Logger) (*certificate, error) {
	if files.Cert == "" {
		return nil, nil //nolint:nilnil // the server speaks plain HTTP
	}
	c := &certificate{files: files, log: log}
	return c, c.read()
}

// read takes the pair from its files, or leaves the former one in use. The files
// are looked at before they are read: a change in between is seen the next time.
func (c *certificate) read() error {
	c.seen = stamps([]string{c.files.Cert, c.files.Key})
	pair, err := c.files.Pair()
	if err != nil {
		why := err.Error()
		c.fault.Store(&why)
		return err
	}
	c.pair.Store(&pair)
	c.fault.Store(nil)
	return nil
}

// run reads the pair again when a file changed, and while the last try failed: of
// two files that are replaced one after the other the first does not fit.
func (c *certificate) run(ctx context.Context) error {
	tick := time.NewTicker(lookForKeys)
	defer tick.Stop()
	for told := ""; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		failing := c.fault.Load() != nil
		if !failing && maps.Equal(c.seen, stamps([]string{c.files.Cert, c.files.Key})) {
			continue
		}
		switch err := c.read(); {
		case err == nil:
			told = ""
			c.log.InfoContext(ctx, "certificate loaded", "file", c.files.Cert, "expires", c.expires())
		case err.Error() != told:
			told = err.Error()
			c.log.ErrorContext(ctx, "new certificate not loaded; the former one stays in use", "expires", c.expires(), "error", err)
		}
	}
}

func (c *certificate) expires() time.Time { return c.pair.Load().Leaf.NotAfter }

// soon is how long before its end a certificate is complained of.
const soon = 7 * 24 * time.Hour

// complaint returns what /readyz says of it, without a file's name; empty if all
// is well. The node serves all the same.
func (c *certificate) complaint(now time.Time) string {
	left := c.expires().Sub(now)
	switch {
	case left <= 0:
		return "the certificate has expired"
	case c.fault.Load() != nil:
		return "the new certificate can't be loaded; the former one is in use"
	case left < soon:
		return "the certificate expires within a week"
	default:
		return ""
	}
}

// listen returns a listener that speaks TLS on ln: HTTP/2, or HTTP/1.1 as a
// WebSocket's handshake needs it, whichever the client offers.
func (c *certificate) listen(ln net.Listener) net.Listener {
	return tls.NewListener(ln, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.pair.Load(), nil },
	})
}

func (c *certificate) collectors() []prometheus.Collector {
	if c == nil {
		return nil
	}
	return []prometheus.Collector{
		gauge("doorbell_tls_certificate_expires_timestamp_seconds", "When the certificate in use ends, in seconds since 1970.", func() float64 { return float64(c.expires().Unix()) }),
		gauge("doorbell_tls_reload_failed", "Whether the certificate's files as they are now can't be loaded (1): the former ones are in use then.", func() float64 {
			if c.fault.Load() != nil {
				return 1
			}
			return 0
		}),
	}
}

// complaints returns what is wrong with this node and does not keep it from serving.
func (s *Server) complaints() []string {
	if s.certificate != nil {
		if c := s.certificate.complaint(time.Now()); c != "" {
			return []string{c}
		}
	}
	return nil
}

// tcp returns the connection beneath TLS.
func tcp(c net.Conn) net.Conn {
	if under, ok := c.(*tls.Conn); ok {
		return under.NetConn()
	}
	return c
}
