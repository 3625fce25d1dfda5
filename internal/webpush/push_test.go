package webpush

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// browser is who subscribed: it decrypts by the letter of RFC 8291.
type browser struct {
	key    *ecdh.PrivateKey
	secret []byte
}

func newBrowser(t *testing.T) browser {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // never fails
	return browser{key, secret}
}

func (b browser) push(shop doorbell.ShopID, endpoint string) doorbell.Push {
	enc := base64.RawURLEncoding.EncodeToString
	return doorbell.Push{Endpoint: endpoint, Shop: shop, Key: enc(b.key.PublicKey().Bytes()), Auth: enc(b.secret)}
}

// open reads an aes128gcm body of one record (RFC 8188).
func (b browser) open(body []byte) (string, error) {
	if len(body) < 21+65 || body[20] != 65 {
		return "", errors.New("no header")
	}
	salt, sender, text := body[:16], body[21:86], body[86:]
	if size := binary.BigEndian.Uint32(body[16:20]); int(size) < len(text) {
		return "", errors.New("more than one record")
	}
	theirs, err := ecdh.P256().NewPublicKey(sender)
	if err != nil {
		return "", err
	}
	shared, err := b.key.ECDH(theirs)
	if err != nil {
		return "", err
	}
	info := slices.Concat([]byte("WebPush: info\x00"), b.key.PublicKey().Bytes(), sender)
	ikm, err := hkdf.Key(sha256.New, shared, b.secret, string(info), 32)
	if err != nil {
		return "", err
	}
	key, err1 := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	nonce, err2 := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	block, err3 := aes.NewCipher(key)
	if err := errors.Join(err1, err2, err3); err != nil {
		return "", err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return "", err
	}
	plain, err := gcm.Open(nil, nonce, text, nil)
	return strings.TrimRight(string(plain), "\x00\x02"), err
}

// service is a push service, and the store of who subscribed.
type service struct {
	mu     sync.Mutex
	answer func(n int) int
	got    [][]byte
	header []http.Header
	subs   []doorbell.Push
	hangs  string // a service that does not answer
}

func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if s.hangs != "" && r.URL.Host == s.hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, body)
	s.header = append(s.header, r.Header.Clone())
	w := httptest.NewRecorder()
	w.WriteHeader(s.answer(len(s.got)))
	return w.Result(), err
}

func (s *service) Pushes(_ context.Context, shop doorbell.ShopID) (out []doorbell.Push, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.subs {
		if p.Shop == shop {
			out = append(out, p)
		}
	}
	return out, nil
}

func (s *service) PushShops(context.Context) (map[doorbell.ShopID]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[doorbell.ShopID]bool{}
	for _, p := range s.subs {
		out[p.Shop] = true
	}
	return out, nil
}

func (s *service) DropPush(_ context.Context, endpoint string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subs = slices.DeleteFunc(s.subs, func(p doorbell.Push) bool { return p.Endpoint == endpoint })
	return nil
}

func run(t *testing.T, s *service, use func(*Sender), log io.Writer) {
	t.Helper()
	keys, err := EnsureKeys(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sender := New(Options{Store: s, Keys: keys, Subscriber: "https://bell.example.com", Log: slog.New(slog.NewTextHandler(log, nil)), Client: &http.Client{Transport: s}})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = sender.Run(ctx) }) // nil always
	use(sender)
	stop()
	running.Wait()
}

// TestPushed: what the browser decrypts is the alert's own bytes, of its shop
// alone, signed so that its service can tell whose it is.
func TestPushed(t *testing.T) {
	testrun.Bubble(t, func(t *testing.T) {
		ours, other := newBrowser(t), newBrowser(t)
		s := &service{answer: func(int) int { return 201 }, subs: []doorbell.Push{
			ours.push(1, "https://fcm.googleapis.com/fcm/send/secret-path"), other.push(2, "https://web.push.apple.com/x"),
		}}
		alert := doorbell.Alert{Type: 1, OrderID: 7, Content: "订单号: 7", Shop: 1, Seq: 3, Number: "7", Source: doorbell.FromOrder, Time: time.Now()}
		run(t, s, func(sender *Sender) {
			sender.Offer([]doorbell.Alert{alert})
			time.Sleep(gather)
			synctest.Wait()
			if len(s.got) != 1 {
				t.Fatalf("%d pushes, want 1", len(s.got))
			}
			if text, err := ours.open(s.got[0]); err != nil || text != string(alert.Encode()) {
				t.Errorf("the browser reads %q, %v; want %s", text, err, alert.Encode())
			}
			if text, err := other.open(s.got[0]); err == nil {
				t.Errorf("another browser reads %q", text)
			}
			h := s.header[0]
			if h.Get("Ttl") != "600" || h.Get("Urgency") != "high" || h.Get("Content-Encoding") != "aes128gcm" {
				t.Errorf("headers %v", h)
			}
			token, _, _ := strings.Cut(strings.TrimPrefix(h.Get("Authorization"), "vapid t="), ",")
			var claims jwt.RegisteredClaims
			if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil || len(claims.Audience) != 1 || claims.Audience[0] != "https://fcm.googleapis.com" {
				t.Errorf("signed for %v, %v", claims.Audience, err)
			}
			if sent, dropped := sender.Counts(); sent != 1 || dropped != 0 {
				t.Errorf("counted %d, %d", sent, dropped)
			}
		}, io.Discard)
	})
}

