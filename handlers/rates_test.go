package handlers_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
)

// wantPaced checks a refusal by a limit of config.yaml, and when it may be tried
// again.
func wantPaced(t *testing.T, what string, got reply, setting string) {
	t.Helper()
	got.want(t, what, 429, "too_many")
	if seconds, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 60 {
		t.Errorf("%s: Retry-After %q, want 1 to 60 seconds", what, got.header.Get("Retry-After"))
	}
	if !strings.Contains(got.body, "limits."+setting) {
		t.Errorf("%s: %s, want it to name limits.%s", what, got.body, setting)
	}
}

// TestLoginsOfAnAddress: sign-ins and looks at tickets are counted by the client's
// address, good and bad ones alike; a proxy's own address is not.
func TestLoginsOfAnAddress(t *testing.T) {
	s := newServer(t, func(c *config.Config) {
		c.Limits.LoginsPerMinute, c.Server.TrustedProxies = 3, []string{"127.0.0.1"}
	})
	till := s.token(doorbell.RoleConsole, "till", 1)
	login := func(from, token string) reply {
		return s.do("POST", "login", `{"token":"`+token+`"}`, "X-Forwarded-For", from)
	}
	login("203.0.113.7", till).want(t, "a sign-in", 200, "")
	login("203.0.113.7", "guessed").want(t, "a guess", 401, "")
	s.do("POST", "api/v1/tickets/preview", `{"ticket":"guessed"}`, "X-Forwarded-For", "203.0.113.7").want(t, "a guessed ticket", 401, "token_expired")
	wantPaced(t, "the fourth within a minute", login("203.0.113.7", till), "logins_per_minute")
	wantPaced(t, "a look at a ticket", s.do("POST", "api/v1/tickets/preview", `{"ticket":"x"}`, "X-Forwarded-For", "203.0.113.7"), "logins_per_minute")
	login("203.0.113.8", till).want(t, "another address", 200, "")
	for range 5 {
		s.do("POST", "login", `{"token":"`+till+`"}`).want(t, "the proxy's own", 200, "")
	}
}

// TestTicketsOfAToken: tickets and tokens are counted by the token that makes them.
func TestTicketsOfAToken(t *testing.T) {
	s := newServer(t, func(c *config.Config) { c.Limits.TicketsPerSecond = 1 })
	backend, other := s.token(doorbell.RoleService, "backend", 1), s.token(doorbell.RoleService, "other", 1)
	for range 5 {
		s.as(backend, "POST", "api/v1/tickets", `{}`).want(t, "a ticket", 200, "")
		s.as(backend, "POST", "api/v1/tokens", `{}`).want(t, "a token", 200, "")
	}
	wantPaced(t, "the eleventh", s.as(backend, "POST", "api/v1/tickets", `{}`), "tickets_per_second")
	wantPaced(t, "a token", s.as(backend, "POST", "api/v1/tokens", `{}`), "tickets_per_second")
	s.as(other, "POST", "api/v1/tickets", `{}`).want(t, "another token", 200, "")
}

// reads are calls that read a shop's log, and searches those that may read all of
// it.
var (
	reads    = []string{"api/v1/alerts?shop=%d", "api/v1/alerts?shop=%d&state=open&type=1", "api/v1/alerts/%d/1"}
	searches = []string{"api/v1/alerts?shop=%d&search=A", "api/v1/alerts?shop=%d&type=1", "api/v1/shops/%d/figures", "api/v1/ledger?shop=%d"}
)

// TestHistoryOfAShop: reads and searches are counted apart, by token in each shop
// and by shop; the shop's own limit holds for all tokens together.
func TestHistoryOfAShop(t *testing.T) {
	for _, c := range []struct {
		kind, setting, ofShop string
		paths, others         []string
		limit                 func(l *config.Limits)
	}{
		{"reads", "reads_per_second", "shop_reads_per_second", reads, searches, func(l *config.Limits) { l.ReadsPerSecond, l.ShopReadsPerSecond = 1, 2 }},
		{"searches", "searches_per_second", "shop_searches_per_second", searches, reads, func(l *config.Limits) { l.SearchesPerSecond, l.ShopSearchesPerSecond = 1, 2 }},
	} {
		t.Run(c.kind, func(t *testing.T) {
			s := newServer(t, func(cfg *config.Config) { c.limit(&cfg.Limits) })
			s.raise(1, doorbell.NewOrder, 1, "A-1")
			s.raise(2, doorbell.NewOrder, 1, "A-1")
			chain := s.token(doorbell.RoleService, "chain", 1, 2)
			get := func(token, path string, shop int) reply { return s.as(token, "GET", fmt.Sprintf(path, shop), "") }
			use := func(token string) { // as much as a token may
				for i := range 10 {
					get(token, c.paths[i%len(c.paths)], 1).want(t, "one of ten", 200, "")
				}
			}
			use(chain)
			for _, path := range c.paths {
				wantPaced(t, path, get(chain, path, 1), c.setting)
				get(chain, path, 2).want(t, "another shop: "+path, 200, "")
			}
			get(chain, c.others[0], 1).want(t, c.others[0], 200, "")
			use(s.token(doorbell.RoleConsole, "till", 1))
			wantPaced(t, "of the whole shop", get(s.token(doorbell.RoleConsole, "third", 1), c.paths[0], 1), c.ofShop)
			s.as(chain, "POST", "api/v1/alerts", `{"type":1,"shopId":1,"number":"A-2","content":"x"}`).want(t, "an alert is raised all the same", 201, "")
		})
	}
}

