package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"doorbell/internal/doorbell"
)

// SkyShop is the shop of a sky-take-out installation, which knows one.
const SkyShop doorbell.ShopID = 1

// Sky checks the tokens that a sky-take-out backend makes: HS256 with a secret of
// theirs for each kind, whatever its length, and a numeric empId or userId beside
// exp. Nothing else of a token is looked at.
type Sky struct {
	admin, user []byte
	parser      *jwt.Parser
}

// NewSky takes the values of sky.jwt.admin-secret-key and user-secret-key; with an
// empty one no token of that kind is good.
func NewSky(admin, user string) *Sky {
	return &Sky{
		admin: []byte(admin), user: []byte(user),
		parser: jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired()),
	}
}

// TakesAdmins reports whether a secret for their employees' tokens is set.
func (s *Sky) TakesAdmins() bool { return s != nil && len(s.admin) > 0 }

// TakesUsers reports the same for their customers' tokens.
func (s *Sky) TakesUsers() bool { return s != nil && len(s.user) > 0 }

// Admin reads an employee's token: a console of shop 1. The error's code is one of
// the causes of a 401.
func (s *Sky) Admin(raw string) (doorbell.Grant, error) {
	if !s.TakesAdmins() {
		return doorbell.Grant{}, skyUnset("sky.secret.admin")
	}
	id, expires, err := s.read(raw, s.admin, "empId", "sky.secret.admin", "sky.jwt.admin-secret-key")
	return doorbell.Grant{
		Subject: "sky-employee-" + strconv.FormatInt(id, 10), Role: doorbell.RoleConsole,
		Shops: doorbell.ShopSet{List: []doorbell.ShopID{SkyShop}}, Expires: expires,
	}, err
}

// Customer reads a customer's token: one whose subject is the userId, as our own
// customers' tokens have it. The error's code is one of the causes of a 401.
func (s *Sky) Customer(raw string) (doorbell.Grant, error) {
	if !s.TakesUsers() {
		return doorbell.Grant{}, skyUnset("sky.secret.user")
	}
	id, expires, err := s.read(raw, s.user, "userId", "sky.secret.user", "sky.jwt.user-secret-key")
	return doorbell.Grant{Subject: strconv.FormatInt(id, 10), Role: doorbell.RoleCustomer, Expires: expires}, err
}

func skyUnset(key string) error {
	return doorbell.Refuse(TokenUnknownKey, "No secret is configured for this token: %s.", "未配置校验该令牌的密钥：%s。", key)
}

// read returns the id that a claim of a good token names.
func (s *Sky) read(raw string, secret []byte, claim, ours, theirs string) (id int64, expires time.Time, err error) {
	if len(raw) > maxToken {
		return 0, expires, doorbell.Refuse(TokenInvalid, "The token is longer than %d bytes.", "令牌超过 %d 字节。", maxToken)
	}
	c := skyClaims{}
	_, err = s.parser.ParseWithClaims(raw, &c, func(token *jwt.Token) (any, error) {
		if _, has := token.Header["crit"]; has {
			return nil, errCritical
		}
		return secret, nil
	})
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return 0, expires, doorbell.Refuse(TokenUnknownKey, "The token was not signed with %s: set it to the value of %s.",
			"令牌不是用 %s 签发的：请设为 %s 的值。", ours, theirs).Because(err)
	case errors.Is(err, jwt.ErrTokenExpired):
		return 0, expires, doorbell.Refuse(TokenExpired, "The token expired at %s.", "令牌已于 %s 过期。", c.expires.UTC().Format(time.RFC3339)).Because(err)
	case err != nil:
		return 0, expires, doorbell.Refuse(TokenInvalid, "This is not a token of sky-take-out.", "不是苍穹外卖的令牌。").Because(err)
	}
	if id, err = c.id(claim); err != nil {
		return 0, expires, doorbell.Refuse(TokenInvalid, "The token's claim %s can't be used.", "令牌的 %s 声明无效。", claim).Because(err)
	}
	return id, c.expires.UTC(), nil
}

// skyClaims are a token's claims by their exact names, of which jwt looks at exp
// alone: their backend sets no others, and what a copy of it adds says nothing here.
type skyClaims struct {
	all     map[string]json.RawMessage
	expires *jwt.NumericDate
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *skyClaims) UnmarshalJSON(text []byte) error {
	if err := json.Unmarshal(text, &c.all); err != nil {
		return err
	}
	if raw, ok := c.all["exp"]; ok {
		return json.Unmarshal(raw, &c.expires)
	}
	return nil
}

// id returns the claim's number: a positive integer that a browser knows exactly.
func (c *skyClaims) id(claim string) (int64, error) {
	raw, ok := c.all[claim]
	if !ok {
		return 0, errors.New("it is missing")
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err == nil && (n < 1 || n > doorbell.MaxID) {
		err = fmt.Errorf("%d is no id", n)
	}
	return n, err
}

// GetExpirationTime implements jwt.Claims.
func (c *skyClaims) GetExpirationTime() (*jwt.NumericDate, error) { return c.expires, nil }

// GetIssuedAt implements jwt.Claims.
func (*skyClaims) GetIssuedAt() (*jwt.NumericDate, error) { return nil, nil } //nolint:nilnil // not looked at

// GetNotBefore implements jwt.Claims.
func (*skyClaims) GetNotBefore() (*jwt.NumericDate, error) { return nil, nil } //nolint:nilnil // not looked at

// GetIssuer implements jwt.Claims.
func (*skyClaims) GetIssuer() (string, error) { return "", nil }

// GetSubject implements jwt.Claims.
func (*skyClaims) GetSubject() (string, error) { return "", nil }

// GetAudience implements jwt.Claims.
func (*skyClaims) GetAudience() (jwt.ClaimStrings, error) { return nil, nil }
