package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// provider is an identity provider's key set, in memory: it takes a while to
// answer, can be down, and can publish further keys.
type provider struct {
	mu      sync.Mutex
	keys    []string
	private map[string]ed25519.PrivateKey
	asked   int
	down    bool
	slow    time.Duration
}

func (p *provider) publish(t *testing.T, kid string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}`, kid, base64.RawURLEncoding.EncodeToString(public)))
	if p.private == nil {
		p.private = map[string]ed25519.PrivateKey{}
	}
	p.private[kid] = private
}

func (p *provider) token(t *testing.T, kid string) string {
	t.Helper()
	return sign(t, jwt.SigningMethodEdDSA, p.private[kid], goodClaims(), kid)
}

// RoundTrip implements http.RoundTripper.
func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.asked++
	body, down, slow := `{"keys":[`+strings.Join(p.keys, ",")+`]}`, p.down, p.slow
	p.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if down {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (p *provider) tokens(t *testing.T) *Tokens {
	t.Helper()
	set, err := newKeySet(t.Context(), "https://id.example/keys", p, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return &Tokens{method: "EdDSA", keys: set, key: set.key, parser: newParser("EdDSA", Expected{})}
}

// TestKeyRotation: a key that was just published is found, however many
// strangers came with keys that nobody has, and within a bounded time; and the
// provider is not asked for each of them.
func TestKeyRotation(t *testing.T) {
	testrun.Bubble(t, func(t *testing.T) {
		p := &provider{slow: 100 * time.Millisecond}
		p.publish(t, "old")
		tokens := p.tokens(t)
		if _, err := tokens.Check(p.token(t, "old")); err != nil || p.asked != 1 {
			t.Fatalf("the first key: %v after %d fetches", err, p.asked)
		}
		_, stranger, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		var wg sync.WaitGroup
		for i := range 300 { // five a second for a minute
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 200 * time.Millisecond)
				_, err := tokens.Check(sign(t, jwt.SigningMethodEdDSA, stranger, goodClaims(), fmt.Sprint("stranger-", i)))
				if code := doorbell.CodeOf(err); code != TokenUnknownKey {
					t.Errorf("a stranger's key: %v, want token_unknown_key", err)
				}
			})
		}
		for i := range 10 {
			time.Sleep(5*time.Second + time.Duration(i)*130*time.Millisecond)
			kid := fmt.Sprint("new-", i)
			p.publish(t, kid)
			at := time.Now()
			if _, err := tokens.Check(p.token(t, kid)); err != nil || time.Since(at) > keysGap+keysWait {
				t.Errorf("a new key: %v after %v, want it taken within %v", err, time.Since(at), keysGap+keysWait)
			}
		}
		wg.Wait()
		if most := int(time.Since(begun)/keysGap) + 2; p.asked > most {
			t.Errorf("the provider was asked %d times, want at most %d", p.asked, most)
		}
	})
}

// TestKeySetAway: tokens of known keys are taken while the provider is away; of
// unknown keys nobody says that they are bad, and not many wait.
func TestKeySetAway(t *testing.T) {
	testrun.Bubble(t, func(t *testing.T) {
		p := &provider{}
		p.publish(t, "old")
		tokens := p.tokens(t)
		p.publish(t, "new")
		p.down, p.slow = true, time.Minute // it does not even refuse
		var wg sync.WaitGroup
		at := time.Now()
		for range 200 {
			wg.Go(func() {
				if _, err := tokens.Check(p.token(t, "new")); doorbell.CodeOf(err) != doorbell.Unavailable {
					t.Errorf("while the set can't be fetched: %v, want unavailable", err)
				}
				if d := time.Since(at); d > keysGap+keysWait {
					t.Errorf("the answer took %v, want at most %v", d, keysGap+keysWait)
				}
			})
		}
		synctest.Wait()
		if tokens.keys.waiters > maxKeyWaiters {
			t.Errorf("%d wait, want at most %d", tokens.keys.waiters, maxKeyWaiters)
		}
		if _, err := tokens.Check(p.token(t, "old")); err != nil || time.Since(at) > 0 {
			t.Errorf("a known key: %v after %v, want it at once", err, time.Since(at))
		}
		wg.Wait()
		p.down, p.slow = false, 0
		if _, err := tokens.Check(p.token(t, "new")); err != nil {
			t.Errorf("when the provider is back: %v", err)
		}
	})
}

// TestWithdrawnKey: a key that the provider withdrew verifies nothing after the
// hour.
func TestWithdrawnKey(t *testing.T) {
	testrun.Bubble(t, func(t *testing.T) {
		p := &provider{}
		p.publish(t, "old")
		tokens := p.tokens(t)
		done := make(chan error, 1)
		go func() { done <- tokens.Run(t.Context()) }()
		t.Cleanup(func() {
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		claims := goodClaims()
		claims["exp"] = time.Now().Add(9 * time.Hour).Unix()
		token := sign(t, jwt.SigningMethodEdDSA, p.private["old"], claims, "old")
		p.keys = []string{`{"kty":"EC","kid":"broken"}`}
		p.publish(t, "new")
		time.Sleep(keysEvery + time.Second)
		if _, err := tokens.Check(token); doorbell.CodeOf(err) != TokenUnknownKey {
			t.Errorf("a withdrawn key: %v, want token_unknown_key", err)
		}
		if _, err := tokens.Check(p.token(t, "new")); err != nil {
			t.Errorf("a good key beside a broken one: %v", err)
		}
	})
}
