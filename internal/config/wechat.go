package config

import (
	"fmt"
	"strings"
)

// WeChat is a merchant's account with WeChat Pay APIv3.
type WeChat struct {
	MchID        string   `yaml:"mchid"`
	AppID        string   `yaml:"appid"`
	APIv3Key     Secret   `yaml:"api_v3_key"`
	Certificates []string `yaml:"certificates"`
	PublicKey    string   `yaml:"public_key"`
	PublicKeyID  string   `yaml:"public_key_id"`
	PublicKeys   []string `yaml:"public_keys"` // further ones, PUB_KEY_ID_…=FILE
	PrivateKey   string   `yaml:"private_key"`
	Serial       string   `yaml:"serial"`
	APIURL       string   `yaml:"api_url"`
	Forward      string   `yaml:"forward"`
	CheckAmount  bool     `yaml:"check_amount"`
	Shops        []int64  `yaml:"shops"` // none: those that no other account names

	SubMerchants []SubMerchant   `yaml:"sub_merchants"` // some: the account is a partner's (服务商)
	Accounts     []WeChatAccount `yaml:"accounts"`
}

// Configured reports whether any key of the account is set.
func (w WeChat) Configured() bool { return w.Alone() || len(w.Accounts) > 0 }

// Alone reports whether any key of the short form is set.
func (w WeChat) Alone() bool {
	return w.MchID != "" || w.AppID != "" || w.APIv3Key != "" || len(w.Certificates) > 0 || len(w.KeyFiles()) > 0 || w.PublicKeyID != "" || w.PrivateKey != "" || w.Serial != ""
}

// KeyFiles returns the public keys' files, by PUB_KEY_ID_….
func (w WeChat) KeyFiles() map[string]string {
	files := map[string]string{}
	if w.PublicKey != "" {
		files[w.PublicKeyID] = w.PublicKey
	}
	for _, entry := range w.PublicKeys {
		id, file, _ := strings.Cut(entry, "=")
		files[id] = file
	}
	return files
}

// All returns the accounts with their names; the short form's is empty.
func (w WeChat) All() (out []WeChatAccount) {
	if w.Alone() {
		out = append(out, WeChatAccount{WeChat: w})
	}
	return append(out, w.Accounts...)
}

// publicKeyID begins the ids of WeChat Pay's public keys.
const publicKeyID = "PUB_KEY_ID_"

func (c Config) checkWeChat(bad report) {
	w := c.Pay.WeChat
	if w.Forward != "" && !isHTTP(w.Forward) {
		bad("pay.wechat.forward", "want http(s)://HOST/PATH")
	}
	if !w.Alone() {
		return
	}
	w.checkSubMerchants(bad)
	checkShopIDs(bad, "pay.wechat.shops", w.Shops)
	if w.MchID == "" {
		bad("pay.wechat.mchid", "is missing")
	}
	if w.AppID == "" {
		bad("pay.wechat.appid", "is missing")
	}
	if len(w.APIv3Key) != 32 {
		bad("pay.wechat.api_v3_key", "has %d bytes, want 32", len(w.APIv3Key))
	}
	if len(w.Certificates)+len(w.KeyFiles()) == 0 {
		bad("pay.wechat.public_key", "is missing: callbacks are verified with it, or with pay.wechat.certificates")
	}
	if w.PublicKey != "" && w.PublicKeyID == "" {
		bad("pay.wechat.public_key_id", "is missing: the id of pay.wechat.public_key, PUB_KEY_ID_…")
	}
	if w.PublicKeyID != "" && w.PublicKey == "" {
		bad("pay.wechat.public_key", "is missing: the PEM file of %s", w.PublicKeyID)
	}
	if w.PublicKeyID != "" && !strings.HasPrefix(w.PublicKeyID, publicKeyID) {
		bad("pay.wechat.public_key_id", "%q does not begin with %s", w.PublicKeyID, publicKeyID)
	}
	for i, entry := range w.PublicKeys {
		if id, file, _ := strings.Cut(entry, "="); !strings.HasPrefix(id, publicKeyID) || file == "" {
			bad(fmt.Sprintf("pay.wechat.public_keys[%d]", i), "%q is not PUB_KEY_ID_…=FILE", entry)
		}
	}
	if w.PrivateKey != "" && w.Serial == "" {
		bad("pay.wechat.serial", "is missing: the number of the merchant certificate that pay.wechat.private_key belongs to")
	}
	if w.Serial != "" && w.PrivateKey == "" {
		bad("pay.wechat.private_key", "is missing: the PEM file of the merchant's own key, which pay.wechat.serial numbers")
	}
	if !isHTTP(w.APIURL) || strings.HasSuffix(w.APIURL, "/") {
		bad("pay.wechat.api_url", "want https://HOST, say https://api2.mch.weixin.qq.com")
	}
}
