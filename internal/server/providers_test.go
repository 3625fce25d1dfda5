package server

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"doorbell/internal/config"
)

// TestAWrongKeyFileIsCalledWhatItIs, under the key of the settings that names it.
func TestAWrongKeyFileIsCalledWhatItIs(t *testing.T) {
	dir := t.TempDir()
	private, public, certificate := keyFilesOfAllKinds(t, dir)
	account := func(edit func(*config.Config)) config.Config {
		cfg := config.Default()
		w := &cfg.Pay.WeChat
		w.MchID, w.AppID, w.APIv3Key, w.PublicKey, w.PublicKeyID = "1", "a", "01234567890123456789012345678901", public, "PUB_KEY_ID_1"
		edit(&cfg)
		return cfg
	}
	for _, c := range []struct {
		says string
		edit func(*config.Config)
	}{
		{"pay.wechat.public_key: " + private + " is a private key; want the provider's public key", func(c *config.Config) { c.Pay.WeChat.PublicKey = private }},
		{"pay.wechat.public_key: " + certificate + " is a certificate", func(c *config.Config) { c.Pay.WeChat.PublicKey = certificate }},
		{"pay.wechat.public_keys: " + private + " is a private key", func(c *config.Config) { c.Pay.WeChat.PublicKeys = []string{"PUB_KEY_ID_2=" + private} }},
		{"pay.wechat.certificates: " + public + " is a public key; want a certificate", func(c *config.Config) { c.Pay.WeChat.Certificates = []string{public} }},
		{"pay.wechat.private_key: " + public + " is a public key; want your own private key", func(c *config.Config) { c.Pay.WeChat.PrivateKey, c.Pay.WeChat.Serial = public, "1" }},
		{"pay.alipay.public_keys: " + private + " is a private key", func(c *config.Config) {
			c.Pay.Alipay.AppID, c.Pay.Alipay.SellerID, c.Pay.Alipay.PublicKeys = "1", "2088", []string{private}
		}},
		{"pay.alipay.app_certificate: " + public, func(c *config.Config) {
			a := &c.Pay.Alipay
			a.AppID, a.SellerID, a.PublicKeys, a.PrivateKey, a.AppCertificate, a.RootCertificate = "1", "2088", []string{public}, private, public, certificate
		}},
		{"auth.public_key: " + private + " is a private key", func(c *config.Config) { c.Auth.Algorithm, c.Auth.PublicKey = "RS256", private }},
	} {
		cfg := account(c.edit)
		cfg.Database.URL = "sqlite://" + filepath.Join(dir, "doorbell.db")
		a, err := New(t.Context(), testOptions(cfg, slog.New(slog.DiscardHandler)))
		if err == nil {
			_ = a.Close() // it should not be open
		}
		if !isFault(err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v (a fault of the settings: %v), want one saying %q", err, isFault(err), c.says)
		}
	}
}
