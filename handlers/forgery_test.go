package handlers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"doorbell/internal/payment/paysim"
	"doorbell/transport/transporttest"
)

// field is one signed part of a callback: its value, and a copy of the callback
// with another value; ok is false if the part does not exist.
type field struct {
	name string
	get  func(c paysim.Callback) string
	set  func(c paysim.Callback, value string, gone bool) paysim.Callback
}

func headerField(name string) field {
	return field{
		"header " + name, func(c paysim.Callback) string { return c.Header.Get(name) },
		func(c paysim.Callback, value string, gone bool) paysim.Callback {
			c.Header = c.Header.Clone()
			c.Header.Set(name, strings.Trim(value, " ")) // HTTP ignores the space around a value
			if gone {
				c.Header.Del(name)
			}
			return c
		},
	}
}

// stripeField returns one part of Stripe's header; only t and v1 are signed.
func stripeField(key string) field {
	find := func(c paysim.Callback) (whole, value string) {
		whole = c.Header.Get("Stripe-Signature")
		for part := range strings.SplitSeq(whole, ",") {
			if k, v, _ := strings.Cut(part, "="); k == key {
				return whole, v
			}
		}
		return whole, ""
	}
	return field{
		"Stripe-Signature's " + key, func(c paysim.Callback) string { _, v := find(c); return v },
		func(c paysim.Callback, value string, gone bool) paysim.Callback {
			whole, old := find(c)
			part := key + "=" + value
			if gone {
				part = "x=1"
			}
			c.Header = c.Header.Clone()
			c.Header.Set("Stripe-Signature", strings.Replace(whole, key+"="+old, part, 1))
			return c
		},
	}
}

var bodyField = field{
	"the body", func(c paysim.Callback) string { return string(c.Body) },
	func(c paysim.Callback, value string, _ bool) paysim.Callback {
		c.Body = []byte(value)
		return c
	},
}

func formField(name string) field {
	parse := func(c paysim.Callback) url.Values {
		form, err := url.ParseQuery(string(c.Body))
		if err != nil {
			panic(err)
		}
		return form
	}
	return field{
		"parameter " + name, func(c paysim.Callback) string { return parse(c).Get(name) },
		func(c paysim.Callback, value string, gone bool) paysim.Callback {
			form := parse(c)
			form.Set(name, value)
			if gone {
				form.Del(name)
			}
			c.Body = []byte(form.Encode())
			return c
		},
	}
}

// jsonField returns a value in the body; the other bytes stay unchanged.
func jsonField(path ...string) field {
	find := func(c paysim.Callback) (value string) {
		var at any
		if json.Unmarshal(c.Body, &at) != nil {
			return ""
		}
		for _, key := range path {
			m, _ := at.(map[string]any)
			at = m[key]
		}
		text, err := json.Marshal(at)
		if err != nil {
			panic(err)
		}
		return string(text)
	}
	key := path[len(path)-1]
	return field{
		"field " + strings.Join(path, "."), find,
		func(c paysim.Callback, value string, gone bool) paysim.Callback {
			old := fmt.Sprintf(`%q:%s`, key, find(c))
			text := fmt.Sprintf(`%q:%s`, key, value)
			if gone {
				text = `"gone":0`
			}
			c.Body = bytes.Replace(c.Body, []byte(old), []byte(text), 1)
			return c
		},
	}
}

// signedFields returns the parts that each provider's signature covers, and the
// signature itself.
func signedFields(p paysim.Player) []field {
	switch p.Name() {
	case "wechat":
		return []field{
			headerField("Wechatpay-Timestamp"), headerField("Wechatpay-Nonce"), headerField("Wechatpay-Signature"), headerField("Wechatpay-Serial"),
			bodyField, jsonField("event_type"), jsonField("id"), jsonField("summary"), jsonField("resource", "ciphertext"), jsonField("resource", "nonce"),
			jsonField("resource", "associated_data"), jsonField("resource", "algorithm"),
		}
	case "alipay":
		return []field{
			bodyField, formField("sign"), formField("sign_type"), formField("app_id"), formField("seller_id"), formField("out_trade_no"), formField("trade_no"),
			formField("trade_status"), formField("total_amount"), formField("subject"), formField("refund_fee"), formField("notify_id"),
		}
	case "stripe":
		return []field{
			stripeField("t"), stripeField("v1"), bodyField, jsonField("type"), jsonField("data", "object", "id"), jsonField("data", "object", "amount_received"),
			jsonField("data", "object", "metadata", "number"), jsonField("data", "object", "currency"), jsonField("data", "object", "status"), jsonField("created"),
		}
	default:
		return []field{
			headerField("webhook-id"), headerField("webhook-timestamp"), headerField("webhook-signature"), bodyField, jsonField("type"),
			jsonField("data", "number"), jsonField("data", "amount"), jsonField("data", "currency"), jsonField("data", "transactionId"),
		}
	}
}

// mutation changes a value; other is the same field of a stranger's callback.
type mutation struct {
	name string
	edit func(rng *rand.Rand, value, other string) (changed string, gone bool)
}

func edits(f func(rng *rand.Rand, value string) string) func(*rand.Rand, string, string) (string, bool) {
	return func(rng *rand.Rand, value, _ string) (string, bool) { return f(rng, value), false }
}