// TestServicesThatRefuse: busy is asked again, gone is forgotten, refused is
// told, and no path of an endpoint is in the log.
func TestServicesThatRefuse(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []int
		calls   int
		kept    bool
		told    bool
	}{
		{"busy, then taken", []int{429, 503, 201}, 3, true, false},
		{"busy for good", []int{500, 500, 500, 201}, 3, true, true},
		{"unsubscribed", []int{410}, 1, false, false},
		{"not found", []int{404}, 1, false, false},
		{"refused", []int{403, 201}, 1, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			testrun.Bubble(t, func(t *testing.T) {
				s := &service{answer: func(n int) int { return c.answers[n-1] }, subs: []doorbell.Push{newBrowser(t).push(1, "https://fcm.googleapis.com/fcm/send/secret-path")}}
				var log strings.Builder
				run(t, s, func(sender *Sender) {
					sender.Offer([]doorbell.Alert{{Type: 1, Shop: 1, Seq: 1, Time: time.Now()}})
					time.Sleep(time.Minute)
					time.Sleep(gather)
					synctest.Wait()
				}, &log)
				if len(s.got) != c.calls || (len(s.subs) == 1) != c.kept || strings.Contains(log.String(), "push delivery failed") != c.told {
					t.Errorf("%d calls, kept %v, log %q", len(s.got), len(s.subs) == 1, log.String())
				}
				if strings.Contains(log.String(), "secret-path") {
					t.Error("the log holds an endpoint's path")
				}
			})
		})
	}
}

// TestAllowed: nothing but a push service is posted to.
func TestAllowed(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"https://fcm.googleapis.com/fcm/send/x":                   true,
		"https://updates.push.services.mozilla.com/wpush/v2/x":    true,
		"https://web.push.apple.com/x":                            true,
		"http://fcm.googleapis.com/x":                             false,
		"https://fcm.googleapis.com:8443/x":                       false,
		"https://fcm.googleapis.com.evil.example/x":               false,
		"https://evilpush.apple.com.example/x":                    false,
		"https://127.0.0.1/x":                                     false,
		"https://user@fcm.googleapis.com/x":                       false,
		"https://169.254.169.254/latest":                          false,
		"":                                                        false,
		"https://fcm.googleapis.com/" + strings.Repeat("x", 1000): false,
	} {
		if got := Allowed(endpoint); got != want {
			t.Errorf("%.60q is allowed: %v, want %v", endpoint, got, want)
		}
	}
}

// TestQueueIsBounded: alerts that nobody sends are counted, not kept.
func TestQueueIsBounded(t *testing.T) {
	s := New(Options{Log: slog.New(slog.DiscardHandler)})
	s.Offer(make([]doorbell.Alert, maxQueued+5))
	if _, dropped := s.Counts(); dropped != 5 {
		t.Errorf("%d dropped, want 5", dropped)
	}
}

// TestOneBadSubscription: a key of zeros and a service that takes nothing keep no
// other shop waiting; the one is dropped, the other asked again beside the rest.
func TestOneBadSubscription(t *testing.T) {
	testrun.Bubble(t, func(t *testing.T) {
		zeros := newBrowser(t).push(1, "https://updates.push.services.mozilla.com/zeros") // a service that answers
		zeros.Key = base64.RawURLEncoding.EncodeToString(make([]byte, 65))
		s := &service{answer: func(int) int { return 201 }, hangs: "fcm.googleapis.com", subs: []doorbell.Push{zeros}}
		for range 20 { // more than there are workers
			s.subs = append(s.subs, newBrowser(t).push(2, "https://fcm.googleapis.com/hangs"))
		}
		const shops, rounds, deaf = 30, 40, 20
		for i := range deaf { // of many shops: no shop's own bound holds them
			s.subs = append(s.subs, newBrowser(t).push(doorbell.ShopID(1000+i), "https://fcm.googleapis.com/hangs"))
		}
		for shop := range shops {
			s.subs = append(s.subs, newBrowser(t).push(doorbell.ShopID(3+shop), "https://web.push.apple.com/x"))
		}
		run(t, s, func(sender *Sender) {
			for i := range deaf {
				sender.Offer([]doorbell.Alert{{Type: 1, Shop: doorbell.ShopID(1000 + i), Seq: 1, Time: time.Now()}})
			}
			for round := range rounds {
				for shop := range shops + 2 {
					sender.Offer([]doorbell.Alert{{Type: 1, Shop: doorbell.ShopID(1 + shop), Seq: doorbell.Seq(round + 1), Time: time.Now()}})
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if sent, _ := sender.Counts(); sent != rounds*shops {
				t.Errorf("%d sent within a second, want %d", sent, rounds*shops)
			}
			s.mu.Lock()
			kept := slices.ContainsFunc(s.subs, func(p doorbell.Push) bool { return p.Key == zeros.Key })
			s.mu.Unlock()
			if kept {
				t.Error("the key of zeros is kept")
			}
		}, io.Discard)
	})
}
