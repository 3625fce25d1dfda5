// Package alipay verifies and answers Alipay's notices, queries Alipay for orders,
// reads its settings, and plays Alipay for the simulator.
package alipay

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
)

const name = "alipay"

// Provider is Alipay with its settings.
type Provider struct{ settings config.Alipay }

// New returns the provider with these settings.
func New(settings config.Alipay) Provider { return Provider{settings} }

// Endpoint implements payment.Provider.
func (Provider) Endpoint() payment.Endpoint {
	return payment.Endpoint{
		Provider: name, Title: "Alipay / 支付宝",
		English: "Alipay posts its asynchronous notices here; set this address as notify_url.",
		Chinese: "支付宝会向此地址 POST 异步通知；请将其设为 notify_url。",
		Taken:   answerSuccess, Failed: answerFailure,
	}
}

// answerSuccess answers with the seven bytes that mean success; Alipay looks at
// the body alone.
func answerSuccess(w http.ResponseWriter) { answerText(w, http.StatusOK, "success") }

func answerFailure(w http.ResponseWriter, status int, message string) {
	answerText(w, status, "fail: "+message)
}

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // if Alipay hung up, it calls again
}

// Configured implements payment.Provider.
func (p Provider) Configured() bool { return p.settings.Configured() }

// CheckAmount implements payment.Provider.
func (p Provider) CheckAmount() bool { return p.settings.CheckAmount }

// Accounts implements payment.Provider.
func (p Provider) Accounts() (out []doorbell.Account) {
	for _, a := range p.settings.All() {
		out = append(out, doorbell.Account{Provider: name, Name: a.Name, Shops: payment.ShopIDs(a.Shops)})
	}
	return out
}

// Verifiers implements payment.Provider.
func (p Provider) Verifiers() ([]payment.Named, error) {
	return payment.LoadEach(name, p.settings.All(), func(a config.AlipayAccount) (string, payment.Verifier, error) {
		account, err := accountOf(a.Alipay)
		if err != nil {
			return a.Name, nil, err
		}
		v, err := NewVerifier(account)
		return a.Name, v, payment.Under("certificates", err)
	})
}

// Queriers implements payment.Provider.
func (p Provider) Queriers(context.Context) (out []payment.AskedAccount, err error) {
	for i, a := range p.settings.All() {
		if a.PrivateKey == "" {
			continue
		}
		q, err := querierOf(a.Alipay)
		if err != nil {
			return nil, payment.FaultOf(name, i, a.Name, err)
		}
		out = append(out, payment.AskedAccount{Name: a.Name, Shops: payment.ShopIDs(a.Shops), Querier: q})
	}
	return out, nil
}

// KeyFiles implements payment.Provider.
func (p Provider) KeyFiles() (files []string) {
	for _, a := range p.settings.All() {
		files = slices.Concat(files, a.PublicKeys, a.Certificates, []string{a.PrivateKey, a.AppCertificate, a.RootCertificate})
	}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

// accountOf reads the keys that the settings name.
func accountOf(a config.Alipay) (Account, error) {
	account := Account{AppID: a.AppID, SellerID: a.SellerID, CheckAmount: a.CheckAmount}
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

func querierOf(a config.Alipay) (*Querier, error) {
	account, err := accountOf(a)
	if err != nil {
		return nil, err
	}
	key, err := payment.LoadPrivateKey(a.PrivateKey)
	if err != nil {
		return nil, payment.Under("private_key", err)
	}
	return NewQuerier(account, Asking{
		Key: key, API: a.APIURL, AppCertificate: a.AppCertificate, RootCertificate: a.RootCertificate,
	})
}
