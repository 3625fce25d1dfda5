package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"doorbell/internal/doorbell"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func goodClaims() jwt.MapClaims {
	return jwt.MapClaims{"sub": "till", "role": "console", "shops": []any{1, "2"}, "exp": time.Now().Add(time.Hour).Unix()}
}

func sign(t *testing.T, method jwt.SigningMethod, key any, c jwt.MapClaims, kid string) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	if kid != "" {
		token.Header["kid"] = kid
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pemFile(t *testing.T, public any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestAlgorithms: each takes its own, and nothing that another signed, an
// HMAC over the public key among them.
func TestAlgorithms(t *testing.T) {
	secret := []byte(strings.Repeat("s", 32))
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaFile, edFile := pemFile(t, &rsaKey.PublicKey), pemFile(t, edPublic)
	set := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"keys":[{"kty":"RSA","kid":"k1","alg":"RS256","use":"sig","n":"%s","e":"%s"}]}`,
			base64.RawURLEncoding.EncodeToString(rsaKey.N.Bytes()), base64.RawURLEncoding.EncodeToString(big.NewInt(int64(rsaKey.E)).Bytes()))
	}))
	t.Cleanup(func() { set.CloseClientConnections(); set.Close() })
	hs, err1 := NewHS256(secret, Expected{})
	rs, err2 := NewPublicKey("RS256", rsaFile, Expected{})
	ed, err3 := NewPublicKey("EdDSA", edFile, Expected{})
	jwks, err4 := NewJWKS(t.Context(), "RS256", set.URL, Expected{}, slog.New(slog.DiscardHandler))
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	public, err := os.ReadFile(rsaFile)
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{
		"HS256":                    sign(t, jwt.SigningMethodHS256, secret, goodClaims(), ""),
		"RS256":                    sign(t, jwt.SigningMethodRS256, rsaKey, goodClaims(), "k1"),
		"EdDSA":                    sign(t, jwt.SigningMethodEdDSA, edKey, goodClaims(), ""),
		"HMAC over the public key": sign(t, jwt.SigningMethodHS256, public, goodClaims(), "k1"),
		"HS512":                    sign(t, jwt.SigningMethodHS512, secret, goodClaims(), ""),
		"none":                     sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, goodClaims(), ""),
	}
	for name, c := range map[string]struct {
		tokens *Tokens
		takes  string
	}{"HS256": {hs, "HS256"}, "RS256": {rs, "RS256"}, "EdDSA": {ed, "EdDSA"}, "JWKS": {jwks, "RS256"}} {
		for kind, token := range tokens {
			g, err := c.tokens.Check(token)
			if (err == nil) != (kind == c.takes) {
				t.Errorf("%s with a token by %s: %v", name, kind, err)
			}
			if err == nil && (g.Subject != "till" || !g.Shops.Has(2) || g.Shops.Has(3) || g.Role != doorbell.RoleConsole) {
				t.Errorf("%s reads %+v", name, g)
			}
		}
		if c.takes != "HS256" {
			if _, err := c.tokens.Issue(doorbell.Grant{}); err == nil {
				t.Errorf("%s makes tokens without a private key", name)
			}
		}
	}
	if _, err := NewHS256([]byte("short"), Expected{}); err == nil {
		t.Error("a short secret is taken")
	}
}

func TestClaims(t *testing.T) {
	secret := []byte(strings.Repeat("s", 32))
	tokens, err := NewHS256(secret, Expected{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		edit func(jwt.MapClaims)
		code doorbell.Code
	}{
		{"as it should be", func(jwt.MapClaims) {}, ""},
		{"all shops", func(c jwt.MapClaims) { c["shops"] = []string{"*"} }, ""},
		{"a customer", func(c jwt.MapClaims) { c["role"], c["sub"] = "customer", "77" }, ""},
		{"no exp", func(c jwt.MapClaims) { delete(c, "exp") }, TokenInvalid},
		{"over", func(c jwt.MapClaims) { c["exp"] = 1 }, TokenExpired},
		{"not yet", func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() }, TokenInvalid},
		{"no role", func(c jwt.MapClaims) { delete(c, "role") }, TokenInvalid},
		{"a strange role", func(c jwt.MapClaims) { c["role"] = "king" }, TokenInvalid},
		{"no sub", func(c jwt.MapClaims) { delete(c, "sub") }, TokenInvalid},
		{"a customer with a name", func(c jwt.MapClaims) { c["role"], c["sub"] = "customer", "bob" }, TokenInvalid},
		{"a customer with a padded number", func(c jwt.MapClaims) { c["role"], c["sub"] = "customer", "077" }, TokenInvalid},
		{"shop 0", func(c jwt.MapClaims) { c["shops"] = []int{0} }, TokenInvalid},
		{"a shop by name", func(c jwt.MapClaims) { c["shops"] = []string{"main"} }, TokenInvalid},
		{"shops as text", func(c jwt.MapClaims) { c["shops"] = "1,2" }, TokenInvalid},
		{"a role by another name", func(c jwt.MapClaims) { delete(c, "role"); c["Role"] = "admin" }, TokenInvalid},
		{"a subject by another name", func(c jwt.MapClaims) { delete(c, "sub"); c["SUB"] = "till" }, TokenInvalid},
		{"an end by another name", func(c jwt.MapClaims) { c["Exp"] = c["exp"]; delete(c, "exp") }, TokenInvalid},
	} {
		claims := goodClaims()
		c.edit(claims)
		if _, err := tokens.Check(sign(t, jwt.SigningMethodHS256, secret, claims, "")); doorbell.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
	}
	expired := goodClaims()
	expired["exp"] = 1
	if _, err := tokens.Check(sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), expired, "")); doorbell.CodeOf(err) != TokenUnknownKey {
		t.Errorf("expired and by another key: %v, want token_unknown_key: its claims prove nothing", err)
	}
	if _, err := tokens.Check(strings.Repeat("x", 9000)); doorbell.CodeOf(err) != TokenInvalid {
		t.Errorf("9,000 bytes: %v", err)
	}
}

// TestClaimNamesAreExact: a claim whose name differs in case alone is not the
// claim, and does not stand in for it.
func TestClaimNamesAreExact(t *testing.T) {
	secret := []byte(strings.Repeat("s", 32))
	tokens, err := NewHS256(secret, Expected{})
	if err != nil {
		t.Fatal(err)
	}
	claims := goodClaims()
	claims["Role"], claims["ROLE"], claims["rolE"], claims["Sub"] = "admin", "admin", "admin", "boss"
	claims["Shops"], claims["SHOPS"], claims["ſhops"], claims["EXP"] = []string{"*"}, []string{"*"}, []string{"*"}, 9999999999
	for range 50 { // the order of a map's keys differs
		g, err := tokens.check(sign(t, jwt.SigningMethodHS256, secret, claims, ""))
		if err != nil || g.Role != doorbell.RoleConsole || g.Shops.All || g.Subject != "till" || time.Until(g.Expires) > time.Hour {
			t.Fatalf("%+v, %v; want the console of shops 1 and 2", g, err)
		}
	}
}

// TestAudienceAndIssuer: both are checked where they are set, and our own tokens
// name them.
func TestAudienceAndIssuer(t *testing.T) {
	secret := []byte(strings.Repeat("s", 32))
	for _, c := range []struct {
		name     string
		expect   Expected
		aud, iss any
		code     doorbell.Code
	}{
		{"nothing is expected", Expected{}, "other", "other", ""},
		{"the audience", Expected{Audience: "bell"}, "bell", nil, ""},
		{"one of several", Expected{Audience: "bell"}, []string{"a", "bell"}, nil, ""},
		{"another audience", Expected{Audience: "bell"}, "Bell", nil, TokenInvalid},
		{"no audience", Expected{Audience: "bell"}, nil, nil, TokenInvalid},
		{"the issuer", Expected{Issuer: "https://id.example"}, nil, "https://id.example", ""},
		{"another issuer", Expected{Issuer: "https://id.example"}, nil, "https://id.example/", TokenInvalid},
		{"no issuer", Expected{Issuer: "https://id.example"}, nil, nil, TokenInvalid},
		{"both, one wrong", Expected{"bell", "me"}, "bell", "you", TokenInvalid},
	} {
		tokens, err := NewHS256(secret, c.expect)
		if err != nil {
			t.Fatal(err)
		}
		claims := goodClaims()
		if c.aud != nil {
			claims["aud"] = c.aud
		}
		if c.iss != nil {
			claims["iss"] = c.iss
		}
		_, err = tokens.Check(sign(t, jwt.SigningMethodHS256, secret, claims, ""))
		if doorbell.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
		own, err := tokens.Issue(grantFor("till", time.Now().Add(time.Hour)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tokens.Check(own); err != nil {
			t.Errorf("%s: our own token: %v", c.name, err)
		}
	}
}

// TestCritical: who does not know the extension that a token's header names
// must refuse it.
func TestCritical(t *testing.T) {
	secret := []byte(strings.Repeat("s", 32))
	tokens, err := NewHS256(secret, Expected{})
	if err != nil {
		t.Fatal(err)
	}
	for _, crit := range []any{[]string{"exp2"}, []string{}, []string{"b64"}, "x", nil} {
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, goodClaims())
		token.Header["crit"] = crit
		raw, err := token.SignedString(secret)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tokens.Check(raw); doorbell.CodeOf(err) != TokenInvalid {
			t.Errorf("crit %v: %v, want token_invalid", crit, err)
		}
	}
}

func TestSecret(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if _, err := FindSecret("", dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, SecretFile)) {
		t.Errorf("no secret: %v, want where it looked", err)
	}
	var wg sync.WaitGroup
	made := make(chan string, 8)
	for range 8 { // several start at once: one secret
		wg.Go(func() {
			s, err := EnsureSecret("", dir)
			if err != nil {
				t.Error(err)
			}
			made <- string(s)
		})
	}
	wg.Wait()
	close(made)
	first := <-made
	for s := range made {
		if s != first || len(s) < MinSecret {
			t.Errorf("secrets of %d and %d bytes differ", len(s), len(first))
		}
	}
	info, err := os.Stat(filepath.Join(dir, SecretFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if s, err := EnsureSecret("configured", dir); err != nil || string(s) != "configured" {
		t.Errorf("%q, %v; want the configured one", s, err)
	}
}
