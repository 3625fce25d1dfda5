package payment_test

import (
	"testing"

	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/providers"
)

// BenchmarkVerify measures a callback of each provider before it reaches the
// database; for WeChat and Alipay most of it is one RSA verification.
func BenchmarkVerify(b *testing.B) {
	players, err := providers.NewPlayers()
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range players.All() {
		b.Run(p.Name(), func(b *testing.B) {
			v, err := paysim.Verifier(p)
			if err != nil {
				b.Fatal(err)
			}
			c, err := p.Paid(paysim.Payment{Number: "1001", Transaction: "42001001", Minor: 2850})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), c.Header, c.Body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
