package alipay_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
	"doorbell/internal/payment/alipay"
	"doorbell/internal/payment/paysim"
)

func newAlipay(t *testing.T) (*alipay.Player, payment.Verifier) {
	t.Helper()
	p, err := alipay.NewPlayer()
	if err != nil {
		t.Fatal(err)
	}
	v, err := paysim.Verifier(p)
	if err != nil {
		t.Fatal(err)
	}
	return p, v
}

// signed signs a form with these parameters changed; an empty value removes one.
func signed(t *testing.T, p *alipay.Player, edits ...string) []byte {
	t.Helper()
	form := p.Form(paysim.Payment{Number: "A-1", Transaction: "T-1", Minor: 1250})
	for i := 0; i+1 < len(edits); i += 2 {
		form.Set(edits[i], edits[i+1])
		if edits[i+1] == "" {
			form.Del(edits[i])
		}
	}
	c, err := p.Sign(form)
	if err != nil {
		t.Fatal(err)
	}
	return c.Body
}

// TestAlipayNotices: which notices mean a payment or a refund.
func TestAlipayNotices(t *testing.T) {
	p, v := newAlipay(t)
	for _, c := range []struct {
		name    string
		edits   []string
		refusal string
		kind    doorbell.NoticeKind
	}{
		{"paid", nil, "", doorbell.PaymentNotice},
		{"finished", []string{"trade_status", "TRADE_FINISHED"}, "", doorbell.PaymentNotice},
		{"an amount without decimals", []string{"total_amount", "12"}, "", doorbell.PaymentNotice},
		{"waiting", []string{"trade_status", "WAIT_BUYER_PAY"}, "not a success", doorbell.EventNotice},
		{"closed unpaid", []string{"trade_status", "TRADE_CLOSED"}, "not a success", doorbell.EventNotice},
		{"refunded", []string{"trade_status", "TRADE_CLOSED", "refund_fee", "12.50"}, "", doorbell.RefundNotice},
		{"refunded in part", []string{"refund_fee", "1.00"}, "", doorbell.RefundNotice},
		{"refunded in words", []string{"refund_fee", "1元"}, "refund_fee: want yuan with at most two decimals", doorbell.RefundNotice},
		{"another app", []string{"app_id", "2021000000000002"}, "other app", doorbell.PaymentNotice},
		{"another seller", []string{"seller_id", "2088000000000002"}, "other merchant", doorbell.PaymentNotice},
		{"no seller", []string{"seller_id", ""}, "other merchant", doorbell.PaymentNotice},
		{"total_amount: want yuan with at most two decimals", []string{"total_amount", ""}, "total_amount: want yuan with at most two decimals", doorbell.PaymentNotice},
		{"a negative amount", []string{"total_amount", "-1.00"}, "total_amount: want yuan with at most two decimals", doorbell.PaymentNotice},
		{"three decimals", []string{"total_amount", "1.001"}, "total_amount: want yuan with at most two decimals", doorbell.PaymentNotice},
		{"a number in exponents", []string{"total_amount", "1e3"}, "total_amount: want yuan with at most two decimals", doorbell.PaymentNotice},
		{"no number", []string{"out_trade_no", ""}, "out_trade_no: no order number", doorbell.PaymentNotice},
		{"no transaction", []string{"trade_no", ""}, "trade_no: no transaction id of 1 to 64 printable bytes of UTF-8", doorbell.PaymentNotice},
		{"an & in the subject", []string{"subject", "fish & chips, a=b&c=d"}, "", doorbell.PaymentNotice},
	} {
		n, err := v.Verify(t.Context(), nil, signed(t, p, c.edits...))
		if err != nil || n.Refusal != c.refusal || n.Kind != c.kind {
			t.Errorf("%s: %+v, %v; want refusal %q", c.name, n, err, c.refusal)
		}
	}
	if n, err := v.Verify(t.Context(), nil, signed(t, p, "total_amount", "12.5")); err != nil || n.Minor != 1250 || n.Currency != "CNY" {
		t.Errorf("12.5 yuan: %+v, %v", n, err)
	}
}

