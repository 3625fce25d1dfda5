package handlers_test

import (
	"strings"
	"testing"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/server/servertest"
)

// account is one of WeChat Pay's that has a name and these shops.
func account(t *testing.T, name string, shops ...int64) config.WeChatAccount {
	t.Helper()
	a := config.WeChatAccount{Name: name, WeChat: servertest.WeChat(t, servertest.Players(t).WeChat)}
	a.Shops = shops
	return a
}

func (s *testServer) orderIn(shop doorbell.ShopID, number string, fen int64) (doorbell.Order, error) {
	s.t.Helper()
	o, _, err := s.Service.CreateOrder(s.t.Context(), doorbell.Order{Number: number, Shop: shop, User: 7, Money: doorbell.Money{Minor: fen, Currency: "CNY"}})
	return o, err
}

func (s *testServer) take(account, transaction, number string, fen int64, want doorbell.Verdict) {
	s.t.Helper()
	verdict, err := s.Service.TakeNotice(s.t.Context(), doorbell.Notice{
		Provider: "wechat", Account: account, Kind: doorbell.PaymentNotice, Transaction: transaction, Number: number,
		Money: doorbell.Money{Minor: fen, Currency: "CNY"}, CheckAmount: true,
	})
	if err != nil || verdict != want {
		s.t.Errorf("%s of %s for %s: %s, %v; want %s", transaction, account, number, verdict, err, want)
	}
}

func (s *testServer) wantHeads(heads ...doorbell.Seq) {
	s.t.Helper()
	for i, want := range heads {
		if _, at := s.position(int64(i + 1)); at.Head != want {
			s.t.Errorf("shop %d is at %d, want %d", i+1, at.Head, want)
		}
	}
}

// TestNumbersBelongToAnAccount: two shops of different accounts use the same
// number; each payment rings in its own shop, also one that comes before its
// order.
func TestNumbersBelongToAnAccount(t *testing.T) {
	s := newServer(t, func(c *config.Config) {
		c.Pay.WeChat = config.Default().Pay.WeChat
		c.Pay.WeChat.Accounts = []config.WeChatAccount{account(t, "a", 1, 3), account(t, "b", 2)}
	})
	s.take("b", "TB", "N-1", 200, doorbell.UnknownOrder)
	if _, err := s.orderIn(1, "N-1", 100); err != nil {
		t.Fatal(err)
	}
	s.wantHeads(0, 0)
	s.take("b", "TB", "N-1", 200, doorbell.OtherAccount) // it comes again, before its own order
	s.wantHeads(0, 0)
	if _, err := s.orderIn(2, "N-1", 200); err != nil {
		t.Fatal(err)
	}
	s.wantHeads(0, 1)
	s.take("b", "TB", "N-1", 200, doorbell.Repeated)
	s.take("a", "TA", "N-1", 100, doorbell.Settled)
	s.wantHeads(1, 1)
	if _, err := s.orderIn(3, "N-1", 100); doorbell.CodeOf(err) != doorbell.Conflict {
		t.Errorf("the same number in the same account: %v, want a conflict", err)
	}
	if _, err := s.orderIn(2, "N-1", 300); doorbell.CodeOf(err) != doorbell.Conflict || strings.Contains(err.Error(), "100") {
		t.Errorf("with other fields: %v, want a conflict", err)
	}
	// One that fits another account's order waits for that of its own.
	s.take("b", "TB3", "N-3", 100, doorbell.UnknownOrder)
	if _, err := s.orderIn(1, "N-3", 100); err != nil {
		t.Fatal(err)
	}
	s.wantHeads(1, 1)
	if _, err := s.orderIn(2, "N-3", 100); err != nil {
		t.Fatal(err)
	}
	s.wantHeads(1, 2)
	// A payment of one account for an order of another does not ring.
	if _, err := s.orderIn(1, "N-2", 100); err != nil {
		t.Fatal(err)
	}
	s.take("b", "TB2", "N-2", 100, doorbell.OtherAccount)
	// Another account's transaction does not count as one's own either.
	s.take("b", "TA", "N-1", 100, doorbell.OtherOrder)
	s.wantHeads(1, 2)
	s.take("a", "TA2", "N-2", 100, doorbell.Settled)
	s.wantHeads(2, 2)
	if findings := s.audit(); len(findings) > 0 {
		t.Errorf("the audit finds %v", findings)
	}
}

