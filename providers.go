package main

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"doorbell/internal/config"
	"doorbell/internal/payment"
	"doorbell/internal/payment/paysim"
)

// loadVerifiers has one for each configured provider, by its name; on trial
// those of the simulator, and its in no other case.
func loadVerifiers(cfg config.Config) (map[string]payment.Verifier, error) {
	out := map[string]payment.Verifier{}
	if cfg.OnTrial() {
		providers, err := paysim.Ensure(dataDir(cfg))
		if err != nil {
			return nil, err
		}
		account := providers.WeChat.Account()
		account.CheckAmount = cfg.Pay.WeChat.CheckAmount
		if out["wechat"], err = payment.NewWeChat(account); err != nil {
			return nil, err
		}
		for _, p := range providers.All()[1:] {
			if out[p.Name()], err = p.Verifier(); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	faults := []error{}
	add := func(key string, configured bool, load func() (payment.Verifier, error)) {
		if !configured {
			return
		}
		v, err := load()
		if err != nil {
			faults = append(faults, fmt.Errorf("pay.%s.%w", key, err)) // err begins with the key's last part
			return
		}
		out[key] = v
	}
	pay := cfg.Pay
	add("wechat", pay.WeChat.Configured(), func() (payment.Verifier, error) {
		account, err := weChatAccount(pay.WeChat)
		if err != nil {
			return nil, err
		}
		v, err := payment.NewWeChat(account)
		return v, under("api_v3_key", err)
	})
	add("alipay", pay.Alipay.Configured(), func() (payment.Verifier, error) {
		account, err := alipayAccount(pay.Alipay)
		if err != nil {
			return nil, err
		}
		v, err := payment.NewAlipay(account)
		return v, under("certificates", err)
	})
	add("stripe", len(pay.Stripe.Secrets) > 0, func() (payment.Verifier, error) {
		v, err := payment.NewStripe(pay.Stripe.Plain(), pay.Stripe.CheckAmount)
		return v, under("secrets", err)
	})
	add("webhook", len(pay.Webhook.Secrets) > 0, func() (payment.Verifier, error) {
		v, err := payment.NewWebhook(pay.Webhook.Plain(), pay.Webhook.CheckAmount)
		return v, under("secrets", err)
	})
	if err := errors.Join(faults...); err != nil {
		return nil, usageError{err}
	}
	return out, nil
}

// under names the key whose value is at fault.
func under(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", key, err)
}

// weChatAccount reads the keys that the settings name.
func weChatAccount(w config.WeChat) (payment.Account, error) {
	account := payment.Account{
		MchID: w.MchID, AppID: w.AppID, APIv3Key: string(w.APIv3Key), PublicKeys: map[string]*rsa.PublicKey{}, CheckAmount: w.CheckAmount,
	}
	var err error
	if account.Certificates, err = payment.LoadCertificates(w.Certificates); err != nil {
		return account, fmt.Errorf("certificates: %w", err)
	}
	for id, file := range w.KeyFiles() {
		if account.PublicKeys[id], err = payment.LoadPublicKey(file); err != nil {
			return account, fmt.Errorf("public_key: %w", err)
		}
	}
	return account, nil
}

// alipayAccount reads the keys that the settings name.
func alipayAccount(a config.Alipay) (payment.AlipayAccount, error) {
	account := payment.AlipayAccount{AppID: a.AppID, SellerID: a.SellerID, CheckAmount: a.CheckAmount}
	var err error
	if account.Certificates, err = payment.LoadCertificates(a.Certificates); err != nil {
		return account, fmt.Errorf("certificates: %w", err)
	}
	for _, file := range a.PublicKeys {
		key, err := payment.LoadPublicKey(file)
		if err != nil {
			return account, fmt.Errorf("public_keys: %w", err)
		}
		account.PublicKeys = append(account.PublicKeys, key)
	}
	return account, nil
}

// loadQueriers has one for each provider that can be asked: the merchant's own
// key is there to sign the questions.
func loadQueriers(ctx context.Context, cfg config.Config) ([]payment.Querier, error) {
	var out []payment.Querier
	if w := cfg.Pay.WeChat; w.PrivateKey != "" {
		q, err := weChatQuery(ctx, w)
		if err != nil {
			return nil, usageError{fmt.Errorf("pay.wechat.%w", err)}
		}
		out = append(out, q)
	}
	if a := cfg.Pay.Alipay; a.PrivateKey != "" {
		q, err := alipayQuery(a)
		if err != nil {
			return nil, usageError{fmt.Errorf("pay.alipay.%w", err)}
		}
		out = append(out, q)
	}
	return out, nil
}

func weChatQuery(ctx context.Context, w config.WeChat) (payment.Querier, error) {
	account, err := weChatAccount(w)
	if err != nil {
		return nil, err
	}
	key, err := payment.LoadPrivateKey(w.PrivateKey)
	if err != nil {
		return nil, under("private_key", err)
	}
	return payment.NewWeChatQuery(ctx, account, payment.Asking{Key: key, Serial: w.Serial, API: w.APIURL})
}

func alipayQuery(a config.Alipay) (payment.Querier, error) {
	account, err := alipayAccount(a)
	if err != nil {
		return nil, err
	}
	key, err := payment.LoadPrivateKey(a.PrivateKey)
	if err != nil {
		return nil, under("private_key", err)
	}
	return payment.NewAlipayQuery(account, payment.Asking{
		Key: key, API: a.APIURL, AppCertificate: a.AppCertificate, RootCertificate: a.RootCertificate,
	})
}

// lookForKeys is how often the files of keys are looked at: WeChat replaces a
// platform certificate a day before it signs with the new one.
const lookForKeys = 5 * time.Second

// reloadKeys reads the providers' key files again on SIGHUP and when one of
// them changed. Keys that can't be read leave those in use where they are.
func (a *app) reloadKeys(ctx context.Context) error {
	files := keyFiles(a.cfg.Pay)
	if !a.cfg.Pay.Configured() { // a terminal that closes ends the server, as it ends any program
		return nil
	}
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	defer signal.Stop(hangUp)
	tick := time.NewTicker(lookForKeys)
	defer tick.Stop()
	for seen := stamps(files); ; {
		asked := false
		select {
		case <-ctx.Done():
			return nil
		case <-hangUp:
			asked = true
		case <-tick.C:
		}
		now := stamps(files)
		if !asked && maps.Equal(seen, now) {
			continue
		}
		seen = now
		a.replaceKeys(ctx)
	}
}

func (a *app) replaceKeys(ctx context.Context) {
	verifiers, err := loadVerifiers(a.cfg)
	queriers, err2 := loadQueriers(ctx, a.cfg)
	if err := errors.Join(err, err2); err != nil {
		a.log.ErrorContext(ctx, "payment keys not read again; those in use stay", "error", err)
		return
	}
	for provider, v := range verifiers {
		a.gates[provider].Replace(v)
	}
	a.reconciler.Replace(queriers)
	a.log.InfoContext(ctx, "payment keys read again")
}

// keyFiles are all that the settings name.
func keyFiles(p config.Pay) []string {
	files := slices.Concat(p.WeChat.Certificates, slices.Collect(maps.Values(p.WeChat.KeyFiles())), p.Alipay.PublicKeys, p.Alipay.Certificates,
		[]string{p.WeChat.PrivateKey, p.Alipay.PrivateKey, p.Alipay.AppCertificate, p.Alipay.RootCertificate})
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

// stamp tells a file from another: a mount in Kubernetes changes the link's
// target, an editor the file.
type stamp struct {
	size int64
	at   time.Time
}

func stamps(files []string) map[string]stamp {
	out := map[string]stamp{}
	for _, f := range files {
		if info, err := os.Stat(f); err == nil { // one that is gone is told when it is read
			out[f] = stamp{info.Size(), info.ModTime()}
		}
	}
	return out
}
