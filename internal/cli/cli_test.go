package cli

import (
	"bytes"
	"context"
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
	return inFolderUntil(t.Context(), t, config, args...)
}

func inFolderUntil(ctx context.Context, t *testing.T, config string, args ...string) (string, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if config != "" {
		if err := os.WriteFile("config.yaml", []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	err := run(ctx, args, &out)
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
		{"a token without a secret", "", []string{"token", "--role", "console", "--shops", "1"}, 1, filepath.Join("data", "auth.secret")},
		{"a token without shops", "", []string{"token", "--role", "console"}, 2, "--shops"},
		{"a strange role", "", []string{"token", "--role", "king", "--shops", "1"}, 2, "king"},
		{"a customer without a number", "", []string{"token", "--role", "customer", "--sub", "bob"}, 2, "--sub"},
		{"simulate without a server", "server: {addr: \"127.0.0.1:1\"}\n", []string{"simulate"}, 1, "Start the server once"},
		{"no such provider", testSecret, []string{"simulate", "--provider", "cash"}, 2, "there are wechat, alipay, stripe, webhook and all"},
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

// TestLeftOverWordsAreRefused: by every command alike, before it does anything.
func TestLeftOverWordsAreRefused(t *testing.T) {
	lines := [][]string{{"help"}, {"inbox", "list"}, {"inbox", "show"}, {"inbox", "replay"}, {"webhooks", "list"}, {"webhooks", "replay"}, {"bench", "floor"}}
	for _, c := range commands() {
		switch c.name {
		case "inbox", "webhooks": // their first word is an action
		case "backup", "restore":
			lines = append(lines, []string{c.name, "file.db"})
		default:
			lines = append(lines, []string{c.name})
		}
	}
	for _, line := range lines {
		t.Run(strings.Join(line, " "), func(t *testing.T) {
			out, err := inFolder(t, "", append(line, "now")...)
			if exitCode(err) != 2 || !strings.Contains(err.Error(), `unexpected argument "now"`) {
				t.Errorf("exit %d with %v, want 2 and the word named", exitCode(err), err)
			}
			if _, err := os.Stat("data"); err == nil || out != "" {
				t.Errorf("it ran: printed %q", out)
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

// TestEveryHelpExitsZero: -h and --help of every command explain its flags and
// make nothing; a fault prints no help, where nobody finds the fault again.
func TestEveryHelpExitsZero(t *testing.T) {
	lines := [][]string{{}, {"help"}, {"inbox", "list"}, {"inbox", "show"}, {"inbox", "replay"}, {"webhooks", "list"}, {"webhooks", "replay"}, {"bench", "floor"}}
	for _, c := range commands() {
		lines = append(lines, []string{c.name})
	}
	for _, line := range lines {
		for _, flag := range []string{"-h", "--help"} {
			out, err := inFolder(t, "", append(line, flag)...)
			want := "-config"
			if len(line) == 0 {
				want = "Exit codes"
			}
			if exitCode(err) != 0 || !strings.Contains(out, want) {
				t.Errorf("%v %s: exit %d with %v, printed %q; want 0 and the flags", line, flag, exitCode(err), err, out)
			}
			if _, err := os.Stat("data"); err == nil {
				t.Errorf("%v %s made the data folder", line, flag)
			}
		}
		if len(line) == 0 {
			continue
		}
		out, err := inFolder(t, "", append(line, "--no-such-flag")...)
		if exitCode(err) != 2 || out != "" || !strings.Contains(err.Error(), " -h") {
			t.Errorf("%v --no-such-flag: exit %d with %v, printed %q; want 2 and where the help is", line, exitCode(err), err, out)
		}
	}
}

// TestDurationsOfTheCommandLine: 7d is told how it is written.
func TestDurationsOfTheCommandLine(t *testing.T) {
	_, err := inFolder(t, "", "token", "--role", "console", "--shops", "1", "--ttl", "7d")
	if exitCode(err) != 2 || !strings.Contains(err.Error(), "for 7d write 168h") {
		t.Errorf("exit %d with %v, want 2 and an example", exitCode(err), err)
	}
}
