package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/store"
	"doorbell/transport/transporttest"
)

var providers = sync.OnceValues(paysim.New)

var strangers = sync.OnceValues(paysim.New)

// allProviders starts a server that takes callbacks of all of them.
func allProviders(t *testing.T, edit ...func(*Options)) (*testServer, *paysim.Providers) {
	t.Helper()
	sims, err := providers()
	if err != nil {
		t.Fatal(err)
	}
	gates := map[string]*payment.Gate{}
	for _, p := range sims.All() {
		v, err := p.Verifier()
		if err != nil {
			t.Fatal(err)
		}
		gates[p.Name()] = payment.NewGate(v)
	}
	s := newServer(t, append([]func(*Options){func(o *Options) { o.Gates = gates }}, edit...)...)
	s.platform = sims.WeChat
	return s, sims
}

// orderStates are what an order can be in when a forgery names it.
var orderStates = []string{"unknown", "unpaid", "paid", "accepted", "cancelled", "refunded"}

// orderInEach makes one order per provider and state, numbered
// F-PROVIDER-STATE.
func (s *testServer) orderInEach(sims *paysim.Providers) {
	s.t.Helper()
	for _, p := range sims.All() {
		for _, state := range orderStates[1:] {
			number := forgedNumber(p, state)
			s.order(number, 100)
			m := paysim.Payment{Number: number, Transaction: "paid-" + number, Minor: 100}
			page, err := s.store.Unpaid(s.t.Context(), time.Unix(0, 0), time.Now().Add(time.Hour), doorbell.Order{}, 500)
			if err != nil {
				s.t.Fatal(err)
			}
			id := page[slices.IndexFunc(page, func(o doorbell.Order) bool { return o.Number == number })].ID
			if state == "cancelled" {
				_, err = s.service.CancelOrder(s.t.Context(), id, "test")
			}
			if state == "paid" || state == "accepted" || state == "refunded" {
				s.genuine(p, m)
			}
			if state == "accepted" {
				_, err = s.service.AcceptOrder(s.t.Context(), id, "test")
			}
			if err != nil {
				s.t.Fatal(err)
			}
			if state == "refunded" {
				c, err := p.Refunded(m)
				if err != nil {
					s.t.Fatal(err)
				}
				s.wantTaken(p, "refund", c)
			}
		}
	}
}

func forgedNumber(p paysim.Provider, state string) string { return "F-" + p.Name() + "-" + state }

// genuine sends a payment's callback, which must be taken.
func (s *testServer) genuine(p paysim.Provider, m paysim.Payment) paysim.Callback {
	s.t.Helper()
	c, err := p.Paid(m)
	if err != nil {
		s.t.Fatal(err)
	}
	s.wantTaken(p, m.Number, c)
	return c
}

func (s *testServer) wantTaken(p paysim.Provider, what string, c paysim.Callback) {
	s.t.Helper()
	if w := s.deliver(paysim.Path(p), c); !p.Taken(w.Code, w.Body.String()) {
		s.t.Errorf("%s, %s: %d %s; want it taken", p.Name(), what, w.Code, w.Body)
	}
}

// deliver hands a callback to the routes without a connection, so that headers
// no client would send come through as well.
func (s *testServer) deliver(path string, c paysim.Callback) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, "/"+path, bytes.NewReader(c.Body))
	r.Header = c.Header.Clone()
	w := httptest.NewRecorder()
	s.edge.ServeHTTP(w, r)
	return w
}

// whole is all that a callback could change.
type whole struct {
	orders   []doorbell.Order
	position doorbell.Position
	inbox    []doorbell.Callback
}

func (s *testServer) whole() (w whole) {
	s.t.Helper()
	for id := doorbell.OrderID(1); ; id++ {
		o, err := s.service.Order(s.t.Context(), id)
		if doorbell.CodeOf(err) == doorbell.NotFound {
			break
		}
		if err != nil {
			s.t.Fatal(err)
		}
		w.orders = append(w.orders, o)
	}
	_, w.position = s.position(1)
	var err error
	if w.inbox, err = s.store.Inbox(s.t.Context(), store.InboxQuery{Limit: 10_000}); err != nil {
		s.t.Fatal(err)
	}
	return w
}

