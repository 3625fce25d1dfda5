package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"doorbell/internal/doorbell"
)

// The causes of a 401.
const (
	TokenMissing    doorbell.Code = "token_missing"
	TokenExpired    doorbell.Code = "token_expired"
	TokenUnknownKey doorbell.Code = "token_unknown_key"
	TokenInvalid    doorbell.Code = "token_invalid"
)

// Default times of tokens, by role.
const (
	ServiceTTL = 8760 * time.Hour
	ConsoleTTL = 720 * time.Hour
)

// DefaultTTL returns how long a token of role is good when nobody says.
func DefaultTTL(role doorbell.Role) time.Duration {
	if role == doorbell.RoleService || role == doorbell.RoleAdmin {
		return ServiceTTL
	}
	return ConsoleTTL
}

// Expected is what a token must name besides its key; what is empty is not
// looked at. Tokens that are made here name it.
type Expected struct {
	Audience string
	Issuer   string
}

// Tokens makes and checks JWTs of one algorithm.
type Tokens struct {
	method string
	secret []byte // HS256; nil: tokens are made elsewhere
	key    jwt.Keyfunc
	parser *jwt.Parser
	expect Expected
	known  *knownTokens // nil where keys change: a key that was withdrawn must not live on here
	keys   *keySet      // nil but for a JWKS
	mark   []byte       // what the keys are told by, see Mark

	register *Register // nil: no token is revoked
}

// NewHS256 needs a secret of at least MinSecret bytes.
func NewHS256(secret []byte, expect Expected) (*Tokens, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("the secret has %d bytes, want at least %d", len(secret), MinSecret)
	}
	t := &Tokens{method: "HS256", secret: secret, known: &knownTokens{}, mark: secret, expect: expect}
	t.key, t.parser = func(*jwt.Token) (any, error) { return secret, nil }, newParser(t.method, expect)
	return t, nil
}

// NewPublicKey checks tokens that somebody else signs; method is RS256 or
// EdDSA, file a PEM public key.
func NewPublicKey(method, file string, expect Expected) (*Tokens, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("auth.public_key: %w", err)
	}
	var key any
	if method == "RS256" {
		key, err = jwt.ParseRSAPublicKeyFromPEM(text)
	} else {
		key, err = jwt.ParseEdPublicKeyFromPEM(text)
	}
	if err != nil {
		if block, _ := pem.Decode(text); block != nil && strings.Contains(block.Type, "PRIVATE KEY") {
			return nil, fmt.Errorf("auth.public_key: %s is a private key, which stays with whoever signs; want its public key", file)
		}
		return nil, fmt.Errorf("auth.public_key: %s is not a PEM public key for %s: %w", file, method, err)
	}
	mark, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("auth.public_key %s: %w", file, err)
	}
	t := &Tokens{method: method, known: &knownTokens{}, mark: mark, expect: expect}
	t.key, t.parser = func(*jwt.Token) (any, error) { return key, nil }, newParser(method, expect)
	return t, nil
}

// NewJWKS checks tokens against a key set that is fetched now, and again while
// Run runs. A set that can't be fetched now is no error: it is asked for when a
// token comes.
func NewJWKS(ctx context.Context, method, url string, expect Expected, log *slog.Logger) (*Tokens, error) {
	set, err := newKeySet(ctx, url, http.DefaultTransport, log)
	if err != nil {
		return nil, fmt.Errorf("auth.jwks_url: %w", err)
	}
	t := &Tokens{method: method, keys: set, mark: []byte(url), expect: expect}
	t.key, t.parser = set.key, newParser(method, expect)
	return t, nil
}

// Run fetches a JWKS again every hour until ctx ends, so that a key that was
// withdrawn verifies nothing any more. Other keys do not change.
func (t *Tokens) Run(ctx context.Context) error {
	if t.keys == nil {
		return nil
	}
	return t.keys.run(ctx)
}

// Mark tells these keys from others without telling them: it changes with
// auth.secret, auth.algorithm, auth.public_key and auth.jwks_url.
func (t *Tokens) Mark() string {
	mac := hmac.New(sha256.New, t.mark)
	mac.Write([]byte("doorbell tokens " + t.method))
	return hex.EncodeToString(mac.Sum(nil))
}

func newParser(method string, expect Expected) *jwt.Parser {
	options := []jwt.ParserOption{jwt.WithValidMethods([]string{method}), jwt.WithExpirationRequired()}
	if expect.Audience != "" {
		options = append(options, jwt.WithAudience(expect.Audience))
	}
	if expect.Issuer != "" {
		options = append(options, jwt.WithIssuer(expect.Issuer))
	}
	return jwt.NewParser(options...)
}

type claims struct {
	Role  doorbell.Role     `json:"role"`
	Shops []json.RawMessage `json:"shops,omitempty"`
	jwt.RegisteredClaims
}

// UnmarshalJSON takes claims whose names are exactly these. encoding/json takes
// Role, ROLE and role for one, and the last of them wins: who may add a claim
// of a name of their own (a nickname at the identity provider) could write
// their own role.
func (c *claims) UnmarshalJSON(text []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	for name, to := range map[string]any{
		"role": &c.Role, "shops": &c.Shops, "iss": &c.Issuer, "sub": &c.Subject, "aud": &c.Audience,
		"exp": &c.ExpiresAt, "nbf": &c.NotBefore, "iat": &c.IssuedAt, "jti": &c.ID,
	} {
		if raw, ok := all[name]; ok {
			if err := json.Unmarshal(raw, to); err != nil {
				return fmt.Errorf("claim %s: %w", name, err)
			}
		}
	}
	return nil
}

