package server

import (
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/config"
	"doorbell/internal/lancert"
	"doorbell/internal/testrun"
)

// TestCertificateReload: a new pair is taken within seconds; a broken one leaves the former in use, and is told.
func TestCertificateReload(t *testing.T) {
	dir, now := t.TempDir(), time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // the bubble's
	make1 := func(days int) lancert.Files {
		t.Helper()
		f, _, err := lancert.Make(dir, []string{"127.0.0.1"}, now.AddDate(0, 0, days))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	files := make1(0)
	testrun.Bubble(t, func(t *testing.T) {
		var log lockedBuffer
		c, err := newCertificate(config.TLS{Cert: files.Cert, Key: files.Key}, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.run(t.Context()) }()
		look := func() {
			time.Sleep(lookForKeys + time.Second)
			synctest.Wait()
		}
		first := c.pair.Load()
		look()
		if c.pair.Load() != first {
			t.Error("read again although nothing changed")
		}
		make1(1)
		look()
		second := c.pair.Load()
		if second.Leaf.Equal(first.Leaf) {
			t.Error("the new pair is not in use")
		}
		whole, err := os.ReadFile(files.Key)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(files.Key, whole[:len(whole)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		look()
		look()
		if c.pair.Load() != second {
			t.Error("the broken pair replaced the one in use")
		}
		if got := c.complaint(time.Now()); !strings.Contains(got, "can't be loaded") {
			t.Errorf("/readyz says %q of a broken pair", got)
		}
		if n := strings.Count(log.String(), "new certificate not loaded"); n != 1 || !strings.Contains(log.String(), "server.tls.key "+files.Key) {
			t.Errorf("told %d times, want once with its name:\n%s", n, log.String())
		}
		if err := os.Remove(files.Cert); err != nil {
			t.Fatal(err)
		}
		look()
		if c.pair.Load() != second || c.complaint(time.Now()) == "" {
			t.Error("a file that is gone is not told, or ended the pair in use")
		}
		make1(2)
		look()
		if c.pair.Load() == second || c.complaint(time.Now()) != "" {
			t.Errorf("the mended pair is not in use: %q", c.complaint(time.Now()))
		}
		if got := c.complaint(c.expires().Add(-24 * time.Hour)); got != "the certificate expires within a week" {
			t.Errorf("the day before its end: %q", got)
		}
	})
}

// TestCertificateFaults: a pair that can't be used is a fault of the settings, by its setting.
func TestCertificateFaults(t *testing.T) {
	dir := t.TempDir()
	one, _, err := lancert.Make(dir+"/one", []string{"127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := lancert.Make(dir+"/other", []string{"127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, cert, key, says string }{
		{"no file", dir + "/none.pem", one.Key, "server.tls.cert: open " + dir + "/none.pem"},
		{"no key", one.Cert, dir + "/none.pem", "server.tls.key: open " + dir + "/none.pem"},
		{"another's key", one.Cert, other.Key, "server.tls.cert " + one.Cert + " and server.tls.key " + other.Key},
		{"the two swapped", one.Key, one.Cert, "server.tls.cert " + one.Key},
	} {
		if _, err := newCertificate(config.TLS{Cert: c.cert, Key: c.key}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}