// TestAccountsOfTheRest: an account without shops serves those that no other
// account of its provider names; orders from before accounts had names can still
// be paid.
func TestAccountsOfTheRest(t *testing.T) {
	before := newServer(t)
	before.order("OLD", 100) // shop 1, of the single account
	before.Stop()
	s := newServer(t, func(c *config.Config) {
		c.Database = before.Config.Database
		c.Pay.WeChat.Accounts = []config.WeChatAccount{account(t, "a", 1)}
	})
	accounts := doorbell.NewAccounts([]doorbell.Account{{Provider: "wechat", Name: "a", Shops: []doorbell.ShopID{1}}, {Provider: "wechat", Name: ""}})
	for _, c := range []struct {
		account string
		shop    doorbell.ShopID
		want    bool
	}{{"a", 1, true}, {"a", 2, false}, {"", 1, false}, {"", 2, true}, {"gone", 1, false}} {
		if got := accounts.Serves("wechat", c.account, c.shop); got != c.want {
			t.Errorf("account %q serves shop %d: %v, want %v", c.account, c.shop, got, c.want)
		}
	}
	if _, err := s.orderIn(1, "OLD", 300); doorbell.CodeOf(err) != doorbell.Conflict {
		t.Errorf("a number from before: %v, want a conflict", err)
	}
	if _, err := s.orderIn(2, "OLD", 300); err != nil {
		t.Errorf("the same number of another account: %v", err)
	}
	s.take("", "T2", "OLD", 300, doorbell.Settled)
	s.take("a", "T1", "OLD", 100, doorbell.Settled)
	s.wantHeads(1, 1)
}

// TestScopes: shops that share an account, at any provider, share their
// numbers.
func TestScopes(t *testing.T) {
	a := doorbell.NewAccounts([]doorbell.Account{
		{Provider: "wechat", Name: "a", Shops: []doorbell.ShopID{1, 2}},
		{Provider: "wechat", Name: "b", Shops: []doorbell.ShopID{3}},
		{Provider: "alipay", Name: "c", Shops: []doorbell.ShopID{2, 4}},
		{Provider: "stripe", Name: "d", Shops: []doorbell.ShopID{5}},
	})
	if a.Scope(1) != a.Scope(4) || a.Scope(1) == "" || a.Scope(1) == a.Scope(3) || a.Scope(3) == a.Scope(5) || a.Scope(6) != a.Scope(7) || a.Scope(6) == "" || (doorbell.Accounts{}).Scope(6) != "" {
		t.Errorf("scopes %q %q %q %q %q", a.Scope(1), a.Scope(4), a.Scope(3), a.Scope(5), a.Scope(6))
	}
}

// TestAccountPaths: a callback is accepted only at the path of its account; a path
// that names none is 404.
func TestAccountPaths(t *testing.T) {
	s, sims := allProviders(t)
	others := players(t, second)
	taken := doorbell.Seq(0)
	for i, p := range sims.All() {
		other := others.All()[i]
		first, another := "F-"+p.Name(), "S-"+p.Name()
		s.order(first, 100)
		s.order(another, 100)
		of, err := other.Paid(paysim.Payment{Number: another, Transaction: another, Minor: 100})
		if err != nil {
			t.Fatal(err)
		}
		own, err := p.Paid(paysim.Payment{Number: first, Transaction: first, Minor: 100})
		if err != nil {
			t.Fatal(err)
		}
		path := paysim.Path(p)
		for _, c := range []struct {
			path  string
			sent  paysim.Callback
			taken bool
		}{{path + "/second", own, false}, {path + "/none", of, false}, {path + "/none", own, false}, {path, own, true}, {path + "/second", of, several(p)}} {
			w := s.deliver(c.path, c.sent)
			if taken := p.Taken(w.Code, w.Body.String()); taken != c.taken {
				t.Errorf("%s: %d %s, want it accepted: %v", c.path, w.Code, w.Body, c.taken)
			}
		}
		taken++
		if several(p) {
			s.do("GET", path+"/second", "").want(t, "GET of an account", 405, "method_not_allowed")
			taken++
		}
		s.do("GET", path+"/none", "").want(t, "GET of none", 404, "not_found")
	}
	s.wantHead(taken)
	line, err := s.Store.Received(t.Context(), doorbell.Notice{Provider: "wechat", Kind: doorbell.PaymentNotice, Transaction: "S-wechat"})
	if err != nil || line.Account != "second" {
		t.Errorf("the line of the second account: %+v, %v", line, err)
	}
}
