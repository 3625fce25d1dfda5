package payment_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
	"doorbell/internal/payment/alipay"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/wechat"
)

// weChats returns n merchants with their own keys.
func weChats(t testing.TB, n int) []*wechat.Player {
	t.Helper()
	var out []*wechat.Player
	for i := range n {
		w, err := wechat.NewPlayer()
		if err != nil {
			t.Fatal(err)
		}
		w.MchID, w.KeyID = fmt.Sprintf("190000000%d", i), fmt.Sprintf("PUB_KEY_ID_%d", i)
		out = append(out, w)
	}
	return out
}

func groupOf(t testing.TB, accounts map[string]wechat.Account) *payment.Group {
	t.Helper()
	var list []payment.Named
	for name, a := range accounts {
		v, err := wechat.NewVerifier(a)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, payment.Named{Name: name, Verifier: v})
	}
	g, err := payment.NewGroup(list)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestGroup: a callback is verified by the account in its path, else by the one of
// its serial; several accounts may share a serial.
func TestGroup(t *testing.T) {
	w := weChats(t, 3)
	w[2].Key, w[2].KeyID, w[2].Certificate = w[1].Key, w[1].KeyID, w[1].Certificate // the same platform key, another APIv3 key
	g := groupOf(t, map[string]wechat.Account{"a": w[0].Account(), "b": w[1].Account(), "c": w[2].Account()})
	names := []string{"a", "b", "c"}
	for i, from := range w {
		c, err := from.Paid(paysim.Payment{Number: "N-1", Transaction: "T1", Minor: 5})
		if err != nil {
			t.Fatal(err)
		}
		n, err := g.Verify(t.Context(), c.Header, c.Body)
		if err != nil || n.Refusal != "" || n.Account != names[i] {
			t.Errorf("of %s, by its serial: %+v, %v", names[i], n, err)
		}
		for _, name := range append(names, "none") {
			n, err := g.VerifyFor(t.Context(), name, c.Header, c.Body)
			if ok := err == nil && n.Refusal == ""; ok != (name == names[i]) {
				t.Errorf("of %s, at the path of %s: accepted %v (%s, %v)", names[i], name, ok, n.Refusal, err)
			}
		}
	}
}

// TestPartner: a partner's notices name the sub-merchant, which decides the
// account; one that is not listed, or another partner's, is refused.
func TestPartner(t *testing.T) {
	w := weChats(t, 1)[0]
	w.SubMchID = "1900000201"
	account := w.Account()
	account.SubMerchants["1900000202"] = "wxsub"
	g := groupOf(t, map[string]wechat.Account{"hq": account})
	with := func(edits map[string]any) map[string]any {
		content := w.Payment("N-1", "T1", 5)
		for name, value := range edits {
			content[name] = value
		}
		return content
	}
	for _, c := range []struct {
		name, event      string
		content          map[string]any
		account, refusal string
	}{
		{"a payment", "", with(nil), "hq/1900000201", ""},
		{"a refund", "REFUND.SUCCESS", w.Refund("N-1", "T1", "R1", 5), "hq/1900000201", ""},
		{"with the sub-merchant's app", "", with(map[string]any{"sub_mchid": "1900000202", "sub_appid": "wxsub"}), "hq/1900000202", ""},
		{"with another app", "", with(map[string]any{"sub_mchid": "1900000202", "sub_appid": "wxother"}), "hq/1900000202", "other app of the sub-merchant"},
		{"a sub-merchant that is not listed", "", with(map[string]any{"sub_mchid": "1900000203"}), "hq/1900000203", "other sub-merchant"},
		{"another partner", "", with(map[string]any{"sp_mchid": "1900000999"}), "hq/1900000201", "other merchant"},
		{"another partner's app", "", with(map[string]any{"sp_appid": "wxother"}), "hq/1900000201", "other app"},
		{"as a merchant's own", "", map[string]any{"mchid": w.MchID, "appid": w.AppID, "out_trade_no": "N-1", "transaction_id": "T1", "trade_state": "SUCCESS"}, "hq", "other sub-merchant"},
	} {
		signed, err := w.Sign(wechat.Notice{Event: c.event, Content: c.content})
		if err != nil {
			t.Fatal(err)
		}
		n, err := g.VerifyFor(t.Context(), "hq", signed.Header, signed.Body)
		if err != nil || n.Account != c.account || n.Refusal != c.refusal {
			t.Errorf("%s: account %q, refusal %q, %v; want %q, %q", c.name, n.Account, n.Refusal, err, c.account, c.refusal)
		}
	}
}