func (w whole) equal(v whole) bool {
	return slices.Equal(w.orders, v.orders) && w.position == v.position && slices.Equal(w.inbox, v.inbox)
}

// field is one signed part of a callback: the value as text, and a copy of the
// callback with another one; ok is false for a part that has none.
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
			c.Header.Set(name, strings.Trim(value, " ")) // as HTTP has it: space around a value is none of it
			if gone {
				c.Header.Del(name)
			}
			return c
		},
	}
}

// stripeField is one part of Stripe's header; what is not t or v1 is not signed.
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

// jsonField is a value in the body; the rest is left as it is, byte for byte.
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

// signedFields are what each provider's signature covers, and what carries it.
func signedFields(p paysim.Provider) []field {
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
		// Not of the last: base64 may not use all of its bits. Not a letter's
		// case: in hex it says the same.
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

// TestForgeryGenerator: provider × field × mutation × order state. None is
// taken, none changes anything, none panics, nothing of a body is in the log.
func TestForgeryGenerator(t *testing.T) {
	s, sims := allProviders(t)
	others, err := strangers()
	if err != nil {
		t.Fatal(err)
	}
	s.orderInEach(sims)
	before := s.whole()
	mark := len(s.logs.String())
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
		if n >= len(all) && rng.IntN(2) == 0 { // a second one on top
			more := signedFields(p)[rng.IntN(len(signedFields(p)))]
			if p.Name() != "alipay" || f.field.name != bodyField.name {
				again, gone := mutations[rng.IntN(len(mutations))].edit(rng, more.get(forged), more.get(theirs))
				forged = more.set(forged, again, gone)
			}
		}
		n++
		if bytes.Equal(forged.Body, c.Body) && maps.EqualFunc(forged.Header, c.Header, slices.Equal) {
			continue // refund_fee is not there to be taken away
		}
		made[p.Name()]++
		if w := s.deliver(paysim.Path(p), forged); w.Code < 400 || p.Taken(w.Code, w.Body.String()) {
			t.Errorf("%s: %d %s\n%q %q", name, w.Code, w.Body, forged.Header, forged.Body)
		}
	}
	// All of it as the stranger would have it, at every provider's door.
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
				if w := s.deliver(paysim.Path(p), c); w.Code < 400 {
					t.Errorf("%s took what is signed for %s: %d", p.Name(), other.Name(), w.Code)
				}
			}
		}
	}
	if !before.equal(s.whole()) {
		t.Error("orders, log or inbox changed")
	}
	logs := s.logs.String()[mark:]
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

// TestCopiesOfEveryProvider: 1,000 copies at once of one genuine callback ring
// once, and each is answered with the provider's own success.
func TestCopiesOfEveryProvider(t *testing.T) {
	s, sims := allProviders(t)
	for _, p := range sims.All() {
		_, before := s.position(1)
		s.order("C-"+p.Name(), 100)
		c, err := p.Paid(paysim.Payment{Number: "C-" + p.Name(), Transaction: "t-" + p.Name(), Minor: 100})
		if err != nil {
			t.Fatal(err)
		}
		var sending sync.WaitGroup
		slots := make(chan struct{}, 64)
		for range 1000 {
			slots <- struct{}{}
			sending.Go(func() {
				defer func() { <-slots }()
				s.wantTaken(p, "a copy", c)
			})
		}
		sending.Wait()
		s.wantHead(before.Head + 1)
	}
}

