package config

// Alipay is a seller's account with Alipay.
type Alipay struct {
	AppID           string   `yaml:"app_id"`
	SellerID        string   `yaml:"seller_id"`
	PublicKeys      []string `yaml:"public_keys"`
	Certificates    []string `yaml:"certificates"`
	PrivateKey      string   `yaml:"private_key"`
	AppCertificate  string   `yaml:"app_certificate"`
	RootCertificate string   `yaml:"root_certificate"`
	APIURL          string   `yaml:"api_url"`
	CheckAmount     bool     `yaml:"check_amount"`
	Shops           []int64  `yaml:"shops"`

	Accounts []AlipayAccount `yaml:"accounts"`
}

// Configured reports whether any key of the account is set.
func (a Alipay) Configured() bool { return a.Alone() || len(a.Accounts) > 0 }

// Alone reports whether any key of the short form is set.
func (a Alipay) Alone() bool {
	return a.AppID != "" || a.SellerID != "" || len(a.PublicKeys)+len(a.Certificates) > 0 || a.PrivateKey != ""
}

// All returns the accounts with their names; the short form's is empty.
func (a Alipay) All() (out []AlipayAccount) {
	if a.Alone() {
		out = append(out, AlipayAccount{Alipay: a})
	}
	return append(out, a.Accounts...)
}

func (c Config) checkAlipay(bad report) {
	a := c.Pay.Alipay
	if !a.Alone() {
		return
	}
	checkShopIDs(bad, "pay.alipay.shops", a.Shops)
	if a.AppID == "" {
		bad("pay.alipay.app_id", "is missing")
	}
	if a.SellerID == "" {
		bad("pay.alipay.seller_id", "is missing: the account that is paid, 2088…")
	}
	if len(a.PublicKeys)+len(a.Certificates) == 0 {
		bad("pay.alipay.public_keys", "are missing: callbacks are verified with Alipay's, not yours, or with pay.alipay.certificates")
	}
	if a.AppCertificate != "" && a.RootCertificate == "" {
		bad("pay.alipay.root_certificate", "is missing: certificate mode needs it beside pay.alipay.app_certificate")
	}
	if a.RootCertificate != "" && a.AppCertificate == "" {
		bad("pay.alipay.app_certificate", "is missing: certificate mode needs it beside pay.alipay.root_certificate")
	}
	if !isHTTP(a.APIURL) {
		bad("pay.alipay.api_url", "want https://HOST/gateway.do")
	}
}
