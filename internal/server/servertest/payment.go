package servertest

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"doorbell/internal/config"
	"doorbell/internal/payment/alipay"
	"doorbell/internal/payment/providers"
	"doorbell/internal/payment/stripe"
	"doorbell/internal/payment/webhook"
	"doorbell/internal/payment/wechat"
)

var players = sync.OnceValues(providers.NewPlayers) // RSA keys take their time

// Players returns the providers that the servers of this process believe.
func Players(t testing.TB) *providers.Players {
	t.Helper()
	p, err := players()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// WeChat returns the settings of an account that the player signs for.
func WeChat(t testing.TB, p *wechat.Player) config.WeChat {
	t.Helper()
	dir, w := t.TempDir(), config.Default().Pay.WeChat
	w.MchID, w.AppID, w.APIv3Key, w.PublicKeyID = p.MchID, p.AppID, config.Secret(p.APIv3Key), p.KeyID
	w.PublicKey = publicKey(t, dir, &p.Key.PublicKey)
	w.Certificates = []string{keep(t, dir, "CERTIFICATE", p.Certificate.Raw)}
	return w
}

// Alipay returns the settings of an account that the player signs for.
func Alipay(t testing.TB, p *alipay.Player) config.Alipay {
	t.Helper()
	a := config.Default().Pay.Alipay
	a.AppID, a.SellerID = p.AppID, p.SellerID
	a.PublicKeys = []string{publicKey(t, t.TempDir(), &p.Key.PublicKey)}
	return a
}

// Stripe returns the settings of an endpoint that the player signs for.
func Stripe(p *stripe.Player) config.Stripe {
	s := config.Default().Pay.Stripe
	s.Secrets = []config.Secret{config.Secret(p.Secret)}
	return s
}

// Webhook returns the settings of a system that the player signs for.
func Webhook(p *webhook.Player) config.Secrets {
	s := config.Default().Pay.Webhook
	s.Secrets = []config.Secret{config.Secret(p.Secret)}
	return s
}

func publicKey(t testing.TB, dir string, key *rsa.PublicKey) (file string) {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return keep(t, dir, "PUBLIC KEY", der)
}

// keep writes a PEM file, called as what is in it.
func keep(t testing.TB, dir, kind string, der []byte) (file string) {
	t.Helper()
	file = filepath.Join(dir, kind+".pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
