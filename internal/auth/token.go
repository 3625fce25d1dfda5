package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/MicahParks/keyfunc/v3"
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

// DefaultTTL is how long a token of role is good when nobody says.
func DefaultTTL(role doorbell.Role) time.Duration {
	if role == doorbell.RoleService || role == doorbell.RoleAdmin {
		return ServiceTTL
	}
	return ConsoleTTL
}

// Tokens makes and checks JWTs of one algorithm.
type Tokens struct {
	method string
	secret []byte // HS256; nil: tokens are made elsewhere
	key    jwt.Keyfunc
	known  *knownTokens // nil where keys change: a key that was withdrawn must not live on here
}

// NewHS256 needs a secret of at least MinSecret bytes.
func NewHS256(secret []byte) (*Tokens, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("the secret has %d bytes, want at least %d", len(secret), MinSecret)
	}
	return &Tokens{method: "HS256", secret: secret, known: &knownTokens{}, key: func(*jwt.Token) (any, error) { return secret, nil }}, nil
}

// NewPublicKey checks tokens that somebody else signs; method is RS256 or
// EdDSA, file a PEM public key.
func NewPublicKey(method, file string) (*Tokens, error) {
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
		return nil, fmt.Errorf("auth.public_key %s: %w", file, err)
	}
	return &Tokens{method: method, known: &knownTokens{}, key: func(*jwt.Token) (any, error) { return key, nil }}, nil
}

// NewJWKS checks tokens against a key set that is fetched now and refreshed
// until ctx ends.
func NewJWKS(ctx context.Context, method, url string) (*Tokens, error) {
	set, err := keyfunc.NewDefaultCtx(ctx, []string{url})
	if err != nil {
		return nil, fmt.Errorf("auth.jwks_url: %w", err)
	}
	return &Tokens{method: method, key: set.KeyfuncCtx(ctx)}, nil
}

type claims struct {
	Role  doorbell.Role     `json:"role"`
	Shops []json.RawMessage `json:"shops,omitempty"`
	jwt.RegisteredClaims
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
		Subject: g.Subject, ExpiresAt: jwt.NewNumericDate(g.Expires), IssuedAt: jwt.NewNumericDate(g.Issued),
	}}
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
	if g, ok := t.known.find(raw); ok {
		return g, nil
	}
	g, err := t.check(raw)
	if err == nil {
		t.known.keep(raw, g)
	}
	return g, err
}

func (t *Tokens) check(raw string) (doorbell.Grant, error) {
	var c claims
	_, err := jwt.ParseWithClaims(raw, &c, t.key, jwt.WithValidMethods([]string{t.method}), jwt.WithExpirationRequired())
	switch {
	case err == nil:
	case errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenSignatureInvalid):
		at := c.ExpiresAt.UTC().Format(time.RFC3339)
		return doorbell.Grant{}, doorbell.Refuse(TokenExpired, "The token expired at %s.", "令牌已于 %s 过期。", at).Because(err)
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return doorbell.Grant{}, doorbell.Refuse(TokenUnknownKey, "The token was not signed with this server's key.", "令牌不是用本服务器的密钥签发的。").Because(err)
	default:
		return doorbell.Grant{}, doorbell.Refuse(TokenInvalid, "This is not a token for this server.", "令牌格式无效。").Because(err)
	}
	return c.grant()
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
