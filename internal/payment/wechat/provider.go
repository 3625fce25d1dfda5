// Package wechat verifies and answers WeChat Pay's callbacks, queries WeChat Pay
// for orders, reads its settings, and plays WeChat Pay for the simulator.
package wechat

import (
	"context"
	"crypto/rsa"
	"fmt"
	"maps"
	"slices"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
)

const name = "wechat"

// Provider is WeChat Pay with its settings.
type Provider struct{ settings config.WeChat }

// New returns the provider with these settings.
func New(settings config.WeChat) Provider { return Provider{settings} }

// Endpoint implements payment.Provider. WeChat Pay accepts 200 and 204 as success,
// and expects two fields in a failure.
func (p Provider) Endpoint() payment.Endpoint {
	return payment.Endpoint{
		Provider: name, Title: "WeChat Pay / 微信", Paths: []string{"/notify/paySuccess"},
		English: "WeChat Pay posts its payment notices here; set this address as notify_url.",
		Chinese: "微信支付会向此地址 POST 支付通知；请将其设为 notify_url。",
		Taken:   payment.AnswerNoContent, Failed: payment.FailJSON, Forward: p.settings.Forward,
	}
}

// Configured implements payment.Provider.
func (p Provider) Configured() bool { return p.settings.Configured() }

// CheckAmount implements payment.Provider.
func (p Provider) CheckAmount() bool { return p.settings.CheckAmount }

// Accounts implements payment.Provider. A partner has the accounts of its
// sub-merchants.
func (p Provider) Accounts() (out []doorbell.Account) {
	add := func(account string, shops []int64) {
		out = append(out, doorbell.Account{Provider: name, Name: account, Shops: payment.ShopIDs(shops)})
	}
	all := p.settings.All()
	for _, w := range all {
		if len(w.SubMerchants) == 0 {
			add(w.Name, w.Shops)
		}
		for _, sub := range w.SubMerchants {
			add(w.Name+"/"+sub.MchID, sub.Shops)
		}
	}
	if len(all) == 0 { // in a trial; otherwise no verifier uses it
		add("", nil)
		add(TrialPartner+"/"+TrialSubMerchant, nil)
	}
	return out
}

// Verifiers implements payment.Provider.
func (p Provider) Verifiers() ([]payment.Named, error) {
	return payment.LoadEach(name, p.settings.All(), func(w config.WeChatAccount) (string, payment.Verifier, error) {
		account, err := accountOf(w.WeChat)
		if err != nil {
			return w.Name, nil, err
		}
		v, err := NewVerifier(account)
		return w.Name, v, payment.Under("api_v3_key", err)
	})
}

// Queriers implements payment.Provider.
func (p Provider) Queriers(ctx context.Context) (out []payment.AskedAccount, err error) {
	for i, w := range p.settings.All() {
		if w.PrivateKey == "" {
			continue
		}
		q, err := querierOf(ctx, w.WeChat)
		if err != nil {
			return nil, payment.FaultOf(name, i, w.Name, err)
		}
		if len(w.SubMerchants) == 0 {
			out = append(out, payment.AskedAccount{Name: w.Name, Shops: payment.ShopIDs(w.Shops), Querier: q})
		}
		for _, sub := range w.SubMerchants {
			out = append(out, payment.AskedAccount{Name: w.Name + "/" + sub.MchID, Shops: payment.ShopIDs(sub.Shops), Querier: q.ForSub(sub.MchID)})
		}
	}
	return out, nil
}

// KeyFiles implements payment.Provider.
func (p Provider) KeyFiles() (files []string) {
	for _, w := range p.settings.All() {
		files = slices.Concat(files, w.Certificates, slices.Collect(maps.Values(w.KeyFiles())), []string{w.PrivateKey})
	}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

// accountOf reads the keys that the settings name.
func accountOf(w config.WeChat) (Account, error) {
	account := Account{
		MchID: w.MchID, AppID: w.AppID, APIv3Key: string(w.APIv3Key), PublicKeys: map[string]*rsa.PublicKey{}, CheckAmount: w.CheckAmount,
	}
	for _, sub := range w.SubMerchants {
		if account.SubMerchants == nil {
			account.SubMerchants = map[string]string{}
		}
		account.SubMerchants[sub.MchID] = sub.AppID
	}
	var err error
	if account.Certificates, err = payment.LoadCertificates(w.Certificates); err != nil {
		return account, fmt.Errorf("certificates: %w", err)
	}
	for id, file := range w.KeyFiles() {
		if account.PublicKeys[id], err = payment.LoadPublicKey(file); err != nil {
			key := "public_keys"
			if id == w.PublicKeyID {
				key = "public_key"
			}
			return account, fmt.Errorf("%s: %w", key, err)
		}
	}
	return account, nil
}

func querierOf(ctx context.Context, w config.WeChat) (*Querier, error) {
	account, err := accountOf(w)
	if err != nil {
		return nil, err
	}
	key, err := payment.LoadPrivateKey(w.PrivateKey)
	if err != nil {
		return nil, payment.Under("private_key", err)
	}
	return NewQuerier(ctx, account, Asking{Key: key, Serial: w.Serial, API: w.APIURL})
}