var mutations = []mutation{
	{"gone", func(*rand.Rand, string, string) (string, bool) { return "", true }},
	{"empty", edits(func(*rand.Rand, string) string { return "" })},
	{"twice", edits(func(_ *rand.Rand, v string) string { return v + v })},
	{"a stranger's", func(_ *rand.Rand, _, other string) (string, bool) { return other, false }},
	{"one bit", edits(func(rng *rand.Rand, v string) string {
		if v == "" {
			return "\x01"
		}
		b := []byte(v)
		// Not the last byte: base64 may not use all of its bits. Not a letter's case:
		// it means the same in hex.
		b[rng.IntN((len(b)+1)/2)] ^= []byte{1, 2, 4, 8, 16, 64}[rng.IntN(6)]
		return string(b)
	})},
	{"cut", edits(func(rng *rand.Rand, v string) string { return v[:rng.IntN(max(len(v), 1))] })},
	{"longer", edits(func(_ *rand.Rand, v string) string { return v + "0" })},
	{"a space before", edits(func(_ *rand.Rand, v string) string { return " " + v })},
	{"a line break", edits(func(_ *rand.Rand, v string) string { return v + "\n" + v })},
	{"a zero byte", edits(func(_ *rand.Rand, v string) string { return v + "\x00" })},
	{"huge", edits(func(_ *rand.Rand, v string) string { return strings.Repeat(v+"A", 9000/(len(v)+1)+1) })},
	{"not UTF-8", edits(func(_ *rand.Rand, v string) string { return v + "\xff\xfe" })},
	{"a number", edits(func(*rand.Rand, string) string { return "9223372036854775808" })},
	{"null", edits(func(*rand.Rand, string) string { return "null" })},
	{"a list", edits(func(_ *rand.Rand, v string) string { return "[" + v + "]" })},
}

// TestForgeryGenerator: provider × field × mutation × order state. No forgery is
// accepted, changes anything or causes a panic, and the log holds no part of a
// body.
func TestForgeryGenerator(t *testing.T) {
	s, sims := allProviders(t)
	others := players(t, strangers)
	s.orderInEach(sims)
	before := s.whole()
	mark := len(s.Log.String())
	rng := transporttest.Seeded(t)
	type forgery struct {
		provider int
		field    field
		mutation mutation
		state    string
	}
	var all []forgery
	for i, p := range sims.All() {
		for _, f := range signedFields(p) {
			for _, m := range mutations {
				for _, state := range orderStates {
					all = append(all, forgery{i, f, m, state})
				}
			}
		}
	}
	want := transporttest.Size(t, "DOORBELL_TEST_FORGERIES", 2000)
	made := map[string]int{}
	for n := 0; n < want; {
		if n%len(all) == 0 {
			rng.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
		}
		f := all[n%len(all)]
		p := sims.All()[f.provider]
		m := paysim.Payment{Number: forgedNumber(p, f.state), Transaction: fmt.Sprintf("forged-%d", n), Minor: 100}
		c, err := p.Paid(m)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := others.All()[f.provider].Paid(m)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%s, %s: %s, of an order that is %s", p.Name(), f.field.name, f.mutation.name, f.state)
		value := f.field.get(c)
		changed, gone := f.mutation.edit(rng, value, f.field.get(theirs))
		forged := f.field.set(c, changed, gone)
		if n >= len(all) && rng.IntN(2) == 0 { // a second mutation on top
			more := signedFields(p)[rng.IntN(len(signedFields(p)))]
			if p.Name() != "alipay" || f.field.name != bodyField.name {
				again, gone := mutations[rng.IntN(len(mutations))].edit(rng, more.get(forged), more.get(theirs))
				forged = more.set(forged, again, gone)
			}
		}
		n++
		if bytes.Equal(forged.Body, c.Body) && maps.EqualFunc(forged.Header, c.Header, slices.Equal) {
			continue // refund_fee is absent and can't be removed
		}
		made[p.Name()]++
		path := paysim.Path(p)
		if rng.IntN(3) == 0 {
			path += "/second"
		}
		if w := s.deliver(path, forged); w.Code < 400 || p.Taken(w.Code, w.Body.String()) {
			t.Errorf("%s: %d %s\n%q %q", name, w.Code, w.Body, forged.Header, forged.Body)
		}
	}
	// All parts are the stranger's, at every provider's endpoint.
	for i, p := range sims.All() {
		for _, state := range orderStates {
			m := paysim.Payment{Number: forgedNumber(p, state), Transaction: "strange", Minor: 100}
			for k, other := range others.All() {
				c, err := other.Paid(m)
				if err != nil {
					t.Fatal(err)
				}
				if w := s.deliver(paysim.Path(p), c); w.Code < 400 {
					t.Errorf("%s, signed by a stranger's %s, %s: %d", p.Name(), other.Name(), state, w.Code)
				}
				if k == i {
					continue
				}
				if c, err = sims.All()[k].Paid(m); err != nil {
					t.Fatal(err)
				}
				if w := s.deliver(paysim.Path(p)+"/second", c); w.Code < 400 {
					t.Errorf("%s accepted what is signed for %s, for another account: %d", p.Name(), other.Name(), w.Code)
				}
				if w := s.deliver(paysim.Path(p), c); w.Code < 400 {
					t.Errorf("%s accepted what is signed for %s: %d", p.Name(), other.Name(), w.Code)
				}
			}
		}
	}
	if !before.equal(s.whole()) {
		t.Error("orders, log or inbox changed")
	}
	logs := s.Log.String()[mark:]
	for _, never := range []string{"F-", "forged-", "oTrial", "ciphertext", "panic", "外卖"} {
		if strings.Contains(logs, never) {
			t.Errorf("the log holds %q:\n%.2000s", never, logs)
		}
	}
	if len(made) != 4 {
		t.Errorf("made %v, want some of every provider", made)
	}
	for _, p := range sims.All() {
		s.genuine(p, paysim.Payment{Number: forgedNumber(p, "unpaid"), Transaction: "true-" + p.Name(), Minor: 100})
	}
}
