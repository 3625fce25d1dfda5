// Package stripe verifies and answers Stripe's events, reads its settings, and
// plays Stripe for the simulator. Stripe is not queried about payments.
package stripe

import (
	"context"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
)

const name = "stripe"

// Provider is Stripe with its settings.
type Provider struct{ settings config.Stripe }

// New returns the provider with these settings.
func New(settings config.Stripe) Provider { return Provider{settings} }

// Endpoint implements payment.Provider. Stripe looks at the status alone.
func (Provider) Endpoint() payment.Endpoint {
	return payment.Endpoint{
		Provider: name, Title: "Stripe",
		English: "Stripe posts its events here; add this address as a webhook endpoint.",
		Chinese: "Stripe 会向此地址 POST 事件；请将其添加为 webhook 端点。",
		Taken:   payment.AnswerNoContent, Failed: payment.FailJSON,
	}
}

// Configured implements payment.Provider.
func (p Provider) Configured() bool { return p.settings.Configured() }

// CheckAmount implements payment.Provider.
func (p Provider) CheckAmount() bool { return p.settings.CheckAmount }

// Accounts implements payment.Provider.
func (p Provider) Accounts() (out []doorbell.Account) {
	for _, s := range p.settings.All() {
		out = append(out, doorbell.Account{Provider: name, Name: s.Name, Shops: payment.ShopIDs(s.Shops)})
	}
	return out
}

// Verifiers implements payment.Provider.
func (p Provider) Verifiers() ([]payment.Named, error) {
	return payment.LoadEach(name, p.settings.All(), func(s config.StripeAccount) (string, payment.Verifier, error) {
		v, err := NewVerifier(Account{Secrets: s.Plain(), Connected: s.Connected, TestMode: s.TestMode, CheckAmount: s.CheckAmount})
		return s.Name, v, payment.Under("secrets", err)
	})
}

// Queriers implements payment.Provider: there are none.
func (Provider) Queriers(context.Context) ([]payment.AskedAccount, error) { return nil, nil }

// KeyFiles implements payment.Provider: the secrets are in the settings.
func (Provider) KeyFiles() []string { return nil }