// TestRemindersOfACustomer: over all orders of a customer, whatever the token, and
// over all customers of a shop; sky-take-out's route tells it in its envelope, and
// not as success.
func TestRemindersOfACustomer(t *testing.T) {
	s := newServer(t, func(c *config.Config) { c.Limits.RemindersPerMinute, c.Limits.ShopRemindersPerMinute = 2, 3 })
	service := s.token(doorbell.RoleService, "backend", 1, 2)
	order := func(id, user, shop int) string {
		s.as(service, "POST", "api/v1/orders", fmt.Sprintf(`{"id":%d,"number":"A-%[1]d","shopId":%d,"userId":%d,"amount":1}`, id, shop, user)).want(t, "create", 201, "")
		s.pay(fmt.Sprint("A-", id), 1)
		return fmt.Sprintf("api/v1/orders/%d/reminders", id)
	}
	customer := s.token(doorbell.RoleCustomer, "77")
	for i := range 2 {
		s.as(customer, "POST", order(10+i, 77, 1), "").want(t, "a reminder", 202, "")
	}
	third := order(12, 77, 1)
	wantPaced(t, "the third", s.as(customer, "POST", third, ""), "reminders_per_minute")
	got := s.do("GET", "user/order/reminder/12", "", "authentication", customer)
	if want := `{"code":0,"msg":"催单过于频繁，请稍后再试","data":null}`; got.status != 200 || got.body != want {
		t.Errorf("on sky-take-out's route: %d %s, want 200 %s", got.status, got.body, want)
	}
	s.as(service, "POST", third, "").want(t, "the order system, for another customer of the shop", 202, "")
	wantPaced(t, "the shop's fourth", s.as(s.token(doorbell.RoleCustomer, "78"), "POST", order(13, 78, 1), ""), "shop_reminders_per_minute")
	s.as(s.token(doorbell.RoleCustomer, "79"), "POST", order(14, 79, 2), "").want(t, "another shop", 202, "")
}

// TestCallbacksPassEveryLimit: while clients that are beyond every limit go on
// asking, each payment is answered and rings.
func TestCallbacksPassEveryLimit(t *testing.T) {
	s := newServer(t, func(c *config.Config) {
		c.Server.TrustedProxies = []string{"127.0.0.1"}
		c.Limits = config.Limits{
			ConnectionsPerAddress: 2, StreamsPerToken: 1, StreamsPerShop: 1, PollsPerSecond: 1, LoginsPerMinute: 1, TicketsPerSecond: 1,
			ReadsPerSecond: 1, ShopReadsPerSecond: 1, SearchesPerSecond: 1, ShopSearchesPerSecond: 1, RemindersPerMinute: 1, ShopRemindersPerMinute: 1,
		}
	})
	service, till := s.token(doorbell.RoleService, "backend", 1), s.token(doorbell.RoleConsole, "till", 1)
	const from = "203.0.113.7"
	calls := []func() reply{
		func() reply { return s.do("POST", "login", `{"token":"x"}`, "X-Forwarded-For", from) },
		func() reply { return s.as(service, "POST", "api/v1/tickets", `{}`, "X-Forwarded-For", from) },
		func() reply { return s.as(till, "GET", "api/v1/alerts?shop=1", "", "X-Forwarded-For", from) },
		func() reply { return s.as(till, "GET", "api/v1/ledger?shop=1", "", "X-Forwarded-For", from) },
		func() reply { return s.as(till, "GET", "poll?wait=0", "", "X-Forwarded-For", from) },
	}
	refused := make([]int, len(calls))
	stop := make(chan struct{})
	var flood sync.WaitGroup
	for i, call := range calls {
		flood.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if call().status == 429 {
						refused[i]++
					}
				}
			}
		})
	}
	for i := range 50 {
		number := fmt.Sprint("F-", i)
		s.as(service, "POST", "api/v1/orders", `{"number":"`+number+`","shopId":1,"userId":7,"amount":1}`).want(t, "create", 201, "")
		s.pay(number, 1).want(t, "a payment in the flood", 204, "")
	}
	close(stop)
	flood.Wait()
	if _, at := s.position(1); at.Head != 50 {
		t.Errorf("head %d, want 50: an alert for each payment", at.Head)
	}
	for i, n := range refused {
		if n == 0 {
			t.Errorf("call %d was never beyond its limit", i)
		}
	}
}
