package auth

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"doorbell/internal/doorbell"
)

const (
	// listStep is how many sessions are read at once for a list.
	listStep = 200
	// maxScanned bounds what one page reads: of many shops' sessions a service
	// may see few.
	maxScanned = 5000
	// maxSteps bounds how far back a session's origin is looked for.
	maxSteps = 100
)

// Page is a part of a list of sessions, the latest first. It may be short, or
// empty, and have a Next all the same.
type Page struct {
	Logins []doorbell.Login
	Next   string // empty at the end
}

// List returns what the caller may see, and end: an admin all sessions, a service
// those of its shops, a console its own: the one that asks, and what was made
// from it or from its token.
func (l *Logins) List(ctx context.Context, g doorbell.Grant, after string, limit int) (Page, error) {
	p := doorbell.LoginPage{}
	switch g.Role {
	case doorbell.RoleAdmin, doorbell.RoleService:
	default:
		if p.Under = g.Session; p.Under == "" {
			p.Source = g.Source
		}
		if p.Under == "" && p.Source == "" { // would be all
			return Page{}, nil
		}
	}
	return l.page(ctx, p, after, limit, func(one doorbell.Login) bool { return seesSession(g, one) })
}

// Devices returns the paired devices that the caller may see, and remove: those of
// its shops; a device sees itself only, so that a stolen one removes no other.
func (l *Logins) Devices(ctx context.Context, g doorbell.Grant, after string, limit int) (Page, error) {
	p := doorbell.LoginPage{Paired: true}
	if g.Device != "" {
		p.Under = g.Session
	}
	return l.page(ctx, p, after, limit, func(one doorbell.Login) bool { return seesDevice(g, one) })
}

// seesSession decides by the rights alone; a console's own are told by where
// they come from.
func seesSession(g doorbell.Grant, one doorbell.Login) bool {
	return g.Role != doorbell.RoleService || covers(g, one)
}

func seesDevice(g doorbell.Grant, one doorbell.Login) bool { return one.Paired && covers(g, one) }

// covers reports whether all shops of the session are the caller's; a session
// without shops is nobody's.
func covers(g doorbell.Grant, one doorbell.Login) bool {
	shops := one.Grant.Shops
	return (shops.All || len(shops.List) > 0) && shops.Within(g.Shops)
}

// Find returns a session that the caller may end, by either list. One that is not
// there and one that is another's look alike: NotFound.
func (l *Logins) Find(ctx context.Context, g doorbell.Grant, id string) (doorbell.Login, error) {
	one, err := l.keep.Login(ctx, id)
	if err == nil {
		err = l.good(one)
	}
	if code := doorbell.CodeOf(err); code == doorbell.NotFound || code == TokenExpired || code == SessionRemoved || code == SessionOutdated {
		return one, noSession().Because(err)
	}
	if err != nil {
		return one, err
	}
	may, err := l.mayEnd(ctx, g, one)
	if err == nil && !may {
		err = noSession()
	}
	return one, err
}

func noSession() *doorbell.Error {
	return doorbell.Refuse(doorbell.NotFound, "There is no such session.", "没有这个登录会话。")
}

func (l *Logins) mayEnd(ctx context.Context, g doorbell.Grant, one doorbell.Login) (bool, error) {
	if g.Role == doorbell.RoleAdmin || g.Role == doorbell.RoleService {
		return seesSession(g, one), nil
	}
	if g.Device == "" && seesDevice(g, one) {
		return true, nil
	}
	if g.Session == "" {
		return g.Source != "" && one.Grant.Source == g.Source, nil
	}
	return l.comesFrom(ctx, one, g.Session)
}

// comesFrom reports whether a session is the other, or came of it.
func (l *Logins) comesFrom(ctx context.Context, one doorbell.Login, session string) (bool, error) {
	for range maxSteps {
		if one.ID == session {
			return true, nil
		}
		if one.Grant.Parent == "" {
			return false, nil
		}
		var err error
		one, err = l.keep.Login(ctx, one.Grant.Parent)
		if doorbell.CodeOf(err) == doorbell.NotFound {
			return false, nil // its time is over: it is not the one that asks
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// page reads on until limit sessions are found that see lets through.
func (l *Logins) page(ctx context.Context, p doorbell.LoginPage, after string, limit int, see func(doorbell.Login) bool) (out Page, err error) {
	if p.Before, p.ID, err = parsePlace(after); err != nil {
		return out, err
	}
	p.Limit = listStep
	for scanned := 0; scanned < maxScanned; {
		found, err := l.keep.Logins(ctx, l.generation, p)
		if err != nil {
			return out, err
		}
		for _, one := range found {
			if see(one) {
				if len(out.Logins) == limit {
					return out, nil
				}
				out.Logins = append(out.Logins, one)
			}
			p.Before, p.ID = one.Created, one.ID
			out.Next = place(one)
		}
		if len(found) < p.Limit {
			out.Next = ""
			return out, nil
		}
		scanned += len(found)
	}
	return out, nil
}

// place returns where a list goes on after a session.
func place(l doorbell.Login) string { return fmt.Sprintf("%d.%s", l.Created.UnixMilli(), l.ID) }

func parsePlace(text string) (time.Time, string, error) {
	if text == "" {
		return time.Time{}, "", nil
	}
	ms, id, ok := strings.Cut(text, ".")
	n, err := strconv.ParseInt(ms, 10, 64)
	if !ok || err != nil || n < 1 || len(text) > 100 {
		return time.Time{}, "", doorbell.InvalidField("after", "is not what next said", "不是上一页返回的 next")
	}
	return time.UnixMilli(n).UTC(), id, nil
}
