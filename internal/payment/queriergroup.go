package payment

import (
	"context"

	"doorbell/internal/doorbell"
)

// AskedAccount is one of a provider's accounts that can be queried.
type AskedAccount struct {
	Name  string
	Shops []doorbell.ShopID // empty: the shops that no other account names
	Querier
}

// Query implements Querier and adds the account to the notice.
func (a AskedAccount) Query(ctx context.Context, number string) (doorbell.Notice, error) {
	n, err := a.Querier.Query(ctx, number)
	n.Account = a.Name
	return n, err
}

// QueryGroup queries, of one provider's accounts, the one that receives a shop's
// payments.
type QueryGroup struct {
	accounts []AskedAccount
	byShop   map[doorbell.ShopID]int // accounts that name their shops
	serves   func(provider, account string, shop doorbell.ShopID) bool
}

// NewQueryGroup returns a group of at least one account.
func NewQueryGroup(accounts []AskedAccount, serves func(provider, account string, shop doorbell.ShopID) bool) *QueryGroup {
	g := &QueryGroup{accounts: accounts, byShop: map[doorbell.ShopID]int{}, serves: serves}
	for i, a := range accounts {
		for _, shop := range a.Shops {
			g.byShop[shop] = i
		}
	}
	return g
}

// Provider implements Querier.
func (g *QueryGroup) Provider() string { return g.accounts[0].Provider() }

// Query implements Querier for a caller that does not know the shop: it queries
// the first account.
func (g *QueryGroup) Query(ctx context.Context, number string) (doorbell.Notice, error) {
	return g.accounts[0].Query(ctx, number)
}

// For returns the account to query about a shop's orders; false if there is none.
func (g *QueryGroup) For(shop doorbell.ShopID) (Querier, bool) {
	if i, named := g.byShop[shop]; named {
		return g.accounts[i], true
	}
	for _, a := range g.accounts {
		if len(a.Shops) == 0 && g.serves(a.Provider(), a.Name, shop) {
			return a, true
		}
	}
	return nil, false
}
