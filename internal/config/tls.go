package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// TLS is the certificate of server.addr, PEM files; without them it speaks plain
// HTTP.
type TLS struct {
	Cert string `yaml:"cert"` // with the certificates behind it, if any
	Key  string `yaml:"key"`
}

// On reports whether server.addr speaks TLS.
func (t TLS) On() bool { return t.Cert != "" && t.Key != "" }

// Pair reads the files. An error names the setting.
func (t TLS) Pair() (tls.Certificate, error) {
	cert, err := readFile(t.Cert)
	if err != nil {
		err = fmt.Errorf("server.tls.cert: %w", err)
	}
	key, err2 := readFile(t.Key)
	if err2 != nil {
		err2 = fmt.Errorf("server.tls.key: %w", err2)
	}
	if err := errors.Join(err, err2); err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("server.tls.cert %s and server.tls.key %s: %w", t.Cert, t.Key, err)
	}
	return pair, nil
}

// Trust returns how a client on this machine tells its own server: by exactly this
// certificate, whatever the server is called by, or as any client does, with what
// stands in the file as authorities besides the system's. nil without TLS.
func (t TLS) Trust() (*tls.Config, error) {
	if !t.On() {
		return nil, nil //nolint:nilnil // as any client does
	}
	text, err := os.ReadFile(t.Cert)
	if err != nil {
		return nil, fmt.Errorf("server.tls.cert: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	roots.AppendCertsFromPEM(text)
	own, err := leaf(text)
	if err != nil {
		return nil, fmt.Errorf("server.tls.cert %s: %w", t.Cert, err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, //nolint:gosec // verified below
		VerifyConnection: func(s tls.ConnectionState) error {
			if s.PeerCertificates[0].Equal(own) {
				return nil
			}
			between := x509.NewCertPool()
			for _, c := range s.PeerCertificates[1:] {
				between.AddCert(c)
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: s.ServerName, Roots: roots, Intermediates: between})
			return err
		},
	}, nil
}

// leaf returns the first certificate of a PEM text.
func leaf(text []byte) (*x509.Certificate, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, errors.New("no certificate in PEM")
}
