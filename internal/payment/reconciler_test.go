package payment_test

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
	"doorbell/internal/payment/alipay"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/providers"
	"doorbell/internal/payment/wechat"
	"doorbell/internal/store"
	"doorbell/internal/testrun"
	"doorbell/transport/transporttest"
)

// direct sends requests to the providers without a network.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// shop is a shop's own system with its providers, in virtual time.
type shop struct {
	t       *testing.T
	store   *store.Store
	service *doorbell.Service
	ledger  *paysim.Ledger
	keys    *rsa.PrivateKey
	sims    *providers.Players
	stop    context.CancelFunc
	running sync.WaitGroup
}

func openShop(t *testing.T, sims *providers.Players, merchant *rsa.PrivateKey) *shop {
	t.Helper()
	s := &shop{t: t, sims: sims, keys: merchant, ledger: &paysim.Ledger{Players: []paysim.Asked{sims.WeChat, sims.Alipay}, Merchant: &merchant.PublicKey}}
	texts, err := doorbell.ParseTexts(map[doorbell.Type]string{1: "{{.Number}}", 2: "{{.Number}}", 3: "{{.Number}}", 4: "{{.Number}}"})
	if err != nil {
		t.Fatal(err)
	}
	if s.store, err = store.Open(t.Context(), store.Options{URL: "sqlite://" + filepath.Join(t.TempDir(), "d.db")}); err != nil {
		t.Fatal(err)
	}
	s.service = doorbell.NewService(s.store, doorbell.Rules{Texts: texts}, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.running.Go(func() { _ = s.store.Run(ctx) }) // Run always returns nil
	return s
}

func (s *shop) close() {
	s.stop()
	s.running.Wait()
	if err := s.store.Close(); err != nil {
		s.t.Error(err)
	}
}

// queriers returns queriers that use the direct transport.
func (s *shop) queriers(ctx context.Context) []payment.Querier {
	s.t.Helper()
	byMerchant := wechat.Asking{Key: s.keys, Serial: "AB12", API: "http://providers", Transport: direct{s.ledger}}
	weChat, err := wechat.NewQuerier(ctx, s.sims.WeChat.Account(), byMerchant)
	if err != nil {
		s.t.Fatal(err)
	}
	byApp := alipay.Asking{Key: s.keys, API: "http://providers/gateway.do", Transport: direct{s.ledger}}
	aliPay, err := alipay.NewQuerier(s.sims.Alipay.Account(), byApp)
	if err != nil {
		s.t.Fatal(err)
	}
	return []payment.Querier{weChat, aliPay}
}

// watched records which node asks, and whether two do.
type watched struct {
	payment.Querier
	node   string
	asking *atomic.Pointer[string]
	t      *testing.T
}

func (w watched) Query(ctx context.Context, number string) (doorbell.Notice, error) {
	w.asking.Store(&w.node)
	return w.Querier.Query(ctx, number)
}

var merchantAndProviders = sync.OnceValues(func() (*rsa.PrivateKey, *providers.Players) {
	merchant, err := alipay.NewPlayer() // any RSA key serves
	if err != nil {
		panic(err)
	}
	sims, err := providers.NewPlayers()
	if err != nil {
		panic(err)
	}
	return merchant.Key, sims
})

// TestEveryPaymentRingsOnce: providers drop 30 % of their callbacks, call late and
// twice, and answer no query for a while; two nodes take turns. Every paid order
// rings once, and no other does.
func TestEveryPaymentRingsOnce(t *testing.T) {
	merchant, sims := merchantAndProviders()
	orders := transporttest.Size(t, "DOORBELL_TEST_DROPPED", 60)
	testrun.Bubble(t, func(t *testing.T) {
		s := openShop(t, sims, merchant)
		defer s.close()
		rng := rand.New(rand.NewPCG(transporttest.Seed(t), 1))
		ctx, stop := context.WithCancel(t.Context())
		var nodes sync.WaitGroup
		var asking atomic.Pointer[string]
		var logs strings.Builder
		log := slog.New(slog.NewTextHandler(lockedWriter{&sync.Mutex{}, &logs}, nil))
		start := func(name string) context.CancelFunc {
			var q []payment.Querier
			for _, one := range s.queriers(ctx) {
				q = append(q, watched{one, name, &asking, t})
			}
			r := payment.NewReconciler(payment.ReconcilerOptions{
				Queriers: q, Store: s.store, Take: s.service.TakeNotice, Log: log, Node: name, After: time.Minute, Until: 3 * time.Hour,
			})
			ctx, stop := context.WithCancel(ctx)
			nodes.Go(func() {
				if err := r.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			return stop
		}
		stopFirst := start("one")
		time.Sleep(time.Second)
		defer start("two")()
		paid := s.customers(rng, orders)
		s.ledger.Break(100)
		time.Sleep(time.Hour)
		synctest.Wait()
		if by := asking.Load(); by == nil || *by != "one" {
			t.Errorf("a node other than the first one asked")
		}
		stopFirst()
		late := s.customers(rng, orders/4)
		time.Sleep(3 * time.Hour)
		stop()
		nodes.Wait()
		if by := asking.Load(); *by != "two" {
			t.Errorf("%s asked after the first node's end, want the other node", *by)
		}
		for number, want := range merge(paid, late) {
			s.wantRings(number, want)
			if n := s.ledger.Asked(number); n > 60 { // 14 times at each of two providers, and more after an error or from another node
				t.Errorf("order %s was queried %d times", number, n)
			}
		}
		if strings.Contains(logs.String(), "oTrial") {
			t.Error("the log holds a provider's text about a customer")
		}
	})
}

type lockedWriter struct {
	mu *sync.Mutex
	w  *strings.Builder
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func merge(a, b map[string]int) map[string]int {
	for k, v := range b {
		a[k] = v
	}
	return a
}

// customers places orders over an hour; most pay, at WeChat or Alipay. It returns
// how often each number must ring.
func (s *shop) customers(rng *rand.Rand, orders int) map[string]int {
	s.t.Helper()
	rings := map[string]int{}
	for i := range orders {
		number := fmt.Sprintf("N%d-%d", time.Now().Unix(), i)
		order := doorbell.Order{Number: number, Shop: 1, User: 1, Money: doorbell.Money{Minor: 100, Currency: "CNY"}}
		if _, _, err := s.service.CreateOrder(s.t.Context(), order); err != nil {
			s.t.Fatal(err)
		}
		rings[number] = 0
		if rng.IntN(10) > 0 {
			rings[number] = 1
			s.pay(rng, number)
		}
		time.Sleep(time.Hour / time.Duration(orders))
	}
	return rings
}

// pay makes one customer's payment and sends, drops or repeats its callback.
func (s *shop) pay(rng *rand.Rand, number string) {
	s.t.Helper()
	m := paysim.Payment{Number: number, Transaction: "T-" + number, Minor: 100}
	sim := []paysim.Player{s.sims.WeChat, s.sims.Alipay}[rng.IntN(2)]
	s.ledger.Pay(sim.Name(), m)
	copies := rng.IntN(3)
	if rng.IntN(10) < 3 {
		copies = 0 // dropped for ever
	} else if copies == 0 {
		copies = 1
	}
	v, err := paysim.Verifier(sim)
	if err != nil {
		s.t.Fatal(err)
	}
	for range copies {
		time.Sleep(time.Duration(rng.IntN(5)) * time.Second)
		c, err := sim.Paid(m)
		if err != nil {
			s.t.Fatal(err)
		}
		n, err := v.Verify(s.t.Context(), c.Header, c.Body)
		if err != nil {
			s.t.Fatal(err)
		}
		if verdict, err := s.service.TakeNotice(s.t.Context(), n); err != nil || !verdict.Succeeded() {
			s.t.Errorf("%s: %s, %v", number, verdict, err)
		}
	}
}

// wantRings counts the alerts of type 1 of an order.
func (s *shop) wantRings(number string, want int) {
	s.t.Helper()
	var after doorbell.Seq
	got := 0
	for {
		alerts, err := s.store.AlertsAfter(s.t.Context(), 1, after, 500)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, a := range alerts {
			after = a.Seq
			if a.Number == number && a.Type == doorbell.NewOrder {
				got++
			}
		}
		if len(alerts) < 500 {
			break
		}
	}
	if got != want {
		s.t.Errorf("order %s rang %d times, want %d", number, got, want)
	}
}

// TestQueries: what each answer of a provider means; another provider's answer is
// refused.
func TestQueries(t *testing.T) {
	merchant, sims := merchantAndProviders()
	testrun.Bubble(t, func(t *testing.T) {
		s := openShop(t, sims, merchant)
		defer s.close()
		states := map[string][]struct {
			state   string
			want    error
			refusal string
		}{
			"wechat": {
				{"SUCCESS", nil, ""},
				{"NOTPAY", payment.ErrNotPaid, ""},
				{"USERPAYING", payment.ErrNotPaid, ""},
				{"CLOSED", payment.ErrClosed, ""},
				{"PAYERROR", payment.ErrClosed, ""},
				{"REVOKED", payment.ErrClosed, ""},
				{"REFUND", nil, "refunded since, in whole or in part"},
				{"SOMETHING_NEW", nil, "not a success"},
			},
			"alipay": {
				{"TRADE_SUCCESS", nil, ""},
				{"TRADE_FINISHED", nil, ""},
				{"WAIT_BUYER_PAY", payment.ErrNotPaid, ""},
				{"TRADE_CLOSED", payment.ErrClosed, ""},
				{"SOMETHING_NEW", nil, "not a success"},
			},
		}
		for _, q := range s.queriers(t.Context()) {
			for i, c := range states[q.Provider()] {
				number := fmt.Sprintf("Q-%d", i)
				s.ledger.SetState(q.Provider(), number, c.state)
				n, err := q.Query(t.Context(), number)
				if !errors.Is(err, c.want) || c.want == nil && (n.Refusal != c.refusal || n.Number != number || n.Minor != 1 || n.Transaction != "T-"+number || n.Provider != q.Provider()) {
					t.Errorf("%s %s: %+v, %v", q.Provider(), c.state, n, err)
				}
			}
			if _, err := q.Query(t.Context(), "NOBODY"); !errors.Is(err, payment.ErrNotPaid) {
				t.Errorf("%s, an unknown order: %v", q.Provider(), err)
			}
			s.ledger.Break(1)
			if _, err := q.Query(t.Context(), "Q-0"); err == nil || errors.Is(err, payment.ErrNotPaid) || strings.Contains(err.Error(), "oTrial") {
				t.Errorf("%s, an error of the provider: %v", q.Provider(), err)
			}
		}
	})
}

// TestAnswersOfAnother: an answer that is signed by somebody else or about another
// order is refused.
func TestAnswersOfAnother(t *testing.T) {
	merchant, sims := merchantAndProviders()
	strangers, err := providers.NewPlayers()
	if err != nil {
		t.Fatal(err)
	}
	testrun.Bubble(t, func(t *testing.T) {
		s := openShop(t, sims, merchant)
		defer s.close()
		s.ledger.Pay("wechat", paysim.Payment{Number: "A", Transaction: "T", Minor: 1})
		s.ledger.Pay("alipay", paysim.Payment{Number: "A", Transaction: "T", Minor: 1})
		for _, q := range s.queriers(t.Context()) {
			if n, err := q.Query(t.Context(), "A"); err != nil || n.Refusal != "" {
				t.Fatalf("%s: %+v, %v", q.Provider(), n, err)
			}
		}
		s.ledger.MixUp("B")
		for _, q := range s.queriers(t.Context()) {
			if n, err := q.Query(t.Context(), "A"); err == nil || errors.Is(err, payment.ErrNotPaid) {
				t.Errorf("%s accepted the answer about another order: %+v, %v", q.Provider(), n, err)
			}
		}
		s.ledger.MixUp("")
		s.ledger.Players = []paysim.Asked{strangers.WeChat, strangers.Alipay}
		for _, q := range s.queriers(t.Context()) {
			if n, err := q.Query(t.Context(), "A"); err == nil || errors.Is(err, payment.ErrNotPaid) {
				t.Errorf("%s accepted a stranger's answer: %+v, %v", q.Provider(), n, err)
			}
		}
	})
}
