package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestShippedFileEqualsDefaults also holds that the file names every key.
func TestShippedFileEqualsDefaults(t *testing.T) {
	got, err := Load("../../config.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	empty := cmp.Comparer(func(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") })
	shops := cmp.Comparer(func(a, b []Shop) bool { return len(a) == len(b) })
	if diff := cmp.Diff(Default(), got.Config, empty, shops); diff != "" {
		t.Errorf("config.yaml differs from the built-in defaults (-built-in +file):\n%s", diff)
	}
	text, err := os.ReadFile("../../config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	lines := len(strings.Split(string(text), "\n"))
	stripped := decodeKeys(t, string(text))
	visitAll(func(path string) {
		if !stripped[path] {
			t.Errorf("config.yaml (%d lines) does not name %s", lines, path)
		}
	})
}

func TestFaultsAreNamed(t *testing.T) {
	for _, c := range []struct {
		name, text string
		env        []string
		want       []string
	}{
		{"unknown key", "stream:\n  heartbaet: 20s\n", nil, []string{"stream.heartbaet: unknown key (line 2)", "heartbeat"}},
		{"bad duration", "stream:\n  heartbeat: soon\n", nil, []string{`stream.heartbeat: "soon" is not a duration`}},
		{"several at once", "server:\n  addr: nowhere\nreminder:\n  statuses: [9]\nwrong: 1\n", nil, []string{"server.addr:", "reminder.statuses:", "wrong: unknown key"}},
		{"short secret", "auth:\n  secret: short\n", nil, []string{"auth.secret: has 5 bytes"}},
		{"environment", "", []string{"DOORBELL_STREAM_HEARTBEAT=never"}, []string{"DOORBELL_STREAM_HEARTBEAT"}},
		{"too long a heartbeat", "", []string{"DOORBELL_STREAM_HEARTBEAT=2h"}, []string{"stream.heartbeat: 2h0m0s is not from 1s to 1m0s"}},
		{"trial beside a real key", "pay:\n  trial: true\n  wechat:\n    mchid: '1'\n", nil, []string{"pay.trial:", "pay.wechat.appid"}},
		{"twice", "log:\n  client_text: true\n  client_text: false\n", nil, []string{"log.client_text: stands twice (line 3)"}},
		{"open to the world", "server:\n  addr: 0.0.0.0:80\nsky:\n  open: true\n", nil, []string{"sky.open:"}},
		{"a list of sections", "auth:\n  origins: [{a: b}]\n", nil, []string{"auth.origins: want a list of texts"}},
		{"a shop", "shops:\n- {id: 0, nmae: x}\n", nil, []string{"shops[0].nmae: unknown key", "shops[0].id"}},
		{"not a section", "server: 80\n", nil, []string{"server: want a section"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "c.yaml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(file, c.env)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want it to say %q", err, want)
				}
			}
		})
	}
}

func TestEnvironmentOverrides(t *testing.T) {
	got, err := Load(filepath.Join("..", "..", "config.yaml"), []string{
		"DOORBELL_SERVER_ADDR=127.0.0.1:9000", "DOORBELL_AUTH_ORIGINS=https://a.example, null", "DOORBELL_REMINDER_STATUSES=2",
		"DOORBELL_STREAM_HEARTBEAT=3s", "DOORBELL_SKY_OPEN=true", "DOORBELL_CONSOLE_SPEECH_1_ZH=来了", "DOORBELL_PAY_WECHAT_MCHID=",
		"DOORBELL_SHOPS=[{id: 7, name: 七店}]", "DOORBELL_NO_SUCH=1", "DOORBELL_TEST_X=1", "DOORBELL_TOKEN=secret", "PATH=/bin",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Server.Addr, want.Auth.Origins, want.Reminder.Statuses = "127.0.0.1:9000", []string{"https://a.example", "null"}, []int{2}
	want.Stream.Heartbeat, want.Sky.Open, want.Console.Speech.NewOrder.Chinese = 3*time.Second, true, "来了"
	want.Shops = []Shop{{ID: 7, Name: "七店"}}
	empty := cmp.Comparer(func(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") })
	if diff := cmp.Diff(want, got.Config, empty); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"DOORBELL_NO_SUCH"}, got.Unknown); diff != "" {
		t.Errorf("unknown (-want +got):\n%s", diff)
	}
}

// TestOriginNull: in YAML null is nothing, here it is the origin of a page that
// was opened from disk.
func TestOriginNull(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("auth: {origins: [null, https://a.example]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Load(file, nil)
	if diff := cmp.Diff([]string{"null", "https://a.example"}, got.Auth.Origins); diff != "" || err != nil {
		t.Errorf("origins (-want +got), %v:\n%s", err, diff)
	}
}

func TestTrial(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Config)
		want bool
	}{
		{"as shipped", func(*Config) {}, true},
		{"a real account", func(c *Config) { c.Pay.WeChat.MchID = "1" }, false},
		{"reachable from outside", func(c *Config) { c.Server.Addr = "0.0.0.0:8080" }, false},
		{"no host is every address", func(c *Config) { c.Server.Addr = ":8080" }, false},
		{"behind a proxy", func(c *Config) { c.Server.TrustedProxies = []string{"127.0.0.1"} }, false},
		{"asked for on staging", func(c *Config) { c.Server.Addr = ":8080"; c.Pay.Trial = true }, true},
	} {
		cfg := Default()
		if c.edit(&cfg); cfg.OnTrial() != c.want {
			t.Errorf("%s: on trial %v, want %v", c.name, cfg.OnTrial(), c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("stream:\n  heartbeat: 3s\n")
	f.Add("shops: [{id: 1}]")
	f.Fuzz(func(_ *testing.T, text string) {
		c := Default()
		_ = decode([]byte(text), &c)
	})
}
