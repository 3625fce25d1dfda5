package e2e

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"doorbell/internal/payment/alipay"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/providers"
	"doorbell/transport/transporttest"
)

var hookSecret = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("h"), 32))

// backend is a shop's own system: it receives webhooks and forwarded callbacks.
type backend struct {
	t *testing.T

	mu     sync.Mutex
	away   bool
	events map[string]int // by type and number
	raw    []paysim.Callback
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away || err != nil {
		http.Error(w, "away", http.StatusBadGateway)
		return
	}
	if r.URL.Path == "/callbacks" {
		b.raw = append(b.raw, paysim.Callback{Header: r.Header.Clone(), Body: body})
		return
	}
	verifier, err := standardwebhooks.NewWebhook(hookSecret)
	if err == nil {
		err = verifier.Verify(body, r.Header)
	}
	var event struct {
		Type string         `json:"type"`
		Data map[string]any `json:"data"`
	}
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	if err != nil {
		b.t.Errorf("a webhook that the standard's library does not take: %v\n%s", err, body)
	}
	b.events[fmt.Sprint(event.Type, " ", event.Data["number"])]++
}

func (b *backend) told(event string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.events[event]
}

func (b *backend) passedOn() []paysim.Callback {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.raw
}

func (b *backend) setAway(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
}

// merchant is a merchant's folder of keys, and the settings that name them.
type merchant struct {
	t      *testing.T
	dir    string
	own    *rsa.PrivateKey
	sims   *providers.Players
	ledger *paysim.Ledger
	api    *httptest.Server
}

func newMerchant(t *testing.T) *merchant {
	t.Helper()
	sims, err := providers.NewPlayers()
	if err != nil {
		t.Fatal(err)
	}
	own, err := alipay.NewPlayer() // any RSA key serves
	if err != nil {
		t.Fatal(err)
	}
	m := &merchant{t: t, dir: t.TempDir(), own: own.Key, sims: sims}
	m.ledger = &paysim.Ledger{Players: []paysim.Asked{sims.WeChat, sims.Alipay}, Merchant: &own.Key.PublicKey}
	m.api = httptest.NewServer(m.ledger)
	t.Cleanup(m.api.Close)
	m.publicKey("wechat.pem", sims.WeChat.Key)
	m.publicKey("alipay.pem", sims.Alipay.Key)
	m.write("own.pem", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(own.Key))
	return m
}

func (m *merchant) publicKey(name string, key *rsa.PrivateKey) {
	m.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		m.t.Fatal(err)
	}
	m.write(name, "PUBLIC KEY", der)
}

