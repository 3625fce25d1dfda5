package lancert_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doorbell/internal/lancert"
)

// open returns the pair that a server reads, and the authority that a tablet installs.
func open(t *testing.T, f lancert.Files) (leaf *x509.Certificate, roots *x509.CertPool) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(f.Authority)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatal("ca.pem holds no certificate")
	}
	return pair.Leaf, roots
}

// TestMake: a tablet that installed the authority once trusts each name of each later certificate, and
// nothing else.
func TestMake(t *testing.T) {
	dir, now := filepath.Join(t.TempDir(), "tls"), time.Now()
	files, made, err := lancert.Make(dir, []string{"192.168.1.10", "Kitchen.local", "bell.example.com", "fd00::1"}, now)
	if err != nil || !made {
		t.Fatal(made, err)
	}
	leaf, roots := open(t, files)
	trusts := func(leaf *x509.Certificate, name string) error {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now})
		return err
	}
	for _, name := range []string{"192.168.1.10", "kitchen.local", "bell.example.com", "fd00::1"} {
		if err := trusts(leaf, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if trusts(leaf, "bank.example.com") == nil {
		t.Error("a name that nobody asked for is trusted")
	}
	if days := leaf.NotAfter.Sub(leaf.NotBefore).Hours() / 24; days > 825 {
		t.Errorf("good for %v days; Apple's devices refuse more than 825", days)
	}
	for _, key := range []string{files.Key, files.AuthorityKey} {
		if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", key, info.Mode(), err)
		}
	}
	if _, made, err = lancert.Make(dir, []string{"10.0.0.7", "till.lan"}, now); err != nil || made {
		t.Fatalf("a second certificate: made %v, %v", made, err)
	}
	second, _ := open(t, files)
	if err := trusts(second, "10.0.0.7"); err != nil {
		t.Errorf("with the authority of the first: %v", err)
	}
	if second.Equal(leaf) {
		t.Error("the certificate is the former one")
	}
}

// TestMakeRefuses: what the authority does not cover, and a folder that lost a part, are told, and nothing is replaced.
func TestMakeRefuses(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	files, _, err := lancert.Make(dir, []string{"192.168.1.10"}, now)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := open(t, files)
	for _, c := range []struct {
		name  string
		names []string
		now   time.Time
		want  string
	}{
		{"a public name", []string{"shop.example.com"}, now, "was not made for shop.example.com"},
		{"a public address", []string{"8.8.8.8"}, now, "was not made for 8.8.8.8"},
		{"no name", nil, now, "no name and no address"},
		{"an address with its scheme", []string{"https://kitchen.local"}, now, "neither a host name nor an IP address"},
		{"a wildcard", []string{"*.local"}, now, "neither a host name nor an IP address"},
		{"an old authority", []string{"192.168.1.10"}, now.Add(lancert.AuthorityLife), "make another"},
	} {
		if _, _, err := lancert.Make(dir, c.names, c.now); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if after, _ := open(t, files); !after.Equal(before) {
		t.Error("a refusal replaced the certificate")
	}
	if err := os.Remove(files.AuthorityKey); err != nil {
		t.Fatal(err)
	}
	if _, _, err := lancert.Make(dir, []string{"192.168.1.10"}, now); err == nil || !strings.Contains(err.Error(), "one is missing") {
		t.Errorf("without the authority's key: %v", err)
	}
}
