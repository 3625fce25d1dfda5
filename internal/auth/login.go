package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"doorbell/internal/doorbell"
)

const (
	// LoginTTL is how long an unused session lives; use prolongs it.
	LoginTTL = 30 * 24 * time.Hour
	// LoginLimit is how long a session lives at most when nobody says; only
	// paired devices live on for as long as they are used.
	LoginLimit = 90 * 24 * time.Hour
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

// Further causes of a 401: what was good and was ended.
const (
	// SessionRemoved says that somebody ended it.
	SessionRemoved doorbell.Code = "session_removed"
	// SessionOutdated says that another generation began.
	SessionOutdated doorbell.Code = "session_outdated"
)

// Keeper is what sessions and tickets need of the store.
type Keeper interface { //nolint:interfacebloat // one table
	// Now returns the time by the clock that all nodes share.
	Now() time.Time
	SaveLogin(ctx context.Context, l doorbell.Login) error
	LoginByKey(ctx context.Context, hash string) (doorbell.Login, error)
	Login(ctx context.Context, id string) (doorbell.Login, error)
	Logins(ctx context.Context, generation string, p doorbell.LoginPage) ([]doorbell.Login, error)
	LiveLogins(ctx context.Context, generation string, ids []string) (map[string]time.Time, error)
	ProlongLogin(ctx context.Context, id string, expires time.Time) error
	EndLogin(ctx context.Context, id, by string) (ended []string, err error)
}

// Spender keeps tickets and takes them out.
type Spender interface {
	SaveTicket(ctx context.Context, k doorbell.Ticket) error
	Ticket(ctx context.Context, id string) (doorbell.Ticket, error)
	SpendTicket(ctx context.Context, id string) (doorbell.Ticket, error)
}

// Logins are the sessions behind cookies, and the tickets that make them. What
// is made from a session ends with it, in any number of steps: each carries its
// parent, and the store makes nothing from a parent that has ended.
type Logins struct {
	keep       Keeper
	spend      Spender
	generation string
	limit      time.Duration
}

// LoginRules are what sessions are bound to.
type LoginRules struct {
	// Generation as it stands now; sessions and tickets of another are not
	// good any more.
	Generation string
	// Limit is how long a session lives at most; zero is LoginLimit.
	Limit time.Duration
}

// NewLogins needs a store; it is both.
func NewLogins[S interface {
	Keeper
	Spender
}](store S, r LoginRules) *Logins {
	if r.Limit == 0 {
		r.Limit = LoginLimit
	}
	return &Logins{keep: store, spend: store, generation: r.Generation, limit: r.Limit}
}

// Generation returns what sessions are bound to: drawn, which the database keeps and
// a restore draws anew, the keys that sign tokens, and whether the server is on
// trial. A change of any of them ends all sessions.
func Generation(drawn string, tokens *Tokens, trial bool) string {
	return hash(fmt.Sprintf("%s %s %v", drawn, tokens.Mark(), trial))[:32]
}

// hash returns the form in which a cookie's or ticket's text is stored.
func hash(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

// Open makes a session for login.Grant and returns what the cookie holds. It
// ends at login.Limit at the latest, and LoginRules.Limit after now; a paired
// device's does not.
func (l *Logins) Open(ctx context.Context, login doorbell.Login) (cookie string, out doorbell.Grant, err error) {
	cookie = rand.Text() + rand.Text()
	login.Created = doorbell.Instant(l.keep.Now())
	login.ID, login.KeyHash, login.Generation = "s"+rand.Text()[:19], hash(cookie), l.generation
	login.Grant.Session = login.ID
	if login.Paired {
		login.Limit, login.Grant.Device = time.Time{}, login.ID
	} else {
		login.Limit = earliest(login.Created.Add(l.limit), login.Limit)
	}
	login.Grant.Expires = earliest(login.Created.Add(LoginTTL), login.Limit)
	err = l.keep.SaveLogin(ctx, login)
	if doorbell.CodeOf(err) == doorbell.NotFound {
		return "", doorbell.Grant{}, spent(err) // the session that made the ticket ended meanwhile
	}
	return cookie, login.Grant, err
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
	login, err := l.keep.LoginByKey(ctx, hash(cookie))
	if err == nil {
		err = l.good(login)
	}
	if doorbell.CodeOf(err) == doorbell.NotFound {
		return doorbell.Grant{}, false, doorbell.Refuse(TokenExpired, "This session has ended; sign in again.", "登录已过期，请重新登录。").Because(err)
	}
	if err != nil {
		return doorbell.Grant{}, false, err
	}
	now := doorbell.Instant(l.keep.Now())
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

// good tells why a session is not, if so.
func (l *Logins) good(login doorbell.Login) error {
	switch {
	case login.Generation != l.generation:
		if login.Paired {
			return doorbell.Refuse(SessionOutdated, "The server has a new secret, is not on trial any more, or was restored from a backup. Pair this device again: doorbell pair.",
				"服务器更换了密钥、结束了试运行或从备份恢复，请重新配对此设备：doorbell pair。")
		}
		return doorbell.Refuse(SessionOutdated, "The server has a new secret, is not on trial any more, or was restored from a backup; sign in again.",
			"服务器更换了密钥、结束了试运行或从备份恢复，请重新登录。")
	case login.Ended.IsZero():
		return nil
	case login.EndedBy == "":
		return doorbell.Refuse(TokenExpired, "This session was signed out.", "已退出登录。")
	default:
		return doorbell.Refuse(SessionRemoved, "This device was removed; sign in again.", "此设备已被移除，请重新登录。")
	}
}

// Live tells of these sessions until when those that are good are so.
func (l *Logins) Live(ctx context.Context, ids []string) (map[string]time.Time, error) {
	return l.keep.LiveLogins(ctx, l.generation, ids)
}

// SignOut ends a cookie's session with all that came of it, and returns the ids
// of the sessions that ended.
func (l *Logins) SignOut(ctx context.Context, cookie string) (ended []string, err error) {
	login, err := l.keep.LoginByKey(ctx, hash(cookie))
	if doorbell.CodeOf(err) == doorbell.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return l.keep.EndLogin(ctx, login.ID, "")
}

// End ends a session with all that came of it, and returns the ids of those
// that ended. by is who did it.
func (l *Logins) End(ctx context.Context, id, by string) (ended []string, err error) {
	return l.keep.EndLogin(ctx, id, by)
}

// MakeTicket returns a ticket's text. It is good once, for life; what it opens
// ends at g.Expires, and with the session g.Parent, if any.
func (l *Logins) MakeTicket(ctx context.Context, g doorbell.Grant, life time.Duration) (ticket string, expires time.Time, err error) {
	return l.makeTicket(ctx, doorbell.Ticket{Grant: g}, life)
}

// MakePairing returns the ticket of a device that is to stay signed in.
func (l *Logins) MakePairing(ctx context.Context, g doorbell.Grant, life time.Duration) (ticket string, expires time.Time, err error) {
	return l.makeTicket(ctx, doorbell.Ticket{Grant: g, Pairs: true}, life)
}

func (l *Logins) makeTicket(ctx context.Context, k doorbell.Ticket, life time.Duration) (ticket string, expires time.Time, err error) {
	ticket = rand.Text()
	k.ID, k.Expires, k.Generation = hash(ticket), doorbell.Instant(l.keep.Now()).Add(life), l.generation
	err = l.spend.SaveTicket(ctx, k)
	if doorbell.CodeOf(err) == doorbell.NotFound {
		return "", time.Time{}, doorbell.Refuse(TokenExpired, "This session has ended; sign in again.", "登录已过期，请重新登录。").Because(err)
	}
	return ticket, k.Expires, err
}

// Ticket tells what a ticket would open, and leaves it. Who has its text could
// spend it, and is told no more than that.
func (l *Logins) Ticket(ctx context.Context, ticket string) (doorbell.Ticket, error) {
	return l.ours(l.spend.Ticket(ctx, hash(ticket)))
}

// Spend takes a ticket: one caller gets it, any other TokenExpired.
func (l *Logins) Spend(ctx context.Context, ticket string) (doorbell.Ticket, error) {
	return l.ours(l.spend.SpendTicket(ctx, hash(ticket)))
}

func (l *Logins) ours(k doorbell.Ticket, err error) (doorbell.Ticket, error) {
	if doorbell.CodeOf(err) == doorbell.NotFound {
		return doorbell.Ticket{}, spent(err)
	}
	if err == nil && k.Generation != l.generation {
		return doorbell.Ticket{}, spent(nil)
	}
	return k, err
}

// spent returns the refusal of a ticket that is not valid any more.
func spent(cause error) error {
	return doorbell.Refuse(TokenExpired, "This link was used, or its time is over.", "该链接已使用或已过期。").Because(cause)
}
