package bus

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"doorbell/internal/testrun"
	"doorbell/internal/testservers"
)

func TestParse(t *testing.T) {
	cert, key := testservers.Certificate(t)
	word := filepath.Join(t.TempDir(), "word")
	if err := os.WriteFile(word, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"nats://10.0.0.1":                         "nats://10.0.0.1:4222",
		"nats://bell:s3cret@a:1,b,[::1]:7":        "nats://a:1,b:4222,[::1]:7",
		"tls://a?ca=" + cert:                      "tls://a:4222",
		"redis://:s3cret@a/0":                     "redis://a:6379",
		"rediss://u:p%40x@a?ca=" + cert:           "rediss://a:6379",
		"redis://u@a?password_file=" + word:       "redis://a:6379",
		"nats://a?creds=" + word:                  "nats://a:4222",
		"rediss://a?cert=" + cert + "&key=" + key: "rediss://a:6379",
		"http://a":                "error: want nats://HOST, tls://HOST, redis://HOST or rediss://HOST",
		"nats:a":                  "error: want nats://HOST",
		"nats://":                 `error: "" is not HOST or HOST:PORT`,
		"nats://a:b":              `error: "a:b" is not HOST`,
		"redis://a,b":             "error: redis:// takes one host",
		"redis://a/db":            "error: unexpected path after the host: /db",
		"redis://u@a":             "error: redis://USER@HOST has no password",
		"redis://a?creds=" + word: `error: parameter "creds": redis:// takes ca, cert, key, password_file`,
		"redis://a?ca=" + cert:    "error: ca, cert and key need tls:// or rediss://, not redis://",
		"rediss://a?ca=" + word:   "error: ca: " + word + " has no certificate in it",
		"rediss://a?ca=/nowhere":  "error: ca: open /nowhere: no such file or directory",
		"rediss://a?cert=" + cert: "error: cert and key belong together",
		"nats://u:s3cret%zz@a":    "error: the user name or password has a % that is not an escape",
		"nats://u:s3cret@a?password_file=/nowhere2": "error: password_file: open /nowhere2",
	} {
		b, err := Parse(url)
		var got string
		if err != nil {
			got = "error: " + err.Error()
		} else {
			got = b.String()
		}
		if !strings.HasPrefix(got, want) || err == nil && got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
		if strings.Contains(got, "s3cret") {
			t.Errorf("%s: the password is in %q", url, got)
		}
	}
	if b, err := Parse(""); b != nil || err != nil {
		t.Errorf("no url: %v, %v; want no broker", b, err)
	}
}

// TestCredentials: each kind of credentials lets a node connect, and wrong ones
// are named in the error.
func TestCredentials(t *testing.T) {
	cert, key := testservers.Certificate(t)
	word := filepath.Join(t.TempDir(), "word")
	if err := os.WriteFile(word, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		start func(testing.TB, ...string) *testservers.Server
		args  []string
		good  []string // HOST is replaced by the address
		bad   map[string]string
	}{
		{
			"nats with a password", testservers.NATS,
			[]string{"--user", "bell", "--pass", "s3cret"},
			[]string{"nats://bell:s3cret@HOST", "nats://bell@HOST?password_file=" + word},
			map[string]string{"nats://bell:wrong@HOST": "NATS: the broker refused", "nats://HOST": "NATS: the broker refused"},
		},
		{
			"nats with a token", testservers.NATS,
			[]string{"--auth", "s3cret"},
			[]string{"nats://s3cret@HOST"},
			map[string]string{"nats://wrong@HOST": "NATS: the broker refused"},
		},
		{
			"nats with TLS", testservers.NATS,
			[]string{"--tlsverify", "--tlscacert", cert, "--tlscert", cert, "--tlskey", key},
			[]string{"tls://HOST?ca=" + cert + "&cert=" + cert + "&key=" + key},
			map[string]string{"tls://HOST": "certificate", "tls://HOST?ca=" + cert: "connect to NATS"},
		},
		{
			"redis with a password", testservers.Redis,
			[]string{"--requirepass", "s3cret"},
			[]string{"redis://:s3cret@HOST", "redis://HOST?password_file=" + word, "redis://default:s3cret@HOST"},
			map[string]string{"redis://:wrong@HOST": "Redis: the broker refused", "redis://HOST": "Redis: the broker refused"},
		},
		{
			"redis with TLS", testservers.Redis,
			[]string{
				"--port", "0", "--tls-port", "{port}", "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "yes",
			},
			[]string{"rediss://HOST?ca=" + cert + "&cert=" + cert + "&key=" + key},
			map[string]string{"rediss://HOST": "certificate", "redis://HOST": "connect to Redis"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.start(t, c.args...)
			s.Start()
			for _, url := range c.good {
				n := runNode(t, parsed(t, strings.Replace(url, "HOST", s.Addr, 1)), testKey)
				testrun.Eventually(t, url+" is let in", func() bool { return n.Err() == nil })
			}
			for url, want := range c.bad {
				b := parsed(t, strings.Replace(url, "HOST", s.Addr, 1))
				bus := New(Options{Broker: b, Key: testKey, Log: slog.New(slog.DiscardHandler)})
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				err := bus.connected(ctx, &node{Bus: bus})
				if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("%s: %v, want %q in it, and no password", url, err, want)
				}
			}
		})
	}
}