// BenchmarkSubMerchants verifies a partner's callback and looks up which shop it
// may pay for, with one sub-merchant and with ten thousand. The second time
// divided by the first is to stay near 1.
func BenchmarkSubMerchants(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("sub-merchants=%d", n), func(b *testing.B) {
			w := weChats(b, 1)[0]
			w.SubMchID = "sub-0"
			account := w.Account()
			var list []doorbell.Account
			for i := range n {
				sub := fmt.Sprintf("sub-%d", i)
				account.SubMerchants[sub] = ""
				list = append(list, doorbell.Account{Provider: "wechat", Name: "hq/" + sub, Shops: []doorbell.ShopID{doorbell.ShopID(i + 1)}})
			}
			g, accounts := groupOf(b, map[string]wechat.Account{"hq": account}), doorbell.NewAccounts(list)
			c, err := w.Paid(paysim.Payment{Number: "N-1", Transaction: "T1", Minor: 5})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				n, err := g.VerifyFor(b.Context(), "hq", c.Header, c.Body)
				if err != nil || n.Refusal != "" || !accounts.Serves(n.Provider, n.Account, 1) {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// asked is a provider that records the address of each query.
type asked struct{ address string }

func (a *asked) RoundTrip(r *http.Request) (*http.Response, error) {
	a.address = r.URL.RequestURI()
	return nil, errors.New("nobody answers")
}

// TestQueryGroup: an order is queried at the account of its shop, a sub-merchant's
// by the partner's path.
func TestQueryGroup(t *testing.T) {
	merchant, err := alipay.NewPlayer() // any RSA key serves
	if err != nil {
		t.Fatal(err)
	}
	var seen asked
	list := []payment.AskedAccount{}
	for i, w := range weChats(t, 2) {
		q, err := wechat.NewQuerier(t.Context(), w.Account(), wechat.Asking{Key: merchant.Key, Serial: "AB12", API: "http://providers", Transport: &seen})
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			list = append(list, payment.AskedAccount{Name: "hq/sub-1", Shops: []doorbell.ShopID{2}, Querier: q.ForSub("sub-1")})
			continue
		}
		list = append(list, payment.AskedAccount{Name: "own", Shops: []doorbell.ShopID{1}, Querier: q})
	}
	g := payment.NewQueryGroup(list, doorbell.NewAccounts([]doorbell.Account{{Provider: "wechat", Name: "own", Shops: []doorbell.ShopID{1}}, {Provider: "wechat", Name: "hq/sub-1", Shops: []doorbell.ShopID{2}}}).Serves)
	for shop, want := range map[doorbell.ShopID]string{
		1: "/v3/pay/transactions/out-trade-no/N-1?mchid=1900000000",
		2: "/v3/pay/partner/transactions/out-trade-no/N-1?sp_mchid=1900000001&sub_mchid=sub-1",
	} {
		q, ok := g.For(shop)
		if !ok {
			t.Fatalf("no account is queried for shop %d", shop)
		}
		if _, err := q.Query(t.Context(), "N-1"); err == nil || seen.address != want {
			t.Errorf("shop %d: queried at %s (%v), want %s", shop, seen.address, err, want)
		}
	}
	if _, ok := g.For(3); ok {
		t.Error("an account is queried for a shop that no account serves")
	}
}
