package server

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"

	"doorbell/internal/config"
)

// TestStartScreenHints: each hint names the program as it was called, and none
// is wrong under the settings.
func TestStartScreenHints(t *testing.T) {
	paying := func(c *config.Config) { c.Pay.WeChat.MchID = "1900000001" }
	for _, c := range []struct {
		name     string
		edit     func(*config.Config)
		has, not []string
	}{
		{"on trial", func(*config.Config) {}, []string{"on trial", "./doorbell simulate --config my.yaml", "$(./doorbell token", "./doorbell link", "pay.trial: true while you try", "http://192.168.1.9:8080/ there"}, []string{"go run", "none will be taken"}},
		{"a paying account", paying, []string{"WeChat Pay / 微信", "https://YOUR-HOST/pay/wechat", "set server.addr: 0.0.0.0:8080"}, []string{"pay.trial", "simulate", "trial"}},
		{"open to all without a provider", func(c *config.Config) { c.Server.Addr = "0.0.0.0:8080" }, []string{"none will be taken", "pay.trial: true to try", "http://192.168.1.9:8080/, signed in by: ./doorbell pair"}, []string{"simulate", "only this machine"}},
		{"a trusted proxy ends the trial", func(c *config.Config) { c.Server.TrustedProxies = []string{"127.0.0.1"} }, []string{"none will be taken", "server.public_url"}, []string{"simulate", "0.0.0.0"}},
		{"under a path", func(c *config.Config) {
			paying(c)
			c.Server.BasePath, c.Server.PublicURL = "/bell/", "https://bell.example.com"
			c.Pay.Alipay.AppID, c.Pay.Stripe.Secrets, c.Pay.Webhook.Secrets = "1", []config.Secret{"x"}, []config.Secret{"x"}
		}, []string{"https://bell.example.com/bell/pay/wechat", "/bell/pay/alipay", "/bell/pay/stripe", "/bell/pay/webhook", "open https://bell.example.com/bell/, signed in"}, []string{"com/pay/", "YOUR-HOST"}},
		{"tokens made elsewhere", func(c *config.Config) { c.Auth.Algorithm = "RS256" }, []string{"on trial"}, []string{"./doorbell"}},
	} {
		cfg := config.Default()
		c.edit(&cfg)
		command := func(words string) string { return "./doorbell " + words + " --config my.yaml" }
		text := banner{cfg: cfg, command: command, base: BaseURL(cfg, cfg.Server.Addr), port: "8080", lan: "192.168.1.9"}.text()
		for _, want := range c.has {
			if !strings.Contains(text, want) {
				t.Errorf("%s: the screen lacks %q:\n%s", c.name, want, text)
			}
		}
		for _, bad := range c.not {
			if strings.Contains(text, bad) {
				t.Errorf("%s: the screen says %q:\n%s", c.name, bad, text)
			}
		}
	}
}

// TestNoLinkWhileTheDatabaseIsAway: a server that can't create the link of its start
// screen serves all the same, and says how to get one.
func TestNoLinkWhileTheDatabaseIsAway(t *testing.T) {
	cfg := config.Default()
	cfg.Database.URL = "sqlite://" + t.TempDir() + "/doorbell.db"
	s, err := New(t.Context(), Options{Config: cfg, Log: slog.New(slog.DiscardHandler), Command: func(words string) string { return "doorbell " + words }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // it takes no writes now
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.printBanner(t.Context(), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}, &out); err != nil {
		t.Errorf("the server would end: %v", err)
	}
	if !strings.Contains(out.String(), "doorbell link") {
		t.Errorf("the start screen does not say how to get a link:\n%s", &out)
	}
}
