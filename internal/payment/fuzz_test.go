package payment_test

import (
	"net/http"
	"testing"

	"doorbell/internal/payment"
	"doorbell/internal/payment/alipay"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/stripe"
	"doorbell/internal/payment/webhook"
)

// FuzzSigned: whatever the headers and the body of a callback, nobody without the
// secret passes for a provider, and nothing panics.
func FuzzSigned(f *testing.F) {
	good := []byte(`{"type":"order.paid","data":{"number":"A-1","amount":1,"transactionId":"t"}}`)
	stranger := stripe.Player{Secret: "whsec_another_secret"}
	signed, err := stranger.Paid(paysim.Payment{Number: "A-1", Transaction: "t", Minor: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed.Header.Get("Stripe-Signature"), "msg_1", "1", "v1,AAAA", good)
	other, err := alipay.NewPlayer()
	if err != nil {
		f.Fatal(err)
	}
	form, err := other.Paid(paysim.Payment{Number: "A-1", Transaction: "t", Minor: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("", "", "", "", form.Body)
	ours, err := alipay.NewPlayer()
	if err != nil {
		f.Fatal(err)
	}
	alipays, err := paysim.Verifier(ours)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("t=1,t=2,v1=,v1=zz", "", "-1", "v1 v1, ,", []byte("{"))
	f.Add("t=9223372036854775807,v1=00", "a.b", "9223372036854775807", ",", []byte(nil))
	stripes, err := stripe.NewVerifier(stripe.Account{Secrets: []string{"whsec_oldoldoldoldold"}, CheckAmount: true})
	if err != nil {
		f.Fatal(err)
	}
	webhooks, err := webhook.NewVerifier([]string{secretOf("k")}, true)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, signature, id, stamp, hook string, body []byte) {
		h := http.Header{"Stripe-Signature": {signature}, "Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {hook}}
		for _, v := range []payment.Verifier{stripes, webhooks, alipays} {
			if n, err := v.Verify(t.Context(), h, body); err == nil {
				t.Errorf("%s accepted %q %q %q %q %q as %+v", v.Provider(), signature, id, stamp, hook, body, n)
			}
		}
	})
}
