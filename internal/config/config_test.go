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
		{"too long a heartbeat", "", []string{"DOORBELL_STREAM_HEARTBEAT=2h"}, []string{"stream.heartbeat: 2h0m0s is not from 1s to 1m0s (set by DOORBELL_STREAM_HEARTBEAT)"}},
		{"days", "alerts:\n  retention: 30d\n", nil, []string{`alerts.retention: "30d" is not a duration such as 15s, 10m or 720h; for 30d write 720h`}},
		{"a zone", "time: {zone: Asia/Peking}\nshops: [{id: 1, timezone: CST8}]\n", nil, []string{"time.zone: unknown time zone Asia/Peking; want a name such as Asia/Shanghai", "shops[0].timezone: unknown time zone CST8; want a name such as Asia/Shanghai"}},
		{"Stripe's API key", "pay: {stripe: {secrets: [whsec_0123456789, sk_live_0123456789]}}\n", nil, []string{"pay.stripe.secrets[1]: want the endpoint's signing secret, whsec_…"}},
		{"a secret that is no base64", "pay: {webhook: {secrets: [whsec_short]}}\n", nil, []string{"pay.webhook.secrets[0]: want base64 of 24 to 64 bytes"}},
		{"half of WeChat's public key", "pay: {wechat: {mchid: '1', public_key: k.pem}}\n", nil, []string{"pay.wechat.public_key_id: is missing"}},
		{"the other half", "pay: {wechat: {mchid: '1', public_key_id: PUB_KEY_ID_1}}\n", nil, []string{"pay.wechat.public_key: is missing: the PEM file of PUB_KEY_ID_1"}},
		{"an id that is none", "pay: {wechat: {mchid: '1', public_key: k.pem, public_key_id: '5157F09E'}}\n", nil, []string{`pay.wechat.public_key_id: "5157F09E" does not begin with PUB_KEY_ID_`}},
		{"a further key", "pay: {wechat: {mchid: '1', public_keys: [PUB_KEY_ID_1]}}\n", nil, []string{`pay.wechat.public_keys[0]: "PUB_KEY_ID_1" is not`}},
		{"a serial alone", "pay: {wechat: {mchid: '1', serial: ABC}}\n", nil, []string{"pay.wechat.private_key: is missing"}},
		{"a root certificate alone", "pay: {alipay: {app_id: '1', root_certificate: r.crt}}\n", nil, []string{"pay.alipay.app_certificate: is missing"}},
		{"RS256 without a key", "auth: {algorithm: RS256}\n", nil, []string{"auth.public_key: is missing"}},
		{"RS256 with two", "auth: {algorithm: RS256, public_key: k.pem, jwks_url: 'https://x'}\n", nil, []string{"auth.jwks_url: stands beside auth.public_key"}},
		{"ladders that nobody can climb", "channels: [{name: owner, url: wecom://k}, {name: push, url: ''}]\nescalation: {1: [{after: 40s, to: [boss]}, {after: 25h, to: [wecom://k], repeat: 1s}], x: [{to: []}], default: [{aftr: 1s}]}\n", nil, []string{
			"channels[1].name: \"push\" is the name of push too", "channels[1].url: is missing", "escalation.1[0].to: \"boss\" is neither push", "escalation.1[1].after: 25h", "escalation.1[1].to: takes names", "escalation.1[1].repeat: 1s",
			"escalation.x: want a shop's id", "escalation.x[0].to: is missing", "escalation.default[0].aftr: unknown key",
		}},
		{"hours that nobody can read", "shops: [{id: 1, hours: ['mon-fri 10:00-22:00', 'montag 9-17']}]\n", nil, []string{"shops[0].hours: \"montag 9-17\""}},
		{"a webhook's secret that signs payments", "pay: {webhook: {secrets: [MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=]}}\nwebhooks: [{name: a, url: 'https://x/', secret: whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=}]\n", nil, []string{"webhooks[0].secret: is in pay.webhook.secrets too"}},
		{"accounts", "pay: {wechat: {accounts: [{name: hq, mchid: '1', shops: [0]}, {name: hq, mchid: '1'}, {name: A/b}], sub_merchants: [{sub_mchid: '2'}], mchid: '1'}}\n", nil, []string{
			"pay.wechat.accounts[0].appid: is missing", "pay.wechat.accounts[0].shops: 0 is not", `pay.wechat.accounts[1].name: "hq" stands twice`,
			`pay.wechat.accounts[2].name: "A/b" is not`, "pay.wechat.accounts[2]: has no keys", "pay.wechat.sub_merchants[0].shops: are missing",
		}},
		{"trial beside a real key", "pay:\n  trial: true\n  wechat:\n    mchid: '1'\n", nil, []string{"pay.trial:", "pay.wechat.appid"}},
		{"twice", "log:\n  client_text: true\n  client_text: false\n", nil, []string{"log.client_text: stands twice (line 3)"}},
		{"open to the world", "server:\n  addr: 0.0.0.0:80\nsky:\n  open: true\n", nil, []string{"sky.open:"}},
		{"one secret for both", "sky: {secret: {admin: same, user: same}}\n", nil, []string{"sky.secret.user: is sky.secret.admin too"}},
		{"our secret is theirs", "auth: {secret: 01234567890123456789012345678901}\nsky: {secret: {admin: '01234567890123456789012345678901'}}\n", nil, []string{"sky.secret.admin: is auth.secret too"}},
		{"a header that is none", "sky: {token_names: {admin: Cookie, user: 'a b'}}\n", nil, []string{`sky.token_names.admin: "Cookie"`, `sky.token_names.user: "a b"`}},
		{"a list of sections", "auth:\n  origins: [{a: b}]\n", nil, []string{"auth.origins: want a list of texts"}},
		{"a shop", "shops:\n- {id: 0, nmae: x}\n", nil, []string{"shops[0].nmae: unknown key", "shops[0].id"}},
		{"open to every frame", "server: {addr: \"0.0.0.0:80\"}\nsky: {open: true}\nauth: {origins: [null]}\n", nil, []string{"auth.origins: null beside sky.open"}},
		{"open to every frame behind a proxy", "server: {trusted_proxies: [127.0.0.1]}\nsky: {open: true}\nauth: {origins: [null]}\n", nil, []string{"auth.origins: null beside sky.open"}},
		{"figures where the consoles are", "metrics: {addr: \"127.0.0.1:8080\"}\n", nil, []string{"metrics.addr: 127.0.0.1:8080 is taken"}},
		{"figures nowhere", "metrics: {addr: \"9090\"}\n", nil, []string{"metrics.addr: want HOST:PORT"}},
		{"a format that is none", "log: {format: xml}\n", nil, []string{`log.format: "xml" is neither text nor json`}},
		{"profiles for all", "server: {admin: \"0.0.0.0:6060\"}\n", nil, []string{"server.admin: 0.0.0.0:6060 is not loopback"}},
		{"profiles for whoever comes", "server: {admin: \":6060\"}\n", nil, []string{"server.admin: :6060 is not loopback"}},
		{"profiles where the consoles are", "server: {admin: \"127.0.0.1:8080\"}\n", nil, []string{"server.admin: 127.0.0.1:8080 is taken"}},
		{"profiles nowhere", "server: {admin: \"6060\"}\n", nil, []string{"server.admin: want HOST:PORT"}},
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
		"DOORBELL_SHOPS=[{id: 7, name: 七店}]", "DOORBELL_SREVER_ADDR=x", "DOORBELL_PORT=tcp://10.0.0.1:8080", "DOORBELL_URL=x", "DOORBELL_TEST_X=1", "DOORBELL_TOKEN=secret", "PATH=/bin",
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
	if diff := cmp.Diff([]Stray{{"DOORBELL_PORT", "DOORBELL_SHOPS"}, {"DOORBELL_SREVER_ADDR", "DOORBELL_SERVER_ADDR"}}, got.Unknown); diff != "" {
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

// TestSkySecretsAreWarnedOf where anybody could guess them; they are taken all the
// same.
func TestSkySecretsAreWarnedOf(t *testing.T) {
	for _, c := range []struct {
		secrets SkySecrets
		want    string
	}{
		{SkySecrets{}, ""},
		{SkySecrets{Admin: "itcast", User: "itheima"}, "sky.secret.admin is the tutorial's own, which everybody knows; sky.secret.user is the tutorial's own, which everybody knows"},
		{SkySecrets{Admin: Secret(strings.Repeat("x", 32)), User: "changed"}, "sky.secret.user is shorter than 32 bytes"},
	} {
		if got := strings.Join(c.secrets.Warnings(), "; "); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
