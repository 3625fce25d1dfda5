package doorbell

import (
	"slices"
	"strings"
)

// Account is a merchant account at a provider, and the shops that it may pay
// for; none: those that no other account of the provider names. The account of
// a partner's sub-merchant is called NAME/SUB.
type Account struct {
	Provider string
	Name     string // empty: the only one, as the short form has it
	Shops    []ShopID
}

// Accounts tell which account serves which shop. Every question is one look
// into a map, however many accounts there are. The zero value is a single
// account that serves all.
type Accounts struct {
	shops map[accountKey]map[ShopID]struct{} // nil for those that name none
	taken map[string]map[ShopID]struct{}     // by provider: what its accounts name
	scope map[ShopID]string
}

type accountKey struct{ provider, name string }

// NewAccounts takes what the settings name. Shops that an account names
// together are one scope: their order numbers must differ. Where two accounts
// have a shop in common, that holds for all of their shops.
func NewAccounts(list []Account) Accounts {
	a := Accounts{shops: map[accountKey]map[ShopID]struct{}{}, taken: map[string]map[ShopID]struct{}{}, scope: map[ShopID]string{}}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(x, y Account) int { return strings.Compare(x.Provider+"/"+x.Name, y.Provider+"/"+y.Name) })
	first := map[ShopID]ShopID{} // a forest: the root of a shop's tree is its scope's
	root := func(s ShopID) ShopID {
		for first[s] != s {
			first[s] = first[first[s]]
			s = first[s]
		}
		return s
	}
	for _, account := range list {
		var named map[ShopID]struct{}
		for _, shop := range account.Shops {
			if named == nil {
				named = map[ShopID]struct{}{}
			}
			if a.taken[account.Provider] == nil {
				a.taken[account.Provider] = map[ShopID]struct{}{}
			}
			named[shop], a.taken[account.Provider][shop] = struct{}{}, struct{}{}
			if _, known := first[shop]; !known {
				first[shop] = shop
			}
			first[root(shop)] = root(account.Shops[0])
		}
		a.shops[accountKey{account.Provider, account.Name}] = named
	}
	names := map[ShopID]string{}
	for _, account := range list {
		if len(account.Shops) > 0 {
			if top := root(account.Shops[0]); names[top] == "" {
				names[top] = account.Provider + "/" + account.Name
			}
		}
	}
	for shop := range first {
		a.scope[shop] = names[root(shop)]
	}
	return a
}

// restScope is of the shops that no account names, where some are named. It is
// not empty: orders from before that have the empty one.
const restScope = "*"

// Scope names what a shop's order numbers are unique in; empty where no account
// names its shops.
func (a Accounts) Scope(shop ShopID) string {
	if scope, named := a.scope[shop]; named || len(a.scope) == 0 {
		return scope
	}
	return restScope
}

// Serves reports whether a payment of an account may pay for a shop.
func (a Accounts) Serves(provider, name string, shop ShopID) bool {
	named, known := a.shops[accountKey{provider, name}]
	switch {
	case named != nil:
		_, ok := named[shop]
		return ok
	case known:
		_, taken := a.taken[provider][shop]
		return !taken
	default: // a line of the inbox from before accounts were named
		return name == ""
	}
}

// scopeOf returns the scope that an account's orders are in; ok is false where they
// may be in several.
func (a Accounts) scopeOf(provider, name string) (scope string, ok bool) {
	for shop := range a.shops[accountKey{provider, name}] {
		return a.scope[shop], true
	}
	return "", len(a.scope) == 0
}
