package handlers

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
	"doorbell/internal/payment/wechat"
)

// FuzzCallback signs random bodies: the verifier must neither panic nor accept one
// that the simulator did not encrypt.
func FuzzCallback(f *testing.F) {
	p, err := wechat.NewPlayer()
	if err != nil {
		f.Fatal(err)
	}
	good, err := p.Sign(wechat.Notice{Content: p.Payment("A-1", "T1", 100)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good.Body))
	f.Add(`{"event_type":"TRANSACTION.SUCCESS"}`)
	f.Add(`{"resource":{"algorithm":"AEAD_AES_256_GCM","nonce":"x","ciphertext":"AAAA"}}`)
	f.Add(`{"resource":null}`)
	f.Add(``)
	v, err := wechat.NewVerifier(p.Account())
	if err != nil {
		f.Fatal(err)
	}
	gate := payment.NewGate(v)
	f.Fuzz(func(t *testing.T, body string) {
		c, err := p.SignBody(wechat.Notice{}, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		n, err := gate.Verify(context.Background(), c.Header, c.Body, "fuzz")
		if err == nil && n.Refusal == "" && n.Number != "A-1" {
			t.Errorf("%q was accepted as a payment: %+v", body, n)
		}
	})
}

// FuzzHeaders: no header of a request breaks an answer.
func FuzzHeaders(f *testing.F) {
	f.Add("zh-CN,zh;q=0.9", "Bearer x", "https://a.example", "k.1:1")
	f.Add(",;q=", "Bearer", "null", "\x00")
	f.Fuzz(func(t *testing.T, language, authorization, origin, last string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Accept-Language"], r.Header["Authorization"], r.Header["Origin"], r.Header["Last-Event-Id"] = []string{language}, []string{authorization}, []string{origin}, []string{last}
		PrefersChinese(language)
		bearer(r)
		h := &web{Web: Web{PublicURL: "https://bell.example"}}
		if _, ok := h.originAllowed(r); ok && !strings.HasPrefix(origin, "http") {
			t.Errorf("origin %q is allowed", origin)
		}
		if plainLabel(last) && !utf8.ValidString(last) {
			t.Errorf("%q is a label", last)
		}
	})
}

// FuzzShopList parses random lists of shops.
func FuzzShopList(f *testing.F) {
	f.Add(`[1,"2","*"]`)
	f.Add(`null`)
	f.Add(`[1e9]`)
	f.Fuzz(func(t *testing.T, text string) {
		var s shopList
		if json.Unmarshal([]byte(text), &s) != nil {
			return
		}
		for _, shop := range s.Set.List {
			if shop < 1 {
				t.Errorf("%q names shop %d", text, shop)
			}
		}
	})
}

// FuzzBadText: what the check of a body finds is a fault of the caller.
func FuzzBadText(f *testing.F) {
	f.Add([]byte(`{"a":["\ud83d\ude00","` + "\xff" + `"],"b":{"c":"\udc00"}}`))
	f.Add([]byte(`{"a":1}]}{"`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if err := checkText(body); err != nil && doorbell.CodeOf(err) != doorbell.Invalid {
			t.Errorf("%v", err)
		}
	})
}
