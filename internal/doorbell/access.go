package doorbell

import (
	"cmp"
	"crypto/ecdh"
	"encoding/base64"
	"slices"
	"time"
)

// Role is what a token's holder is.
type Role string

// The roles of the contract.
const (
	RoleConsole  Role = "console"
	RoleService  Role = "service"
	RoleCustomer Role = "customer"
	RoleAdmin    Role = "admin"
)

// Roles are all of them.
var Roles = []Role{RoleConsole, RoleService, RoleCustomer, RoleAdmin}

// ShopSet is the shops that somebody may hear.
type ShopSet struct {
	All  bool // ["*"]
	List []ShopID
}

// Has reports whether shop is in the set.
func (s ShopSet) Has(shop ShopID) bool { return s.All || slices.Contains(s.List, shop) }

// Within reports whether every shop of s is in t.
func (s ShopSet) Within(t ShopSet) bool {
	if s.All {
		return t.All
	}
	return !slices.ContainsFunc(s.List, func(shop ShopID) bool { return !t.Has(shop) })
}

// Grant is what somebody may do and until when: read off a token, or kept
// beside a session cookie or a ticket.
type Grant struct {
	Subject string
	Role    Role
	Shops   ShopSet
	Issued  time.Time // zero where nobody said
	Expires time.Time
	Session string // id of the session that it came by, empty for a token
	Parent  string // id of the session that made it, of a ticket or a session
	Source  string // mark of the token that it began with; empty: the server's own
	Device  string // id of the paired device that it comes from, itself included
}

// Life returns the id of the session that this right ends with, empty where it is a
// token's own.
func (g Grant) Life() string {
	if g.Session != "" {
		return g.Session
	}
	return g.Parent
}

// Holder returns what the grant's streams are counted by: the paired device, else the token
// that it began with, with all that was made from it under whatever name.
func (g Grant) Holder() string {
	return cmp.Or(g.Device, g.Source, string(g.Role)+":"+g.Subject)
}

// Login is a session behind a cookie. Its ID is for lists; the cookie itself is
// kept as a hash, so that a stolen database opens no door.
type Login struct {
	ID         string
	KeyHash    string // SHA-256 of what the cookie holds
	Grant      Grant
	Created    time.Time
	Limit      time.Time // prolonged by use up to here, zero: without end
	Paired     bool      // made by pairing a device
	Label      string    // what the device says that it is
	Generation string    // see auth.Generation
	Ended      time.Time // zero: it was not
	EndedBy    string    // who ended it; empty: it signed itself out
}

// Ticket is a single-use right to make a Login, or to open one stream. Its ID
// is the SHA-256 of the ticket's text.
type Ticket struct {
	ID         string
	Grant      Grant     // Grant.Expires caps the session made by it
	Expires    time.Time // of the ticket itself
	Pairs      bool      // its session stays signed in: of a device that is paired
	Generation string
}

// LoginPage selects sessions that are good, the latest first.
type LoginPage struct {
	Source string    // only of this token; empty: all
	Under  string    // only this session and what came of it; empty: all
	Paired bool      // only paired devices
	Before time.Time // only those made before, or at the same time with a lower id; zero: from the latest
	ID     string
	Limit  int
}

// Push is where a browser wants a shop's alerts pushed to (Web Push).
type Push struct {
	Endpoint string
	Login    string // the session that asked; ends with it
	Shop     ShopID
	Key      string // p256dh, base64url
	Auth     string // base64url
	Language string
}

// Check returns an Invalid that names what a browser could never have made, or
// nil: RFC 8291 has an uncompressed point of P-256, and 16 bytes.
func (p Push) Check() error {
	key, ok := exactly(p.Key)
	if ok {
		_, err := ecdh.P256().NewPublicKey(key)
		ok = err == nil
	}
	if !ok {
		return InvalidField("keys.p256dh", "must be an uncompressed point of P-256, 65 bytes in base64url", "须为未压缩的 P-256 公钥（65 字节，base64url）")
	}
	if secret, ok := exactly(p.Auth); !ok || len(secret) != 16 {
		return InvalidField("keys.auth", "must be 16 bytes in base64url", "须为 16 字节（base64url）")
	}
	return nil
}

// exactly decodes base64url without padding, in the one way of writing it.
func exactly(text string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	return b, err == nil && base64.RawURLEncoding.EncodeToString(b) == text
}

// TokenEntry is what is kept of a signed token, from when it was made or used here
// until it expires. The token itself is not kept.
type TokenEntry struct {
	ID        string // Grant.Source: a digest of the token, which opens nothing
	Grant     Grant
	Parent    string    // the token that made it by POST /api/v1/tokens
	First     time.Time // when it was made or first used here
	Used      time.Time // about when it was last used; zero: not yet
	Mark      string    // of the key that signed it, see auth.Tokens.Mark
	Revoked   time.Time // zero: it was not
	RevokedBy string
}

// TokenPage selects tokens that have not expired, the latest first.
type TokenPage struct {
	Mark   string    // signed by this key; empty: by any
	Before time.Time // only those first seen before, or at the same time with a lower id; zero: from the latest
	ID     string
	Limit  int
}
