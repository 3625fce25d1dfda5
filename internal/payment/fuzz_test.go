package payment_test

import (
	"net/http"
	"testing"

	"doorbell/internal/payment"
	"doorbell/internal/payment/paysim"
)

// FuzzSigned: whatever stands in the headers and the body of a callback, nobody
// without the secret is taken for a provider, and nothing panics.
func FuzzSigned(f *testing.F) {
	good := []byte(`{"type":"order.paid","data":{"number":"A-1","amount":1,"transactionId":"t"}}`)
	stranger := paysim.Stripe{Secret: "whsec_another_secret"}
	signed, err := stranger.Paid(paysim.Payment{Number: "A-1", Transaction: "t", Minor: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed.Header.Get("Stripe-Signature"), "msg_1", "1", "v1,AAAA", good)
	other, err := paysim.NewAlipay()
	if err != nil {
		f.Fatal(err)
	}
	form, err := other.Paid(paysim.Payment{Number: "A-1", Transaction: "t", Minor: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("", "", "", "", form.Body)
	ours, err := paysim.NewAlipay()
	if err != nil {
		f.Fatal(err)
	}
	alipay, err := ours.Verifier()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("t=1,t=2,v1=,v1=zz", "", "-1", "v1 v1, ,", []byte("{"))
	f.Add("t=9223372036854775807,v1=00", "a.b", "9223372036854775807", ",", []byte(nil))
	stripe, err := payment.NewStripe([]string{"whsec_oldoldoldoldold"}, true)
	if err != nil {
		f.Fatal(err)
	}
	webhook, err := payment.NewWebhook([]string{secretOf("k")}, true)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, signature, id, stamp, hook string, body []byte) {
		h := http.Header{"Stripe-Signature": {signature}, "Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {hook}}
		for _, v := range []payment.Verifier{stripe, webhook, alipay} {
			if n, err := v.Verify(t.Context(), h, body); err == nil {
				t.Errorf("%s took %q %q %q %q %q for %+v", v.Provider(), signature, id, stamp, hook, body, n)
			}
		}
	})
}
