package handlers_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/providers"
	"doorbell/internal/server/servertest"
	"doorbell/internal/store"
)

var (
	// second draws the players of another account of each provider.
	second = sync.OnceValues(func() (*providers.Players, error) {
		p, err := providers.NewPlayers()
		if err != nil {
			return nil, err
		}
		p.WeChat.MchID, p.WeChat.KeyID, p.Alipay.AppID = "1900000002", "PUB_KEY_ID_SECOND", "2021000000000002"
		return p, nil
	})
	// strangers draws players whom no server believes.
	strangers = sync.OnceValues(providers.NewPlayers)
)

// players returns what was drawn once for all tests: an RSA key takes its time.
func players(t *testing.T, draw func() (*providers.Players, error)) *providers.Players {
	t.Helper()
	p, err := draw()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// several reports whether a provider may have more accounts than one.
func several(p paysim.Player) bool { return p.Name() != "webhook" }

// allProviders starts a server that accepts callbacks of all providers, at the
// bare path and, for another account, at the path of "second".
func allProviders(t *testing.T, edits ...func(*config.Config)) (*testServer, *providers.Players) {
	t.Helper()
	sims, more := servertest.Players(t), players(t, second)
	pay := func(c *config.Config) {
		c.Pay.WeChat.Accounts = []config.WeChatAccount{{Name: "second", WeChat: servertest.WeChat(t, more.WeChat)}}
		c.Pay.Alipay, c.Pay.Stripe, c.Pay.Webhook = servertest.Alipay(t, sims.Alipay), servertest.Stripe(sims.Stripe), servertest.Webhook(sims.Webhook)
		c.Pay.Alipay.Accounts = []config.AlipayAccount{{Name: "second", Alipay: servertest.Alipay(t, more.Alipay)}}
		c.Pay.Stripe.Accounts = []config.StripeAccount{{Name: "second", Stripe: servertest.Stripe(more.Stripe)}}
	}
	return newServer(t, append([]func(*config.Config){pay}, edits...)...), sims
}

// orderStates are the states of an order that a forgery may name.
var orderStates = []string{"unknown", "unpaid", "paid", "accepted", "cancelled", "refunded"}

// orderInEach creates one order per provider and state, numbered F-PROVIDER-STATE.
func (s *testServer) orderInEach(sims *providers.Players) {
	s.t.Helper()
	for _, p := range sims.All() {
		for _, state := range orderStates[1:] {
			number := forgedNumber(p, state)
			s.order(number, 100)
			m := paysim.Payment{Number: number, Transaction: "paid-" + number, Minor: 100}
			page, err := s.Store.Unpaid(s.t.Context(), time.Unix(0, 0), time.Now().Add(time.Hour), doorbell.Order{}, 500)
			if err != nil {
				s.t.Fatal(err)
			}
			id := page[slices.IndexFunc(page, func(o doorbell.Order) bool { return o.Number == number })].ID
			if state == "cancelled" {
				_, err = s.Service.CancelOrder(s.t.Context(), id, "test")
			}
			if state == "paid" || state == "accepted" || state == "refunded" {
				s.genuine(p, m)
			}
			if state == "accepted" {
				_, err = s.Service.AcceptOrder(s.t.Context(), id, "test")
			}
			if err != nil {
				s.t.Fatal(err)
			}
			if state == "refunded" {
				c, err := p.Refunded(paysim.Refund{Payment: m})
				if err != nil {
					s.t.Fatal(err)
				}
				s.wantTaken(p, "refund", c)
			}
		}
	}
}

func forgedNumber(p paysim.Player, state string) string { return "F-" + p.Name() + "-" + state }

// genuine sends a payment's callback, which must be accepted.
func (s *testServer) genuine(p paysim.Player, m paysim.Payment) paysim.Callback {
	s.t.Helper()
	c, err := p.Paid(m)
	if err != nil {
		s.t.Fatal(err)
	}
	s.wantTaken(p, m.Number, c)
	return c
}

func (s *testServer) wantTaken(p paysim.Player, what string, c paysim.Callback) {
	s.t.Helper()
	if w := s.deliver(paysim.Path(p), c); !p.Taken(w.Code, w.Body.String()) {
		s.t.Errorf("%s, %s: %d %s; want it accepted", p.Name(), what, w.Code, w.Body)
	}
}

// deliver passes a callback to the routes without a connection, so that even
// headers that no client would send arrive.
func (s *testServer) deliver(path string, c paysim.Callback) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, "/"+path, bytes.NewReader(c.Body))
	r.Header = c.Header.Clone()
	w := httptest.NewRecorder()
	s.Edge.ServeHTTP(w, r)
	return w
}

// whole is everything that a callback could change.
type whole struct {
	orders   []doorbell.Order
	position doorbell.Position
	inbox    []doorbell.Callback
}

func (s *testServer) whole() (w whole) {
	s.t.Helper()
	for id := doorbell.OrderID(1); ; id++ {
		o, err := s.Service.Order(s.t.Context(), id)
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
	if w.inbox, err = s.Store.Inbox(s.t.Context(), store.InboxQuery{Limit: 10_000}); err != nil {
		s.t.Fatal(err)
	}
	return w
}

func (w whole) equal(v whole) bool {
	return cmp.Equal(w.orders, v.orders) && w.position == v.position && slices.Equal(w.inbox, v.inbox)
}

// TestCopiesOfEveryProvider: 1,000 concurrent copies of one genuine callback ring
// once, and each gets the provider's own success.
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

// TestBadBodies: malformed, cut or wrongly typed bodies get a clear answer and
// change nothing; a genuine body with a wrong content type is still genuine.
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

// TestFloodFromOneSource: a flood of forgeries blocks neither the provider, which
// uses the same address, nor anybody else.
func TestFloodFromOneSource(t *testing.T) {
	s, sims := allProviders(t)
	others := players(t, strangers)
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

// TestForwardedCallback: a callback is forwarded unchanged, only if configured,
// and only if genuine.
func TestForwardedCallback(t *testing.T) {
	forwarded := make(chan string, 100)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		forwarded <- string(body)
		w.WriteHeader(http.StatusServiceUnavailable) // else it would not be kept
	}))
	t.Cleanup(backend.Close)
	s, sims := allProviders(t, func(c *config.Config) { c.Pay.WeChat.Forward = backend.URL })
	s.order("A-1", 100)
	c := s.genuine(sims.WeChat, paysim.Payment{Number: "A-1", Transaction: "t", Minor: 100})
	s.wantTaken(sims.WeChat, "again", c)
	s.order("A-2", 100)
	s.genuine(sims.Alipay, paysim.Payment{Number: "A-2", Transaction: "t", Minor: 100})
	c.Body = append(c.Body, ' ')
	s.deliver(paysim.Path(sims.WeChat), c)
	kept, err := s.Store.Outgoing(t.Context(), store.OutgoingQuery{Any: true, Limit: 10})
	if err != nil || len(kept) != 1 {
		t.Fatalf("%d kept, %v; want the genuine one of WeChat, once", len(kept), err)
	}
	o := kept[0]
	if o.Hook != doorbell.ForwardHook || string(o.Body)+" " != string(c.Body) || o.Header.Get("Wechatpay-Signature") != c.Header.Get("Wechatpay-Signature") || o.Header.Get("Content-Type") != "application/json" {
		t.Errorf("kept %+v", o)
	}
	select {
	case got := <-forwarded:
		if got != string(o.Body) {
			t.Errorf("the backend was sent %q, want what came", got)
		}
	case <-time.After(20 * time.Second):
		t.Error("the backend was sent nothing")
	}
}
