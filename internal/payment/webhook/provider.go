// Package webhook serves shops whose payment provider is not supported: it
// verifies and answers callbacks signed by Standard Webhooks, reads the settings,
// and has a player for the simulator. It can't query payments.
package webhook

import (
	"context"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
)

const name = "webhook"

// Provider is a shop's own system that signs by Standard Webhooks, with its
// settings.
type Provider struct{ settings config.Secrets }

// New returns the provider with these settings.
func New(settings config.Secrets) Provider { return Provider{settings} }

// Endpoint implements payment.Provider. The sender looks at the status alone.
func (Provider) Endpoint() payment.Endpoint {
	return payment.Endpoint{
		Provider: name, Title: "Webhook",
		English: "Callbacks signed after Standard Webhooks are posted here.",
		Chinese: "按 Standard Webhooks 签名的回调请 POST 到此地址。",
		Taken:   payment.AnswerNoContent, Failed: payment.FailJSON,
	}
}

// Configured implements payment.Provider.
func (p Provider) Configured() bool { return len(p.settings.Secrets) > 0 }

// CheckAmount implements payment.Provider.
func (p Provider) CheckAmount() bool { return p.settings.CheckAmount }

// Accounts implements payment.Provider: one account serves all shops.
func (Provider) Accounts() []doorbell.Account { return []doorbell.Account{{Provider: name}} }

// Verifiers implements payment.Provider.
func (p Provider) Verifiers() ([]payment.Named, error) {
	if !p.Configured() {
		return nil, nil
	}
	return payment.LoadEach(name, []config.Secrets{p.settings}, func(s config.Secrets) (string, payment.Verifier, error) {
		v, err := NewVerifier(s.Plain(), s.CheckAmount)
		return "", v, payment.Under("secrets", err)
	})
}

// Queriers implements payment.Provider: there are none.
func (Provider) Queriers(context.Context) ([]payment.AskedAccount, error) { return nil, nil }

// KeyFiles implements payment.Provider: the secrets are in the settings.
func (Provider) KeyFiles() []string { return nil }
