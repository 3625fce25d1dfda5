package doorbell

import (
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
}

// Login is a session behind a cookie. Its ID is the SHA-256 of what the cookie
// holds, so that a stolen database opens no door.
type Login struct {
	ID      string
	Grant   Grant
	Created time.Time
	Limit   time.Time // prolonged by use up to here, zero: without end
	Paired  bool      // made by pairing a device
	Label   string    // what the device says that it is
}

// Ticket is a single-use right to make a Login, or to open one stream. Its ID
// is the SHA-256 of the ticket's text.
type Ticket struct {
	ID      string
	Grant   Grant     // Grant.Expires caps the session made by it
	Expires time.Time // of the ticket itself
	Pairs   bool      // its session stays signed in: of a device that is paired
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
