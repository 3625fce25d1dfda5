// Package lancert makes a certificate for a server in a local network, where no
// public authority signs: an authority of the installation's own, which tablets are
// told to trust once, and a certificate of the server signed by it.
package lancert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"doorbell/internal/safefile"
)

const (
	// AuthorityLife is how long tablets need no other authority.
	AuthorityLife = 10 * 365 * 24 * time.Hour
	// ServerLife is how long a certificate of the server is good. Apple's devices
	// refuse more than 825 days, also by an authority that was installed.
	ServerLife = 820 * 24 * time.Hour
	// early makes a tablet accept a certificate although its clock is slow.
	early = 24 * time.Hour
)

// Files are what Make writes into a folder.
type Files struct {
	Authority    string // ca.pem: what a tablet installs
	AuthorityKey string // ca-key.pem, for its owner alone
	Cert         string // cert.pem: server.tls.cert, with the authority behind it
	Key          string // key.pem: server.tls.key, for its owner alone
}

// FilesIn returns the names of the files in a folder.
func FilesIn(dir string) Files {
	in := func(name string) string { return filepath.Join(dir, name) }
	return Files{Authority: in("ca.pem"), AuthorityKey: in("ca-key.pem"), Cert: in("cert.pem"), Key: in("key.pem")}
}

// local are the domains that no public name ends in; an authority may always sign
// for them.
var local = []string{"localhost", "local", "lan", "internal", "home.arpa", "test"}

// private are the networks whose addresses an authority may sign for.
var private = []string{
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8",
	"fc00::/7", "fe80::/10", "::1/128",
}

// Make writes a certificate for names, which are host names and IP addresses, and
// its key. It signs with the authority in dir, and makes one where there is none;
// then made is true. The authority can sign for private addresses, for local
// domains, and for the names that it was made with, and for nothing else: whoever
// steals its key can't pretend to be a bank.
func Make(dir string, names []string, now time.Time) (files Files, made bool, err error) {
	files = FilesIn(dir)
	domains, addresses, err := parse(names)
	if err != nil {
		return files, false, err
	}
	authority, key, err := load(files)
	if errors.Is(err, fs.ErrNotExist) {
		made = true
		authority, key, err = create(files, domains, addresses, now)
	}
	if err != nil {
		return files, false, err
	}
	if left := authority.NotAfter.Sub(now); left < ServerLife/2 {
		return files, false, fmt.Errorf("%s ends on %s: remove it and %s, make another, and install that on the tablets",
			files.Authority, authority.NotAfter.Format(time.DateOnly), files.AuthorityKey)
	}
	for _, d := range domains {
		if !covered(d, authority.PermittedDNSDomains) {
			return files, false, notCovered(files, d)
		}
	}
	for _, a := range addresses {
		if !slices.ContainsFunc(authority.PermittedIPRanges, func(n *net.IPNet) bool { return n.Contains(a) }) {
			return files, false, notCovered(files, a.String())
		}
	}
	return files, made, sign(files, authority, key, domains, addresses, now)
}

func notCovered(files Files, name string) error {
	return fmt.Errorf("the authority in %s was not made for %s: remove it and %s, make another with all names, and install that on the tablets",
		files.Authority, name, files.AuthorityKey)
}

func covered(domain string, permitted []string) bool {
	return slices.ContainsFunc(permitted, func(p string) bool { return domain == p || strings.HasSuffix(domain, "."+p) })
}

// parse tells addresses from names, in lower case.
func parse(names []string) (domains []string, addresses []net.IP, err error) {
	for _, name := range names {
		if a, err := netip.ParseAddr(name); err == nil {
			addresses = append(addresses, a.Unmap().WithZone("").AsSlice())
			continue
		}
		name = strings.ToLower(name)
		if !HostName(name) {
			return nil, nil, fmt.Errorf("%q is neither a host name nor an IP address", name)
		}
		domains = append(domains, name)
	}
	if len(domains)+len(addresses) == 0 {
		return nil, nil, errors.New("no name and no address: want what tablets open, say 192.168.1.10 or kitchen.local")
	}
	return domains, addresses, nil
}

