package payment

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"doorbell/internal/doorbell"
)

// Named is one of a provider's accounts; the account in the short form of the
// settings has an empty name.
type Named struct {
	Name string
	Verifier
}

// Group verifies the callbacks of one provider's accounts. The account is the one
// in the callback's path, or the one that its key belongs to: WeChat Pay's serial,
// Alipay's app. A callback that names none belongs to the unnamed account.
type Group struct {
	provider string
	named    map[string]Verifier
	claimed  map[string][]string // account names, by what Claims returned
}

// Claimer is a Verifier whose callbacks name their account.
type Claimer interface {
	// Claims returns the names that callbacks of this account may carry: WeChat
	// Pay's serials, Alipay's app.
	Claims() []string
	// Claim returns the name in a callback, which is not verified yet.
	Claim(header http.Header, body []byte) string
}

// maxClaimants bounds the accounts that are tried for one name: if more accounts
// share it, their paths must tell them apart.
const maxClaimants = 16

// NewGroup returns a group of at least one account, all of one provider.
func NewGroup(list []Named) (*Group, error) {
	if len(list) == 0 {
		return nil, errors.New("no account")
	}
	g := &Group{provider: list[0].Provider(), named: map[string]Verifier{}, claimed: map[string][]string{}}
	for _, n := range list {
		if g.named[n.Name] != nil {
			return nil, fmt.Errorf("account %q is listed twice", n.Name)
		}
		g.named[n.Name] = n.Verifier
		if c, ok := n.Verifier.(Claimer); ok {
			for _, claim := range c.Claims() {
				g.claimed[claim] = append(g.claimed[claim], n.Name)
			}
		}
	}
	return g, nil
}

// Provider implements Verifier.
func (g *Group) Provider() string { return g.provider }

// Has reports whether an account has this name.
func (g *Group) Has(name string) bool { return g.named[name] != nil }

// VerifyFor verifies a callback of the named account.
func (g *Group) VerifyFor(ctx context.Context, name string, header http.Header, body []byte) (doorbell.Notice, error) {
	v := g.named[name]
	if v == nil {
		return doorbell.Notice{}, Forged("unknown_account")
	}
	n, err := v.Verify(ctx, header, body)
	n.Account = name + n.Account
	return n, err
}

// Verify implements Verifier and takes the account from the callback.
func (g *Group) Verify(ctx context.Context, header http.Header, body []byte) (n doorbell.Notice, err error) {
	names := []string{""}
	if len(g.named) > 1 || g.named[""] == nil {
		if claimants := g.claimants(header, body); len(claimants) > 0 {
			names = claimants
		}
	}
	for i, name := range names[:min(len(names), maxClaimants)] {
		next, err := g.VerifyFor(ctx, name, header, body)
		if err != nil || next.Refusal == "" {
			return next, err
		}
		if i == 0 || n.Unusable { // of those that share a serial, the one that can decrypt it
			n = next
		}
	}
	return n, nil
}

func (g *Group) claimants(header http.Header, body []byte) []string {
	for _, v := range g.named { // all are of the same kind
		c, ok := v.(Claimer)
		if !ok {
			return nil
		}
		return g.claimed[c.Claim(header, body)]
	}
	return nil
}
