package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
)

// address is a parsed URL of a broker.
type address struct { //nolint:recvcheck // it is read by pointer and used by value
	scheme       string
	hosts        []string // with their ports
	user, secret string
	passwordFile string
	creds        string // NATS: a file with a user's key
	tls          *tls.Config
}

// String returns the address without a password.
func (a address) String() string { return a.scheme + "://" + strings.Join(a.hosts, ",") }

// login returns the user and password. A password file is read at each connection,
// so that it can be changed while the node runs.
func (a address) login() (user, password string, err error) {
	if a.passwordFile == "" {
		return a.user, a.secret, nil
	}
	b, err := os.ReadFile(a.passwordFile)
	if err != nil {
		return "", "", fmt.Errorf("read the bus's password: %w", err)
	}
	return a.user, strings.TrimRight(string(b), "\r\n"), nil
}

// kinds lists the schemes: their port, whether they use TLS from the first byte,
// and their parameters.
var kinds = map[string]struct {
	port   string
	secure bool
	many   bool
	params []string
}{
	"nats":   {"4222", false, true, []string{"ca", "cert", "key", "creds", "password_file"}},
	"tls":    {"4222", true, true, []string{"ca", "cert", "key", "creds", "password_file"}},
	"redis":  {"6379", false, false, []string{"ca", "cert", "key", "password_file"}},
	"rediss": {"6379", true, false, []string{"ca", "cert", "key", "password_file"}},
}

// Parse reads bus.url and the files that it names. An empty URL means no broker and returns nil.
//
//	nats://USER:PASSWORD@HOST:4222,HOST:4222   nats://TOKEN@HOST   tls://HOST
//	redis://USER:PASSWORD@HOST:6379            rediss://HOST
//
// with ?ca=FILE&cert=FILE&key=FILE for TLS, password_file=FILE, and creds=FILE for
// a NATS user's key. No error shows a password.
func Parse(text string) (Broker, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // nil is no broker
	}
	scheme, rest, ok := strings.Cut(text, "://")
	kind, known := kinds[scheme]
	if !ok || !known {
		return nil, errors.New("want nats://HOST, tls://HOST, redis://HOST or rediss://HOST")
	}
	a := address{scheme: scheme}
	rest, query, _ := strings.Cut(rest, "?")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		user, secret, _ := strings.Cut(rest[:i], ":")
		var err1, err2 error
		a.user, err1 = url.PathUnescape(user)
		a.secret, err2 = url.PathUnescape(secret)
		if err1 != nil || err2 != nil {
			return nil, errors.New("the user name or password has a % that is not an escape; write it as %25")
		}
		rest = rest[i+1:]
	}
	hosts, path, _ := strings.Cut(rest, "/")
	if strings.Trim(path, "0123456789") != "" {
		return nil, fmt.Errorf("unexpected path after the host: /%s", path)
	}
	for host := range strings.SplitSeq(hosts, ",") {
		full, err := withPort(host, kind.port)
		if err != nil {
			return nil, err
		}
		a.hosts = append(a.hosts, full)
	}
	if len(a.hosts) > 1 && !kind.many {
		return nil, fmt.Errorf("%s:// takes one host", scheme)
	}
	if err := a.parameters(query, kind.secure, kind.params); err != nil {
		return nil, err
	}
	if strings.HasPrefix(scheme, "redis") {
		if a.secret == "" && a.passwordFile == "" && a.user != "" {
			return nil, errors.New("redis://USER@HOST has no password; a password alone is written as redis://:PASSWORD@HOST")
		}
		return redisBroker{a}, nil
	}
	return natsBroker{a}, nil
}

func withPort(host, port string) (string, error) {
	if h, p, err := net.SplitHostPort(host); err == nil && h != "" && p != "" && strings.Trim(p, "0123456789") == "" {
		return host, nil
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if bare == "" || strings.Contains(host, ":") && net.ParseIP(bare) == nil {
		return "", fmt.Errorf("%q is not HOST or HOST:PORT", host)
	}
	return net.JoinHostPort(bare, port), nil
}

func (a *address) parameters(query string, secure bool, known []string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the text after the ? is not a list of NAME=FILE")
	}
	for name, v := range values {
		if !slices.Contains(known, name) || len(v) != 1 || v[0] == "" {
			return fmt.Errorf("parameter %q: %s:// takes %s, each once and with a file", name, a.scheme, strings.Join(known, ", "))
		}
		if _, err := os.ReadFile(v[0]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	a.creds, a.passwordFile = values.Get("creds"), values.Get("password_file")
	ca, cert, key := values.Get("ca"), values.Get("cert"), values.Get("key")
	if !secure && ca+cert+key == "" {
		return nil
	}
	if !secure {
		return fmt.Errorf("ca, cert and key need tls:// or rediss://, not %s://", a.scheme)
	}
	a.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return fmt.Errorf("ca: %w", err)
		}
		a.tls.RootCAs = x509.NewCertPool()
		if !a.tls.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("ca: %s has no certificate in it", ca)
		}
	}
	if (cert == "") != (key == "") {
		return errors.New("cert and key belong together")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("cert and key: %w", err)
		}
		a.tls.Certificates = []tls.Certificate{pair}
	}
	return nil
}