// HostName reports whether a certificate may name s, which is in lower case: a name
// of RFC 1123, no wildcard.
func HostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		plain := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' }
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") ||
			strings.ContainsFunc(label, func(r rune) bool { return !plain(r) }) {
			return false
		}
	}
	return true
}

// load reads the authority. fs.ErrNotExist where there is none.
func load(files Files) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(files.Authority)
	keyText, err2 := os.ReadFile(files.AuthorityKey)
	if errors.Is(err, fs.ErrNotExist) != errors.Is(err2, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("of %s and %s one is missing: put it back, or remove the other and install a new authority on the tablets", files.Authority, files.AuthorityKey)
	}
	if err := errors.Join(err, err2); err != nil {
		return nil, nil, err
	}
	block, _ := pem.Decode(text)
	keyBlock, _ := pem.Decode(keyText)
	if block == nil || keyBlock == nil {
		return nil, nil, fmt.Errorf("%s or %s is not PEM", files.Authority, files.AuthorityKey)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", files.Authority, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", files.AuthorityKey, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, nil, fmt.Errorf("%s is not the key of %s", files.AuthorityKey, files.Authority)
	}
	return cert, key, nil
}

// create makes the authority and writes it: the key first, so that none is trusted
// whose key was lost.
func create(files Files, domains []string, addresses []net.IP, now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	host, _ := os.Hostname() // only for people
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "doorbell " + host + " " + now.Format(time.DateOnly), Organization: []string{"doorbell"}},
		NotBefore:             now.Add(-early),
		NotAfter:              now.Add(AuthorityLife),
		IsCA:                  true,
		MaxPathLenZero:        true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,

		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         slices.Clone(local),
	}
	for _, d := range domains {
		if !covered(d, template.PermittedDNSDomains) {
			template.PermittedDNSDomains = append(template.PermittedDNSDomains, d)
		}
	}
	for _, p := range private {
		_, network, err := net.ParseCIDR(p)
		if err != nil {
			return nil, nil, err
		}
		template.PermittedIPRanges = append(template.PermittedIPRanges, network)
	}
	for _, a := range addresses {
		if !slices.ContainsFunc(template.PermittedIPRanges, func(n *net.IPNet) bool { return n.Contains(a) }) {
			bits := 8 * len(a)
			template.PermittedIPRanges = append(template.PermittedIPRanges, &net.IPNet{IP: a, Mask: net.CIDRMask(bits, bits)})
		}
	}
	der, err := signed(template, template, key, key)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(filepath.Dir(files.Authority), 0o700); err != nil {
		return nil, nil, err
	}
	if err := errors.Join(writeKey(files.AuthorityKey, key), write(files.Authority, 0o644, block("CERTIFICATE", der))); err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

// sign makes the server's certificate and writes it: the key first; a server that
// reads in between keeps what it has, because the two do not fit.
func sign(files Files, authority *x509.Certificate, by *ecdsa.PrivateKey, domains []string, addresses []net.IP, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: append(domains, "doorbell")[0], Organization: []string{"doorbell"}},
		NotBefore:   now.Add(-early),
		NotAfter:    now.Add(min(ServerLife, authority.NotAfter.Sub(now))),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    domains,
		IPAddresses: addresses,

		BasicConstraintsValid: true,
	}
	der, err := signed(template, authority, key, by)
	if err != nil {
		return err
	}
	chain := append(block("CERTIFICATE", der), block("CERTIFICATE", authority.Raw)...)
	return errors.Join(writeKey(files.Key, key), write(files.Cert, 0o644, chain))
}

func signed(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) ([]byte, error) {
	return x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by) // draws the serial number
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func writeKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return write(name, 0o600, block("PRIVATE KEY", der))
}

// write puts a file in the place of a former one, whole or not at all.
func write(name string, mode fs.FileMode, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return safefile.SyncFolder(filepath.Dir(name))
}