func (m *merchant) write(name, kind string, der []byte) {
	m.t.Helper()
	if err := os.WriteFile(m.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (m *merchant) file(name string) string { return filepath.Join(m.dir, name) }

func (m *merchant) env() []string {
	w, a := m.sims.WeChat, m.sims.Alipay
	return []string{
		"DOORBELL_PAY_WECHAT_MCHID=" + w.MchID, "DOORBELL_PAY_WECHAT_APPID=" + w.AppID, "DOORBELL_PAY_WECHAT_API_V3_KEY=" + w.APIv3Key,
		"DOORBELL_PAY_WECHAT_PUBLIC_KEYS=" + w.KeyID + "=" + m.file("wechat.pem"), "DOORBELL_PAY_WECHAT_PRIVATE_KEY=" + m.file("own.pem"),
		"DOORBELL_PAY_WECHAT_SERIAL=AB12", "DOORBELL_PAY_WECHAT_API_URL=" + m.api.URL,
		"DOORBELL_PAY_ALIPAY_APP_ID=" + a.AppID, "DOORBELL_PAY_ALIPAY_SELLER_ID=" + a.SellerID, "DOORBELL_PAY_ALIPAY_PUBLIC_KEYS=" + m.file("alipay.pem"),
		"DOORBELL_PAY_ALIPAY_PRIVATE_KEY=" + m.file("own.pem"), "DOORBELL_PAY_ALIPAY_API_URL=" + m.api.URL + "/gateway.do",
		"DOORBELL_PAY_STRIPE_SECRETS=" + m.sims.Stripe.Secret, "DOORBELL_PAY_WEBHOOK_SECRETS=" + m.sims.Webhook.Secret,
		"DOORBELL_PAY_RECONCILE_AFTER=10s",
	}
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// try runs a command that may fail.
func (s *server) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.bin, args...)
	cmd.Dir, cmd.Env = s.dir, s.environ()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// deliver sends a callback once and reports whether the provider would stop.
func (s *server) deliver(p paysim.Player, c paysim.Callback) error {
	s.t.Helper()
	req, err := c.Request(s.base + paysim.Path(p))
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req.WithContext(s.t.Context()))
	if err != nil {
		return err
	}
	return paysim.Answer(p, res)
}

func (s *server) order(service, number string) {
	s.t.Helper()
	if status, answer := s.call("POST", "api/v1/orders", service, map[string]any{"number": number, "shopId": 1, "userId": 1, "amount": 100}); status != http.StatusCreated {
		s.t.Fatalf("order %s: %d %v", number, status, answer)
	}
}

// TestMoneyByAnyDoor: the program with the keys of four providers, some of whose
// callbacks never come, is killed in between. Every payment rings once and is
// reported once to the shop's own system, and nothing else is.
func TestMoneyByAnyDoor(t *testing.T) {
	t.Parallel()
	m := newMerchant(t)
	own := &backend{t: t, events: map[string]int{}}
	told := httptest.NewServer(own)
	t.Cleanup(told.Close)
	s := startServer(t, append(m.env(),
		"DOORBELL_WEBHOOKS=[{name: backend, url: "+told.URL+"/events, secret: "+hookSecret+"}]",
		"DOORBELL_PAY_WECHAT_FORWARD="+told.URL+"/callbacks", "DOORBELL_ALERTS_UNHEARD=5s",
	)...)
	service := s.token("service", "--shops", "1")
	rng := transporttest.Seeded(t)
	own.setAway(true)
	var numbers []string
	forwarded := 0
	for i := range transporttest.Size(t, "DOORBELL_TEST_DROPPED", 40) {
		p := m.sims.All()[i%4]
		number := fmt.Sprintf("M-%s-%d", p.Name(), i)
		numbers = append(numbers, number)
		s.order(service, number)
		payment := paysim.Payment{Number: number, Transaction: "t-" + number, Minor: 100}
		m.ledger.Pay(p.Name(), payment)
		if canAsk := i%4 < 2; canAsk && rng.IntN(10) < 3 {
			continue // this callback never comes
		}
		c, err := p.Paid(payment)
		if err != nil {
			t.Fatal(err)
		}
		if p.Name() == "wechat" {
			forwarded++
		}
		for range 1 + rand.N(3) {
			if err := s.deliver(p, c); err != nil {
				t.Errorf("%s: %v", number, err)
			}
		}
	}
	s.stop(syscall.SIGKILL)
	s.start()
	own.setAway(false)
	s.order(service, "M-unpaid")
	for _, number := range numbers {
		eventually(t, number+" was told as paid", func() bool { return own.told("order.paid "+number) > 0 })
	}
	eventually(t, "nobody heard, and that was told", func() bool { return own.told("order.unheard "+numbers[0]) > 0 })
	eventually(t, "the callbacks were passed on", func() bool { return len(own.passedOn()) >= forwarded })
	rings := map[string]int{}
	_, got := s.call("GET", "api/v1/alerts?shop=1&type=1&limit=500", service, nil)
	for _, a := range got["alerts"].([]any) {
		rings[a.(map[string]any)["number"].(string)]++
	}
	for _, number := range numbers {
		if rings[number] != 1 {
			t.Errorf("%s rang %d times, want once", number, rings[number])
		}
	}
	if len(rings) != len(numbers) || own.told("order.paid M-unpaid") > 0 {
		t.Errorf("%d orders rang, want %d", len(rings), len(numbers))
	}
	v, err := paysim.Verifier(m.sims.WeChat)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range own.passedOn() {
		if _, err := v.Verify(t.Context(), c.Header, c.Body); err != nil {
			t.Errorf("a callback that was passed on does not verify: %v", err)
		}
	}
	if log := s.log.String(); strings.Contains(log, "oTrial") || strings.Contains(log, "BEGIN") {
		t.Error("the log holds what it must not")
	}
}

// TestKeysAreReadAgain: a replaced key file is used within seconds, or at once on
// SIGHUP; an unreadable one leaves the old key in use.
func TestKeysAreReadAgain(t *testing.T) {
	t.Parallel()
	m := newMerchant(t)
	next, err := providers.NewPlayers()
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(t, m.env()...)
	service := s.token("service", "--shops", "1")
	pays := func(p paysim.Player, number string) error {
		c, err := p.Paid(paysim.Payment{Number: number, Transaction: "t" + number, Minor: 100})
		if err != nil {
			t.Fatal(err)
		}
		return s.deliver(p, c)
	}
	for i, p := range []paysim.Player{m.sims.WeChat, m.sims.Alipay} {
		file := []string{"wechat.pem", "alipay.pem"}[i]
		newer := next.All()[i]
		newKey := []*rsa.PrivateKey{next.WeChat.Key, next.Alipay.Key}[i]
		next.WeChat.APIv3Key = m.sims.WeChat.APIv3Key
		old, after := "K-old-"+p.Name(), "K-new-"+p.Name()
		s.order(service, old)
		s.order(service, after)
		if err := os.WriteFile(m.file(file), []byte("half a fi"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.signal(syscall.SIGHUP)
		eventually(t, "it says that the file is no key", func() bool {
			return strings.Count(s.log.String(), "payment keys not reloaded") > i
		})
		if err := pays(p, old); err != nil {
			t.Errorf("%s with the key in use: %v", p.Name(), err)
		}
		if err := pays(newer, after); err == nil {
			t.Errorf("%s with a key that is not there yet was taken", p.Name())
		}
		m.publicKey(file, newKey)
		if i == 0 { // the other one is noticed without a signal
			s.signal(syscall.SIGHUP)
		}
		eventually(t, "the new key counts", func() bool { return pays(newer, after) == nil })
		if err := pays(p, old); err == nil {
			t.Errorf("%s: the old key still counts", p.Name())
		}
	}
}

// TestInbox: a held callback is listed, shown, and settled by hand; the running
// server's consoles ring within seconds.
func TestInbox(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	players, err := providers.LoadPlayers(s.data())
	if err != nil {
		t.Fatal(err)
	}
	service := s.token("service", "--shops", "1")
	s.order(service, "I-1")
	c, err := players.Stripe.Paid(paysim.Payment{Number: "I-1", Transaction: "pi_1", Minor: 99})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.deliver(players.Stripe, c); err == nil {
		t.Error("another amount was taken")
	}
	if out := s.run("inbox", "list", "--held"); !strings.Contains(out, "pi_1") || !strings.Contains(out, "amount_differs") || !strings.Contains(out, "the order has 100 CNY") {
		t.Errorf("inbox says:\n%s", out)
	}
	key := []string{"--provider", "stripe", "--transaction", "pi_1"}
	if out := s.run(append([]string{"inbox", "show"}, key...)...); !strings.Contains(out, "99 CNY") || strings.Contains(out, "payment_intent") {
		t.Errorf("inbox show says:\n%s", out)
	}
	if _, err := s.try(append([]string{"inbox", "replay"}, key...)...); err == nil {
		t.Error("a replay settled an amount that differs")
	}
	p := openPage(t, s.link())
	p.waitLink("websocket")
	p.soundOn()
	if out := s.run(append([]string{"inbox", "replay", "--accept-amount"}, key...)...); !strings.Contains(out, "is settled") {
		t.Errorf("inbox replay says:\n%s", out)
	}
	eventually(t, "the console rings", func() bool { return len(p.counts().Heard) == 1 })
	if out := s.run("inbox", "list", "--held"); strings.Contains(out, "pi_1") {
		t.Errorf("still held:\n%s", out)
	}
	if out := s.run("webhooks"); !strings.Contains(out, "LAST ERROR") {
		t.Errorf("webhooks says:\n%s", out)
	}
	if status, got := s.call("GET", "api/v1/orders/1", service, nil); status != 200 || got["payStatus"] != float64(1) {
		t.Errorf("the order: %d %v", status, got)
	}
}