// TestBadBodies: what is malformed, cut or of another type gets a clear answer
// and changes nothing; a genuine one under a wrong type is still genuine.
func TestBadBodies(t *testing.T) {
	s, sims := allProviders(t)
	s.orderInEach(sims)
	before := s.whole()
	for _, p := range sims.All() {
		m := paysim.Payment{Number: forgedNumber(p, "unpaid"), Transaction: "b-" + p.Name(), Minor: 100}
		c, err := p.Paid(m)
		if err != nil {
			t.Fatal(err)
		}
		for name, bad := range map[string]struct {
			body []byte
			want int
		}{
			"nothing":           {nil, 401},
			"64 KiB and a byte": {bytes.Repeat([]byte("x"), payment.MaxBody+1), 413},
			"10 MB":             {bytes.Repeat([]byte("x"), 10<<20), 413},
			"half of it":        {c.Body[:len(c.Body)/2], 401},
			"zeros":             {make([]byte, 1000), 401},
			"deep JSON":         {bytes.Repeat([]byte("["), 60_000), 401},
			"many parameters":   {bytes.Repeat([]byte("a=1&"), 16_000), 401},
			"a broken escape":   {[]byte("sign=%zz&sign_type=RSA2"), 401},
		} {
			if w := s.deliver(paysim.Path(p), paysim.Callback{Header: c.Header, Body: bad.body}); w.Code != bad.want || w.Body.Len() == 0 || w.Body.Len() > 200 {
				t.Errorf("%s, %s: %d %s, want %d with a reason", p.Name(), name, w.Code, w.Body, bad.want)
			}
		}
		if !before.equal(s.whole()) {
			t.Errorf("%s: something changed", p.Name())
		}
		for i, kind := range []string{"", "text/plain", "multipart/form-data; boundary=x", "application/octet-stream", "x"} {
			c.Header.Set("Content-Type", kind)
			s.wantTaken(p, fmt.Sprintf("type %q", kind), c)
			if i == 0 {
				s.wantHead(before.position.Head + 1)
			}
		}
		before = s.whole()
	}
}

// TestFloodFromOneSource: a flood of forgeries neither shuts the provider out,
// which comes from the same address, nor anybody else.
func TestFloodFromOneSource(t *testing.T) {
	s, sims := allProviders(t)
	others, err := strangers()
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range sims.All() {
		forged, err := others.All()[i].Paid(paysim.Payment{Number: "X", Transaction: "x", Minor: 1})
		if err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		var flood sync.WaitGroup
		for range 16 {
			flood.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						s.deliver(paysim.Path(p), forged)
					}
				}
			})
		}
		for n := range 20 {
			number := fmt.Sprintf("G-%s-%d", p.Name(), n)
			s.order(number, 100)
			s.genuine(p, paysim.Payment{Number: number, Transaction: "t" + number, Minor: 100})
		}
		close(stop)
		flood.Wait()
	}
	s.wantHead(80)
}

// TestForwardedCallback: what is passed on is what came, and only where it is
// asked for, and only what was genuine.
func TestForwardedCallback(t *testing.T) {
	s, sims := allProviders(t, func(o *Options) { o.Forward = map[string]bool{"wechat": true} })
	s.order("A-1", 100)
	c := s.genuine(sims.WeChat, paysim.Payment{Number: "A-1", Transaction: "t", Minor: 100})
	s.wantTaken(sims.WeChat, "again", c)
	s.order("A-2", 100)
	s.genuine(sims.Alipay, paysim.Payment{Number: "A-2", Transaction: "t", Minor: 100})
	c.Body = append(c.Body, ' ')
	s.deliver(paysim.Path(sims.WeChat), c)
	kept, err := s.store.Outgoing(t.Context(), store.OutgoingQuery{Any: true, Limit: 10})
	if err != nil || len(kept) != 1 {
		t.Fatalf("%d kept, %v; want the genuine one of WeChat, once", len(kept), err)
	}
	o := kept[0]
	if o.Hook != doorbell.ForwardHook || string(o.Body)+" " != string(c.Body) || o.Header.Get("Wechatpay-Signature") != c.Header.Get("Wechatpay-Signature") || o.Header.Get("Content-Type") != "application/json" {
		t.Errorf("kept %+v", o)
	}
}