// ErrCannotIssue is returned where tokens are made elsewhere.
var ErrCannotIssue = errors.New("auth.algorithm is not HS256: tokens are made by whoever holds the private key")

// Issue makes a token for g, good until g.Expires.
func (t *Tokens) Issue(g doorbell.Grant) (string, error) {
	if t.secret == nil {
		return "", ErrCannotIssue
	}
	if g.Issued.IsZero() {
		g.Issued = time.Now()
	}
	c := claims{Role: g.Role, RegisteredClaims: jwt.RegisteredClaims{
		Subject: g.Subject, ExpiresAt: jwt.NewNumericDate(g.Expires), IssuedAt: jwt.NewNumericDate(g.Issued), Issuer: t.expect.Issuer,
	}}
	if t.expect.Audience != "" {
		c.Audience = jwt.ClaimStrings{t.expect.Audience}
	}
	if g.Shops.All {
		c.Shops = []json.RawMessage{json.RawMessage(`"*"`)}
	}
	for _, shop := range g.Shops.List {
		c.Shops = append(c.Shops, json.RawMessage(shop.String()))
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(t.secret)
}

// maxToken bounds what is parsed.
const maxToken = 8 << 10

// Check reads a token. The error's code is one of the causes of a 401.
func (t *Tokens) Check(raw string) (doorbell.Grant, error) {
	if len(raw) > maxToken {
		return doorbell.Grant{}, doorbell.Refuse(TokenInvalid, "The token is longer than %d bytes.", "令牌超过 %d 字节。", maxToken)
	}
	g, ok := t.known.find(raw)
	if !ok {
		var err error
		if g, err = t.check(raw); err != nil {
			return g, err
		}
		t.known.keep(raw, g)
	}
	if t.register != nil {
		if err := t.register.pass(g); err != nil {
			return doorbell.Grant{}, err
		}
	}
	return g, nil
}

// errCritical is returned for a token that says to be refused by whoever does
// not know the extension that it names (RFC 7515, 4.1.11); we know none.
var errCritical = errors.New("the token's header names crit extensions, and none is supported")

func (t *Tokens) check(raw string) (doorbell.Grant, error) {
	var c claims
	_, err := t.parser.ParseWithClaims(raw, &c, func(token *jwt.Token) (any, error) {
		if _, has := token.Header["crit"]; has {
			return nil, errCritical
		}
		return t.key(token)
	})
	if err != nil {
		return doorbell.Grant{}, t.refusal(&c, err)
	}
	g, err := c.grant()
	g.Source = hash(raw)[:32]
	return g, err
}

// refusal returns the cause of a 401. What a token's claims say counts only where
// its signature does.
func (t *Tokens) refusal(c *claims, err error) error {
	e, isOurs := errors.AsType[*doorbell.Error](err)
	switch {
	case isOurs: // the keys can't be fetched: the token may be good
		return e
	case errors.Is(err, errCritical):
		return doorbell.Refuse(TokenInvalid, "The token's header demands an extension (crit) that is not known here.", "令牌头部的 crit 要求了本服务器不支持的扩展。").Because(err)
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return doorbell.Refuse(TokenUnknownKey, "The token was not signed with this server's key.", "令牌不是用本服务器的密钥签发的。").Because(err)
	case errors.Is(err, jwt.ErrTokenExpired):
		at := c.ExpiresAt.UTC().Format(time.RFC3339)
		return doorbell.Refuse(TokenExpired, "The token expired at %s.", "令牌已于 %s 过期。", at).Because(err)
	case t.expect.Audience != "" && !slices.Contains(c.Audience, t.expect.Audience):
		return doorbell.Refuse(TokenInvalid, "The token is for another audience (claim aud, setting auth.audience).", "令牌的受众（aud）与 auth.audience 不符。").Because(err)
	case t.expect.Issuer != "" && c.Issuer != t.expect.Issuer:
		return doorbell.Refuse(TokenInvalid, "The token is from another issuer (claim iss, setting auth.issuer).", "令牌的签发方（iss）与 auth.issuer 不符。").Because(err)
	default:
		return doorbell.Refuse(TokenInvalid, "This is not a token for this server.", "令牌格式无效。").Because(err)
	}
}

func (c claims) grant() (doorbell.Grant, error) {
	bad := func(what string) (doorbell.Grant, error) {
		return doorbell.Grant{}, doorbell.Refuse(TokenInvalid, "The token's claim %s can't be used.", "令牌的 %s 声明无效。", what)
	}
	g := doorbell.Grant{Subject: c.Subject, Role: c.Role, Expires: c.ExpiresAt.UTC()}
	if c.IssuedAt != nil {
		g.Issued = c.IssuedAt.UTC()
	}
	if !slices.Contains(doorbell.Roles, c.Role) {
		return bad("role")
	}
	if c.Subject == "" || len(c.Subject) > 128 {
		return bad("sub")
	}
	if c.Role == doorbell.RoleCustomer {
		if n, err := strconv.ParseInt(c.Subject, 10, 64); err != nil || n < 1 || n > doorbell.MaxID || strconv.FormatInt(n, 10) != c.Subject {
			return bad("sub")
		}
	}
	for _, raw := range c.Shops {
		text := string(raw)
		if unquoted, err := strconv.Unquote(text); err == nil {
			text = unquoted
		}
		if text == "*" {
			g.Shops = doorbell.ShopSet{All: true}
			return g, nil
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 || n > doorbell.MaxID {
			return bad("shops")
		}
		if !g.Shops.Has(doorbell.ShopID(n)) {
			g.Shops.List = append(g.Shops.List, doorbell.ShopID(n))
		}
	}
	return g, nil
}
