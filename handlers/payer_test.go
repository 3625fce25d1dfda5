package handlers_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"doorbell/internal/payment/paysim"
)

// TestNothingOfAPayer: who paid is in callbacks, genuine and forged, and neither in the log nor in the database.
func TestNothingOfAPayer(t *testing.T) {
	s, sims := allProviders(t)
	marks := []string{"oTrial", "2088trialbuyer", "payer@example.com", "cus_payer"}
	s.order("A-1", 100)
	s.order("A-2", 100)
	stripe := func(number, id string, minor int64) paysim.Callback {
		c, err := sims.Stripe.Event("checkout.session.completed", map[string]any{
			"id": "cs_" + id, "payment_status": "paid", "payment_intent": "pi_" + id, "amount_total": minor, "currency": "cny", "metadata": map[string]any{"number": number},
			"customer": "cus_payer", "customer_details": map[string]any{"email": "payer@example.com", "name": "payer@example.com"},
		}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	calls := map[string][]paysim.Callback{"stripe": {stripe("A-1", "1", 100), stripe("A-2", "2", 1), stripe("none", "3", 100)}}
	for _, p := range []paysim.Player{sims.WeChat, sims.Alipay} {
		for i, m := range []paysim.Payment{{Number: "A-1", Minor: 100}, {Number: "A-2", Minor: 1}, {Number: "none", Minor: 100}} {
			m.Transaction = p.Name() + string(rune('1'+i))
			c, err := p.Paid(m)
			if err != nil {
				t.Fatal(err)
			}
			calls[p.Name()] = append(calls[p.Name()], c)
		}
	}
	seen := false
	for provider, list := range calls {
		for _, c := range list {
			seen = seen || bytes.Contains(c.Body, []byte("payer@example.com"))
			s.post("pay/"+provider, c)
			forged := paysim.Callback{Header: c.Header, Body: append(bytes.Clone(c.Body), ' ')}
			forged.Body = bytes.Replace(forged.Body, []byte("A-"), []byte("B-"), 1)
			s.post("pay/"+provider, forged)
			s.post("pay/"+provider, paysim.Callback{Header: c.Header, Body: c.Body[:len(c.Body)/2]})
		}
	}
	if !seen {
		t.Fatal("no callback names a payer")
	}
	var stored bytes.Buffer
	if err := s.Store.Export(t.Context(), 1, &stored); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stored.String(), `"table":"inbox"`) || !strings.Contains(s.Log.String(), "level=") {
		t.Fatalf("no callback was stored, or nothing was logged:\n%s\n%s", stored.String(), s.Log)
	}
	for _, mark := range marks {
		if strings.Contains(s.Log.String(), mark) {
			t.Errorf("the log names the payer, %s:\n%s", mark, s.Log)
		}
		if strings.Contains(stored.String(), mark) {
			t.Errorf("the database names the payer, %s:\n%s", mark, stored.String())
		}
	}
}
