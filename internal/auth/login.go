package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"doorbell/internal/doorbell"
)

const (
	// LoginTTL is how long an unused session lives; use prolongs it.
	LoginTTL = 30 * 24 * time.Hour
	// prolongEvery keeps a busy console from writing at every request.
	prolongEvery = 24 * time.Hour
	// TicketTTL is how long a ticket waits to be spent.
	TicketTTL = 30 * time.Second
	// LinkTTL is the same for the link that serve and link print.
	LinkTTL = 15 * time.Minute
	// SessionByTicket is how long a session made by a ticket lives at most
	// when nobody says.
	SessionByTicket = 12 * time.Hour
)

// Keeper is what sessions and tickets need of the store.
type Keeper interface {
	SaveLogin(ctx context.Context, l doorbell.Login) error
	Login(ctx context.Context, id string) (doorbell.Login, error)
	ProlongLogin(ctx context.Context, id string, expires time.Time) error
	EndLogin(ctx context.Context, id string) error
	Devices(ctx context.Context) ([]doorbell.Login, error)
}

// Spender keeps tickets and takes them out.
type Spender interface {
	SaveTicket(ctx context.Context, k doorbell.Ticket) error
	SpendTicket(ctx context.Context, id string) (doorbell.Ticket, error)
}

// Logins are the sessions behind cookies, and the tickets that make them.
type Logins struct {
	keep  Keeper
	spend Spender
}

// NewLogins needs a store; it is both.
func NewLogins[S interface {
	Keeper
	Spender
}](store S) *Logins {
	return &Logins{keep: store, spend: store}
}

// hash is how a cookie's or ticket's text is kept.
func hash(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

// Open makes a session for login.Grant and returns what the cookie holds.
// login.Limit is when it ends however much it is used; zero is never.
func (l *Logins) Open(ctx context.Context, login doorbell.Login) (cookie string, out doorbell.Grant, err error) {
	cookie = rand.Text() + rand.Text()
	login.Created = doorbell.Instant(time.Now())
	login.ID = hash(cookie)
	login.Grant.Session = login.ID
	login.Grant.Expires = earliest(login.Created.Add(LoginTTL), login.Limit)
	return cookie, login.Grant, l.keep.SaveLogin(ctx, login)
}

func earliest(a, limit time.Time) time.Time {
	if !limit.IsZero() && limit.Before(a) {
		return limit
	}
	return a
}

// Check finds the session of a cookie and prolongs it by its use. prolonged
// says that the cookie should be sent again.
func (l *Logins) Check(ctx context.Context, cookie string) (g doorbell.Grant, prolonged bool, err error) {
	login, err := l.keep.Login(ctx, hash(cookie))
	if doorbell.CodeOf(err) == doorbell.NotFound {
		return doorbell.Grant{}, false, doorbell.Refuse(TokenExpired, "This session has ended; sign in again.", "登录已过期，请重新登录。").Because(err)
	}
	if err != nil {
		return doorbell.Grant{}, false, err
	}
	now := doorbell.Instant(time.Now())
	until := earliest(now.Add(LoginTTL), login.Limit)
	if until.Sub(login.Grant.Expires) < prolongEvery {
		return login.Grant, false, nil
	}
	if err := l.keep.ProlongLogin(ctx, login.ID, until); err != nil {
		// Still good as it is; the next use tries again.
		return login.Grant, false, nil //nolint:nilerr // a full disk must not sign the kitchen out
	}
	login.Grant.Expires = until
	return login.Grant, true, nil
}

// Until is when the login with this id ends.
func (l *Logins) Until(ctx context.Context, id string) (time.Time, error) {
	login, err := l.keep.Login(ctx, id)
	return login.Grant.Expires, err
}

// End ends a cookie's session and returns its id.
func (l *Logins) End(ctx context.Context, cookie string) (id string, err error) {
	id = hash(cookie)
	return id, l.keep.EndLogin(ctx, id)
}

// MakeTicket returns a ticket's text. It is good once, for life; what it opens
// ends at g.Expires.
func (l *Logins) MakeTicket(ctx context.Context, g doorbell.Grant, life time.Duration) (ticket string, expires time.Time, err error) {
	return l.makeTicket(ctx, doorbell.Ticket{Grant: g}, life)
}

// MakePairing returns the ticket of a device that is to stay signed in.
func (l *Logins) MakePairing(ctx context.Context, g doorbell.Grant, life time.Duration) (ticket string, expires time.Time, err error) {
	return l.makeTicket(ctx, doorbell.Ticket{Grant: g, Pairs: true}, life)
}

func (l *Logins) makeTicket(ctx context.Context, k doorbell.Ticket, life time.Duration) (ticket string, expires time.Time, err error) {
	ticket = rand.Text()
	k.ID, k.Expires = hash(ticket), doorbell.Instant(time.Now()).Add(life)
	return ticket, k.Expires, l.spend.SaveTicket(ctx, k)
}

// Spend takes a ticket: one caller gets it, any other TokenExpired.
func (l *Logins) Spend(ctx context.Context, ticket string) (doorbell.Ticket, error) {
	k, err := l.spend.SpendTicket(ctx, hash(ticket))
	if doorbell.CodeOf(err) == doorbell.NotFound {
		return doorbell.Ticket{}, doorbell.Refuse(TokenExpired, "This link was used, or its time is over.", "该链接已使用或已过期。").Because(err)
	}
	return k, err
}

// Devices are the sessions of paired devices, the latest first.
func (l *Logins) Devices(ctx context.Context) ([]doorbell.Login, error) { return l.keep.Devices(ctx) }

// Revoke ends a session by its id.
func (l *Logins) Revoke(ctx context.Context, id string) error { return l.keep.EndLogin(ctx, id) }
