package handlers_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/wechat"
	"doorbell/internal/server/servertest"
)

// notify sends a genuine callback with this content.
func (s *testServer) notify(path string, content any) reply {
	s.t.Helper()
	return s.send(path, wechat.Notice{Content: content})
}

func (s *testServer) send(path string, n wechat.Notice) reply {
	s.t.Helper()
	c, err := s.platform.Sign(n)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.post(path, c)
}

func (s *testServer) post(path string, c paysim.Callback) reply {
	s.t.Helper()
	var headers []string
	for name := range c.Header {
		headers = append(headers, name, c.Header.Get(name))
	}
	return s.do(http.MethodPost, path, string(c.Body), headers...)
}

func (s *testServer) order(number string, fen int64) {
	s.t.Helper()
	_, _, err := s.Service.CreateOrder(s.t.Context(), doorbell.Order{
		Number: number, Shop: 1, User: 7, Money: doorbell.Money{Minor: fen, Currency: "CNY"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *testServer) wantHead(want doorbell.Seq) {
	s.t.Helper()
	if _, at := s.position(1); at.Head != want {
		s.t.Errorf("shop 1 is at %d, want %d", at.Head, want)
	}
}

// TestForgeries: only a genuine success for this merchant rings, and nothing leaks
// or panics.
func TestForgeries(t *testing.T) {
	s := newServer(t)
	s.order("A-1", 100)
	genuine := s.platform.Payment("A-1", "T1", 100)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	with := func(edits ...any) map[string]any {
		out := s.platform.Payment("A-1", "T1", 100)
		for i := 0; i+1 < len(edits); i += 2 {
			out[edits[i].(string)] = edits[i+1]
		}
		return out
	}
	for name, n := range map[string]wechat.Notice{
		"another key":               {Content: genuine, Key: stranger},
		"a stale timestamp":         {Content: genuine, Time: time.Now().Add(-301 * time.Second)},
		"a future timestamp":        {Content: genuine, Time: time.Now().Add(302 * time.Second)},
		"an unknown serial":         {Content: genuine, Serial: "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"},
		"another APIv3 key":         {Content: genuine, APIv3Key: strings.Repeat("k", 32)},
		"no resource":               {NoResource: true},
		"a nonce of 11 bytes":       {Content: genuine, Nonce: "12345678901"},
		"a nonce of 13 bytes":       {Content: genuine, Nonce: "1234567890123"},
		"content that is no JSON":   {Content: []byte("no")},
		"null":                      {Content: []byte("null")},
		"a list":                    {Content: []byte("[1]")},
		"another merchant":          {Content: with("mchid", "1900000002")},
		"another app":               {Content: with("appid", "wxother")},
		"not a success":             {Content: with("trade_state", "NOTPAY")},
		"no number":                 {Content: with("out_trade_no", "")},
		"a number with markup":      {Content: with("out_trade_no", "<b>")},
		"no transaction":            {Content: with("transaction_id", "")},
		"another amount":            {Content: s.platform.Payment("A-1", "T2", 99)},
		"another currency":          {Content: with("amount", map[string]any{"total": 100, "currency": "USD"}, "transaction_id", "T3")},
		"an order that is not here": {Content: s.platform.Payment("B-1", "T4", 100)},
	} {
		got := s.send("pay/wechat", n)
		if got.status < 400 || got.field("code") != "FAIL" || got.field("message") == "" {
			t.Errorf("%s: %d %s, want a failure that WeChat reads", name, got.status, got.body)
		}
	}
	s.tampered(t, genuine)
	s.wantHead(0)
	if o, err := s.Service.Order(t.Context(), 1); err != nil || o.PayStatus != doorbell.Unpaid {
		t.Errorf("the order after all this: %+v, %v", o, err)
	}
	if logs := s.Log.String(); strings.Contains(logs, "oTrial") || strings.Contains(logs, "ciphertext") || strings.Contains(logs, "panic") {
		t.Errorf("the log holds what it must not:\n%s", logs)
	}
	s.send("pay/wechat", wechat.Notice{Content: genuine}).want(t, "the genuine one", 204, "")
	s.wantHead(1)
}

// tampered changes a genuine callback on its way.
func (s *testServer) tampered(t *testing.T, content any) {
	t.Helper()
	for name, change := range map[string]func(*paysim.Callback){
		"a changed body":           func(c *paysim.Callback) { c.Body = append(c.Body, ' ') },
		"a truncated body":         func(c *paysim.Callback) { c.Body = c.Body[:len(c.Body)/2] },
		"an empty body":            func(c *paysim.Callback) { c.Body = nil },
		"10 MB":                    func(c *paysim.Callback) { c.Body = []byte(strings.Repeat("x", 10<<20)) },
		"a changed nonce":          func(c *paysim.Callback) { c.Header.Set("Wechatpay-Nonce", "other") },
		"a changed timestamp":      func(c *paysim.Callback) { c.Header.Set("Wechatpay-Timestamp", "1") },
		"no timestamp":             func(c *paysim.Callback) { c.Header.Del("Wechatpay-Timestamp") },
		"no signature":             func(c *paysim.Callback) { c.Header.Del("Wechatpay-Signature") },
		"a signature of nothing":   func(c *paysim.Callback) { c.Header.Set("Wechatpay-Signature", "AAAA") },
		"a signature not base64":   func(c *paysim.Callback) { c.Header.Set("Wechatpay-Signature", "%%%") },
		"no serial":                func(c *paysim.Callback) { c.Header.Del("Wechatpay-Serial") },
		"a probe":                  func(c *paysim.Callback) { c.Header.Set("Wechatpay-Signature", "WECHATPAY/SIGNTEST/AAAA") },
		"another signature scheme": func(c *paysim.Callback) { c.Header.Set("Wechatpay-Signature-Type", "WECHATPAY2-SM2-WITH-SM3") },
	} {
		c, err := s.platform.Sign(wechat.Notice{Content: content})
		if err != nil {
			t.Fatal(err)
		}
		change(&c)
		if got := s.post("pay/wechat", c); got.status < 400 || got.field("code") != "FAIL" {
			t.Errorf("%s: %d %s, want a failure", name, got.status, got.body)
		}
	}
	// A tampered ciphertext with a valid signature, which only the provider could
	// make.
	for _, field := range []string{"ciphertext", "associated_data", "nonce", "algorithm"} {
		c, err := s.platform.Sign(wechat.Notice{Content: content})
		if err != nil {
			t.Fatal(err)
		}
		var body map[string]any
		if err := json.Unmarshal(c.Body, &body); err != nil {
			t.Fatal(err)
		}
		resource := body["resource"].(map[string]any)
		text := resource[field].(string)
		resource[field] = string(text[0]^1) + text[1:]
		changed, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if c, err = s.platform.SignBody(wechat.Notice{}, changed); err != nil {
			t.Fatal(err)
		}
		if got := s.post("pay/wechat", c); got.status < 400 {
			t.Errorf("a changed %s: %d, want a failure", field, got.status)
		}
	}
}

func TestGenuineByCertificateAndByPublicKey(t *testing.T) {
	s := newServer(t)
	// Whole bytes: one serial in sixteen begins with a zero digit.
	certificate := fmt.Sprintf("%X", s.platform.Certificate.SerialNumber.Bytes())
	for number, serial := range map[string]string{"A-1": s.platform.KeyID, "A-2": certificate} {
		s.order(number, 100)
		s.send("notify/paySuccess", wechat.Notice{Content: s.platform.Payment(number, "T"+number, 100), Serial: serial}).want(t, serial, 204, "")
	}
	s.wantHead(2)
}

func TestPaymentVerdicts(t *testing.T) {
	s := newServer(t)
	// The payment comes before its order: refused for now, settled with the order.
	s.pay("EARLY", 100).want(t, "before its order", 404, "")
	s.order("EARLY", 100)
	s.wantHead(1)
	s.pay("EARLY", 100).want(t, "again", 204, "")
	// A second payment of the same order must be refunded and does not ring.
	s.notify("pay/wechat", s.platform.Payment("EARLY", "OTHER", 100)).want(t, "another transaction", 204, "")
	s.wantHead(1)
	// The same transaction can't pay two orders.
	s.order("SECOND", 100)
	s.notify("pay/wechat", s.platform.Payment("SECOND", "TEARLY", 100)).want(t, "a transaction used before", 409, "")
	s.wantHead(1)
	// Paid after a cancel: type 4, and the order stays cancelled.
	s.order("LATE", 100)
	if _, err := s.Service.CancelOrder(t.Context(), 3, "test"); err != nil {
		t.Fatal(err)
	}
	s.pay("LATE", 100).want(t, "after cancel", 204, "")
	if o, err := s.Service.Order(t.Context(), 3); err != nil || o.Status != doorbell.Cancelled || o.PayStatus != doorbell.Paid {
		t.Errorf("paid after cancel: %+v, %v", o, err)
	}
	alerts, err := s.Store.AlertsAfter(t.Context(), 1, 1, 10)
	if err != nil || len(alerts) != 2 || alerts[1].Type != doorbell.CalledOff {
		t.Errorf("alerts %+v, %v; want the cancel and another type 4", alerts, err)
	}
	// A refund of each payment: the order stays paid while one payment is not
	// refunded.
	s.send("pay/wechat", wechat.Notice{Event: "REFUND.SUCCESS", Content: s.platform.Refund("EARLY", "OTHER", "R0", 100)}).want(t, "refund of the other", 204, "")
	s.wantHead(3)
	s.send("pay/wechat", wechat.Notice{Event: "REFUND.SUCCESS", Content: s.platform.Refund("EARLY", "TEARLY", "R1", 100)}).want(t, "refund", 204, "")
	s.send("pay/wechat", wechat.Notice{Event: "REFUND.SUCCESS", Content: s.platform.Refund("EARLY", "TEARLY", "R1", 100)}).want(t, "refund again", 204, "")
	if o, err := s.Service.Order(t.Context(), 1); err != nil || o.PayStatus != doorbell.Refunded {
		t.Errorf("refunded: %+v, %v", o, err)
	}
	s.wantHead(4)
}

func TestCallbackRoutes(t *testing.T) {
	s := newServer(t)
	got := s.do("GET", "pay/wechat", "").want(t, "GET", 405, "method_not_allowed")
	if got.header.Get("Allow") != "POST" || !strings.Contains(got.body, "WeChat Pay posts") {
		t.Errorf("GET answers %s (Allow %q)", got.body, got.header.Get("Allow"))
	}
	off := newServer(t, func(c *config.Config) {
		c.Pay.WeChat, c.Pay.Webhook = config.Default().Pay.WeChat, servertest.Webhook(servertest.Players(t).Webhook)
	})
	off.pay("A-1", 1).want(t, "no verifier", 404, "not_found")
	off.do("GET", "pay/wechat", "").want(t, "no verifier", 404, "not_found")
}
