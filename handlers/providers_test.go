package handlers_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment/stripe"
	"doorbell/internal/payment/webhook"
	"doorbell/internal/server/servertest"
)

const stripeSecret = "whsec_of_a_test_endpoint"

var webhookSecret = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("w", 32)))

func stripeSigned(body string) []string {
	now := time.Now().Unix()
	mac := hmac.New(sha256.New, []byte(stripeSecret))
	mac.Write(fmt.Appendf(nil, "%d.%s", now, body))
	return []string{"Stripe-Signature", fmt.Sprintf("t=%d,v1=%s", now, hex.EncodeToString(mac.Sum(nil)))}
}

func webhookSigned(t *testing.T, body string) []string {
	t.Helper()
	key, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	signature, err := key.Sign("msg_1", now, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return []string{"webhook-id", "msg_1", "webhook-timestamp", fmt.Sprint(now.Unix()), "webhook-signature", signature}
}

// TestOtherProviders: Stripe and Standard Webhooks ring as WeChat Pay does.
func TestOtherProviders(t *testing.T) {
	s := newServer(t, func(c *config.Config) {
		c.Pay.WeChat = config.Default().Pay.WeChat
		c.Pay.Stripe, c.Pay.Webhook = servertest.Stripe(&stripe.Player{Secret: stripeSecret}), servertest.Webhook(&webhook.Player{Secret: webhookSecret})
	})
	service := s.token(doorbell.RoleService, "backend", 1)
	for _, p := range []struct {
		path string
		body func(number string, fen int) string
		sign func(body string) []string
	}{
		{"pay/stripe", func(number string, fen int) string {
			return fmt.Sprintf(`{"type":"payment_intent.succeeded","data":{"object":{"id":"pi_%s","status":"succeeded","amount_received":%d,"currency":"cny","metadata":{"number":"%s"}}}}`, number, fen, number)
		}, stripeSigned},
		{"pay/webhook", func(number string, fen int) string {
			return fmt.Sprintf(`{"type":"order.paid","data":{"number":"%s","amount":%d,"transactionId":"t-%s"}}`, number, fen, number)
		}, func(body string) []string { return webhookSigned(t, body) }},
	} {
		send := func(number string, fen int) reply {
			body := p.body(number, fen)
			return s.do("POST", p.path, body, p.sign(body)...)
		}
		number := strings.TrimPrefix(p.path, "pay/") + "-1"
		_, before := s.position(1)
		send(number, 100).want(t, p.path+" before its order", 404, "")
		s.as(service, "POST", "api/v1/orders", `{"number":"`+number+`","shopId":1,"userId":7,"amount":100}`).want(t, "order", 201, "")
		for range 3 {
			send(number, 100).want(t, p.path+" again", 204, "")
		}
		s.as(service, "POST", "api/v1/orders", `{"number":"`+number+`b","shopId":1,"userId":7,"amount":100}`).want(t, "order", 201, "")
		send(number+"b", 99).want(t, p.path+" with another amount", 409, "")
		send(number+"b", 100).want(t, p.path+" with its amount", 204, "")
		if _, after := s.position(1); after.Head != before.Head+2 {
			t.Errorf("%s: %d alerts, want 2: one for each order", p.path, after.Head-before.Head)
		}
		body := p.body(number, 100)
		s.do("POST", p.path, body+" ", p.sign(body)...).want(t, p.path+" tampered", 401, "")
		s.do("POST", p.path, body).want(t, p.path+" unsigned", 401, "")
		s.do("GET", p.path, "").want(t, "GET "+p.path, 405, "method_not_allowed")
	}
	s.do("POST", "pay/wechat", "{}").want(t, "a provider that is not configured", 404, "not_found")
	s.do("GET", "pay/wechat", "").want(t, "GET of one that is not", 404, "not_found")
	metrics := s.as(s.token(doorbell.RoleAdmin, "root", 1), "GET", "metrics", "").body
	for _, want := range []string{`doorbell_callbacks_rejected_total{provider="stripe",reason="header_missing"} 1`, `doorbell_callbacks_rejected_total{provider="webhook",reason="signature"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// TestCallbacksAlone: the separate listener serves only the providers' routes.
func TestCallbacksAlone(t *testing.T) {
	s := newServer(t, func(c *config.Config) { c.Pay.Addr = "127.0.0.1:0" })
	whole := s.url
	s.as(s.token(doorbell.RoleService, "backend", 1), "POST", "api/v1/orders", `{"number":"A-1","shopId":1,"userId":7,"amount":100}`).want(t, "order", 201, "")
	s.url = s.CallbacksURL
	s.pay("A-1", 100).want(t, "a callback", 204, "")
	s.do("POST", "pay/wechat", "{}").want(t, "a forgery", 401, "")
	s.do("GET", "pay/wechat", "").want(t, "GET", 405, "method_not_allowed")
	s.do("GET", "readyz", "").want(t, "readyz", 200, "")
	token := s.token(doorbell.RoleAdmin, "root", 1)
	for _, path := range []string{"", "demo", "client.js", "events", "poll?wait=0", "ws", "metrics", "api/v1/me", "api/v1/alerts?shop=1", "user/order/reminder/1"} {
		s.as(token, "GET", path, "").want(t, "GET /"+path, 404, "not_found")
	}
	for _, path := range []string{"login", "api/v1/orders", "api/v1/tokens"} {
		s.as(token, "POST", path, "{}").want(t, "POST /"+path, 404, "not_found")
	}
	s.url = whole
	if _, at := s.position(1); at.Head != 1 {
		t.Errorf("%d alerts, want 1", at.Head)
	}
}
