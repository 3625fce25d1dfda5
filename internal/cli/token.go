package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
)

// token runs the command: it prints the token and nothing else, or lists and revokes
// tokens.
func token(ctx context.Context, args []string, out io.Writer) error {
	fs, file := flags("token", out)
	role := fs.String("role", "", "console, service, customer or admin")
	shops := fs.String("shops", "", "the shops, by comma, or *")
	sub := fs.String("sub", "", "who it is for; a customer's userId (default: the role)")
	ttl := durationFlag(fs, "ttl", 0, "how long it is good (default: service 8760h, console 720h)")
	list := fs.Bool("list", false, "list the tokens that were made or used on the server, instead")
	revoke := fs.String("revoke", "", "revoke the token with this `ID`, and what was made by it, instead; - reads the token itself from standard input")
	if err := parse(fs, args); err != nil {
		return err
	}
	if *list || *revoke != "" {
		return knownTokens(ctx, *file, *list, *revoke, out)
	}
	cfg, err := settings(*file)
	if err != nil {
		return err
	}
	g := doorbell.Grant{Subject: *sub, Role: doorbell.Role(*role)}
	if g.Shops, err = shopSet(*shops); err != nil {
		return usageError{err}
	}
	if g.Subject == "" {
		g.Subject = *role
	}
	if err := checkGrant(g, *ttl); err != nil {
		return usageError{err}
	}
	if *ttl == 0 {
		*ttl = auth.DefaultTTL(g.Role)
	}
	g.Expires = time.Now().Add(*ttl)
	tokens, err := localTokens(cfg.Config)
	if err != nil {
		return err
	}
	t, err := tokens.Issue(g)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, t)
	return err
}

func checkGrant(g doorbell.Grant, ttl time.Duration) error {
	switch g.Role {
	case doorbell.RoleConsole, doorbell.RoleService, doorbell.RoleAdmin:
		if !g.Shops.All && len(g.Shops.List) == 0 {
			return fmt.Errorf("--shops: role %s needs the shops, say --shops 1", g.Role)
		}
	case doorbell.RoleCustomer:
		if n, err := strconv.ParseInt(g.Subject, 10, 64); err != nil || n < 1 {
			return fmt.Errorf("--sub: a customer's is the userId in decimal")
		}
	default:
		return fmt.Errorf("--role: %q is none of console, service, customer, admin", g.Role)
	}
	if ttl < 0 {
		return fmt.Errorf("--ttl: %v is over already", ttl)
	}
	return nil
}

func shopSet(list string) (set doorbell.ShopSet, err error) {
	if list == "*" {
		return doorbell.ShopSet{All: true}, nil
	}
	if list == "" {
		return set, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 64)
		if err != nil || n < 1 || n > doorbell.MaxID {
			return set, fmt.Errorf("--shops: %q is not a shop", part)
		}
		set.List = append(set.List, doorbell.ShopID(n))
	}
	return set, nil
}
