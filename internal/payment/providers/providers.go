// Package providers holds the only list of payment providers.
package providers

import (
	"doorbell/internal/config"
	"doorbell/internal/payment"
	"doorbell/internal/payment/alipay"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/stripe"
	"doorbell/internal/payment/webhook"
	"doorbell/internal/payment/wechat"
)

// All returns every provider with its settings, in the order of the start screen.
func All(p config.Pay) []payment.Provider {
	return []payment.Provider{wechat.New(p.WeChat), alipay.New(p.Alipay), stripe.New(p.Stripe), webhook.New(p.Webhook)}
}

// Names returns the providers' names, in the order of All.
func Names() (names []string) {
	for _, p := range All(config.Pay{}) {
		names = append(names, p.Endpoint().Provider)
	}
	return names
}

// Players plays every provider, each with its own keys.
type Players struct {
	WeChat  *wechat.Player
	Alipay  *alipay.Player
	Stripe  *stripe.Player
	Webhook *webhook.Player
}

// All returns the players in the order of All.
func (p *Players) All() []paysim.Player {
	return []paysim.Player{p.WeChat, p.Alipay, p.Stripe, p.Webhook}
}

// draws are the functions that create each player's keys.
var draws = []func() (map[string]string, error){wechat.NewKeys, alipay.NewKeys, stripe.NewKeys, webhook.NewKeys}

// playersOf returns the players with these keys.
func playersOf(keys map[string]string) (*Players, error) {
	w, err := wechat.PlayerOf(keys)
	if err != nil {
		return nil, err
	}
	a, err := alipay.PlayerOf(keys)
	if err != nil {
		return nil, err
	}
	s, err := stripe.PlayerOf(keys)
	if err != nil {
		return nil, err
	}
	h, err := webhook.PlayerOf(keys)
	if err != nil {
		return nil, err
	}
	return &Players{WeChat: w, Alipay: a, Stripe: s, Webhook: h}, nil
}
