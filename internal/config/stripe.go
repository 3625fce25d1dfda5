package config

// Stripe is an endpoint of Stripe's.
type Stripe struct {
	Secrets     []Secret `yaml:"secrets"`
	Connected   []string `yaml:"connected"`
	TestMode    bool     `yaml:"test_mode"`
	CheckAmount bool     `yaml:"check_amount"`
	Shops       []int64  `yaml:"shops"`

	Accounts []StripeAccount `yaml:"accounts"`
}

// Configured reports whether any endpoint is.
func (s Stripe) Configured() bool { return len(s.Secrets) > 0 || len(s.Accounts) > 0 }

// Plain returns the secrets as they are.
func (s Stripe) Plain() []string { return Secrets{Secrets: s.Secrets}.Plain() }

// All returns the endpoints with their names; the short form's is empty.
func (s Stripe) All() (out []StripeAccount) {
	if len(s.Secrets) > 0 {
		out = append(out, StripeAccount{Stripe: s})
	}
	return append(out, s.Accounts...)
}
