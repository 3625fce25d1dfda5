package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inFolder runs a command line in a folder of its own.
func inFolder(t *testing.T, config string, args ...string) (string, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if config != "" {
		if err := os.WriteFile("config.yaml", []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	err := run(t.Context(), args, &out)
	return out.String(), err
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		name, config string
		args         []string
		code         int
		says         string
	}{
		{"an unknown key", "strem: {}\n", nil, 2, "strem: unknown key"},
		{"every fault at once", "stream: {heartbeat: 2h}\nreminder: {statuses: [1]}\n", nil, 2, "reminder.statuses"},
		{"a bad template", "alerts: {text: {\"1\": \"{{.Nmuber}}\"}}\n", nil, 2, "alerts.text.1"},
		{"a bad cron", "announce: {cron: \"* *\"}\n", nil, 2, "announce.cron"},
		{"a bad announcement", "announce: {cron: \"0/5 * * * * ?\", text: \"{{.Tmie}}\"}\n", nil, 2, "announce.text"},
		{"a certificate that is not there", "pay: {wechat: {mchid: \"1\", appid: a, api_v3_key: 01234567890123456789012345678901, certificates: [none.pem]}}\n", nil, 2, "pay.wechat.certificates"},
		{"trial beside a real account", "pay: {trial: true, wechat: {mchid: \"1\"}}\n", nil, 2, "pay.trial"},
		{"no such file", "", []string{"serve", "--config", "none.yaml"}, 2, "none.yaml"},
		{"no such command", "", []string{"dance"}, 2, `no command "dance"`},
		{"no such flag", "", []string{"token", "--rolle", "x"}, 2, "rolle"},
		{"a word too many", "", []string{"version", "now"}, 0, ""},
		{"a token without a secret", "", []string{"token", "--role", "console", "--shops", "1"}, 1, filepath.Join("data", "auth.secret")},
		{"a token without shops", "", []string{"token", "--role", "console"}, 2, "--shops"},
		{"a strange role", "", []string{"token", "--role", "king", "--shops", "1"}, 2, "king"},
		{"a customer without a number", "", []string{"token", "--role", "customer", "--sub", "bob"}, 2, "--sub"},
		{"simulate without a server", "", []string{"simulate"}, 1, "start it first"},
		{"simulate with a real account", "pay: {wechat: {mchid: \"1\", appid: a, api_v3_key: 01234567890123456789012345678901, public_key: k, public_key_id: PUB_KEY_ID_1}}\n", []string{"simulate"}, 1, "not on trial"},
		{"watch over nothing", "", []string{"watch", "--transport", "pigeon"}, 2, "pigeon"},
		{"help", "", []string{"help"}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := inFolder(t, c.config, c.args...)
			if exitCode(err) != c.code || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("exit %d with %v, want %d saying %q", exitCode(err), err, c.code, c.says)
			}
			if _, err := os.Stat("data"); err == nil && c.code == 2 {
				t.Error("a refused configuration has made the data folder")
			}
		})
	}
}

func TestTokenPrintsTheTokenOnly(t *testing.T) {
	out, err := inFolder(t, "auth: {secret: 0123456789012345678901234567890123456789}\n", "token", "--role", "service", "--shops", "1,2", "--sub", "backend")
	if err != nil || strings.Count(out, ".") != 2 || strings.Count(out, "\n") != 1 {
		t.Errorf("printed %q, %v; want one JWT on a line", out, err)
	}
}
