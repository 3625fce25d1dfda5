package config

import (
	"fmt"
	"strings"
)

// SubMerchant is one that a partner of WeChat Pay's takes money for.
type SubMerchant struct {
	MchID string  `yaml:"sub_mchid"`
	AppID string  `yaml:"sub_appid"` // empty: not looked at
	Shops []int64 `yaml:"shops"`
}

// WeChatAccount is one of several.
type WeChatAccount struct {
	Name   string `yaml:"name"`
	WeChat `yaml:",inline"`
}

// AlipayAccount is one of several.
type AlipayAccount struct {
	Name   string `yaml:"name"`
	Alipay `yaml:",inline"`
}

// StripeAccount is one of several.
type StripeAccount struct {
	Name   string `yaml:"name"`
	Stripe `yaml:",inline"`
}

func (a *WeChatAccount) setDefaults() { a.WeChat = Default().Pay.WeChat }
func (a *AlipayAccount) setDefaults() { a.Alipay = Default().Pay.Alipay }
func (a *StripeAccount) setDefaults() { a.Stripe = Default().Pay.Stripe }

// checkAccounts holds each account as if it were the only one.
func (c Config) checkAccounts(bad report) {
	within := func(provider string, i int) report {
		return func(key, format string, args ...any) {
			bad(strings.Replace(key, provider, fmt.Sprintf("%s.accounts[%d]", provider, i), 1), format, args...)
		}
	}
	seen := map[string]bool{}
	name := func(provider string, i int, name string, keys bool, nested int, shops []int64) {
		bad := within(provider, i)
		if !hookName.MatchString(name) {
			bad(provider+".name", "%q is not 1 to 32 of a-z 0-9 _ -; it stands in the address that the provider calls", name)
		}
		if seen[provider+name] {
			bad(provider+".name", "%q stands twice", name)
		}
		seen[provider+name] = true
		if !keys {
			bad(provider, "has no keys")
		}
		if nested > 0 {
			bad(provider+".accounts", "an account has no accounts of its own")
		}
		checkShopIDs(bad, provider+".shops", shops)
	}
	one := c
	for i, a := range c.Pay.WeChat.Accounts {
		name("pay.wechat", i, a.Name, a.Alone(), len(a.Accounts), a.Shops)
		if a.Forward != "" {
			within("pay.wechat", i)("pay.wechat.forward", "stands at pay.wechat, for all accounts")
		}
		one.Pay.WeChat = a.WeChat
		one.checkWeChat(within("pay.wechat", i))
	}
	for i, a := range c.Pay.Alipay.Accounts {
		name("pay.alipay", i, a.Name, a.Alone(), len(a.Accounts), a.Shops)
		one.Pay.Alipay = a.Alipay
		one.checkAlipay(within("pay.alipay", i))
	}
	for i, a := range c.Pay.Stripe.Accounts {
		name("pay.stripe", i, a.Name, len(a.Secrets) > 0, len(a.Accounts), a.Shops)
		one.Pay.Stripe = a.Stripe
		one.Pay.Webhook = Secrets{} // checked with the short form
		one.checkSecrets(within("pay.stripe", i))
	}
}

func checkShopIDs(bad report, key string, shops []int64) {
	for _, shop := range shops {
		if shop < 1 || shop > 1<<53-1 {
			bad(key, "%d is not the id of a shop", shop)
		}
	}
}

// checkSubMerchants holds a partner's.
func (w WeChat) checkSubMerchants(bad report) {
	seen := map[string]bool{}
	for i, s := range w.SubMerchants {
		key := fmt.Sprintf("pay.wechat.sub_merchants[%d]", i)
		if s.MchID == "" {
			bad(key+".sub_mchid", "is missing")
		}
		if seen[s.MchID] {
			bad(key+".sub_mchid", "%s stands twice", s.MchID)
		}
		seen[s.MchID] = true
		if len(s.Shops) == 0 {
			bad(key+".shops", "are missing: whose orders %s is paid for", s.MchID)
		}
		checkShopIDs(bad, key+".shops", s.Shops)
	}
	if len(w.SubMerchants) > 0 && len(w.Shops) > 0 {
		bad("pay.wechat.shops", "stand with each of pay.wechat.sub_merchants")
	}
}