// TestAlipayCutElsewhere: a signed text that can be read in two ways is refused in
// both. Here somebody pays a cent for an order whose subject they chose, and sends
// the signature on with the text split so that it pays another order.
func TestAlipayCutElsewhere(t *testing.T) {
	p, v := newAlipay(t)
	cheap := p.Form(paysim.Payment{Number: "CHEAP", Transaction: "T-1", Minor: 1})
	dear := map[string]string{
		"out_trade_no": "DEAR", "seller_id": p.SellerID, "total_amount": "100.00", "trade_no": "T-9", "trade_status": "TRADE_SUCCESS",
	}
	rest := "buyer_id"
	cut := url.Values{"app_id": cheap["app_id"], "auth_app_id": cheap["auth_app_id"], "body": {"B"}}
	inBody := "B"
	for _, name := range []string{"out_trade_no", "seller_id", "total_amount", "trade_no", "trade_status"} {
		cut.Set(name, dear[name])
		inBody += "&" + name + "=" + dear[name]
	}
	cheap.Set("body", inBody+"&zz=")
	// What follows the body in the signed text belongs to zz's value.
	after := ""
	for _, name := range slices.Sorted(maps.Keys(cheap)) {
		if name >= rest {
			after += "&" + name + "=" + cheap.Get(name)
		}
	}
	cut.Set("zz", after)
	genuine, err := p.Sign(cheap)
	if err != nil {
		t.Fatal(err)
	}
	same, err := p.Sign(cut)
	if err != nil {
		t.Fatal(err)
	}
	one, two := must(url.ParseQuery(string(genuine.Body))), must(url.ParseQuery(string(same.Body)))
	if one.Get("sign") != two.Get("sign") {
		t.Fatal("the two forms have different signed texts: the test proves nothing")
	}
	for name, body := range map[string][]byte{"cut elsewhere": same.Body, "as it was signed": genuine.Body} {
		n, err := v.Verify(t.Context(), nil, body)
		if f, ok := errors.AsType[*payment.Forgery](err); !ok || f.Reason != "ambiguous" {
			t.Errorf("%s: %+v, %v; want it refused as ambiguous", name, n, err)
		}
	}
	// A repeated parameter, and one whose name contains others.
	for _, more := range []string{"&out_trade_no=B", "&x%26out_trade_no=B"} {
		n, err := v.Verify(t.Context(), nil, append(signed(t, p), more...))
		if f, ok := errors.AsType[*payment.Forgery](err); !ok || f.Reason != "ambiguous" {
			t.Errorf("with %s: %+v, %v; want it refused as ambiguous", more, n, err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestAlipayCertificates: in certificate mode a notice names the certificate;
// another merchant's or an unknown one is refused without a request to Alipay.
func TestAlipayCertificates(t *testing.T) {
	p, _ := newAlipay(t)
	other, _ := newAlipay(t)
	certify := func(key *rsa.PrivateKey, serial int64) *x509.Certificate {
		template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "Alipay"}}
		return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))))
	}
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ours, old := certify(p.Key, 1), certify(other.Key, 2)
	account := p.Account()
	account.PublicKeys = nil
	var err error
	if account.Certificates, err = payment.LoadCertificates([]string{file("a.crt", "CERTIFICATE", old.Raw), file("b.crt", "CERTIFICATE", ours.Raw)}); err != nil {
		t.Fatal(err)
	}
	v, err := alipay.NewVerifier(account)
	if err != nil {
		t.Fatal(err)
	}
	number := func(c *x509.Certificate) string { return "&alipay_cert_sn=" + payment.CertificateNumber(c) }
	for _, c := range []struct {
		name, more, want string
	}{
		{"the right certificate", number(ours), ""},
		{"another certificate", number(old), "signature"},
		{"one that nobody knows", "&alipay_cert_sn=0123456789abcdef0123456789abcdef", "unknown_serial"},
	} {
		n, err := v.Verify(t.Context(), nil, append(signed(t, p), c.more...))
		f, forged := errors.AsType[*payment.Forgery](err)
		if forged != (c.want != "") || forged && f.Reason != c.want {
			t.Errorf("%s: %+v, %v; want %q", c.name, n, err, c.want)
		}
	}
}
