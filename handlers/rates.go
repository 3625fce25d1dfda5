package handlers

import (
	"context"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
)

// Rates are how often one client may do what costs the database work; 0 is no
// limit. What is limited by the second may come ten seconds' worth at once, what is
// limited by the minute a minute's worth.
type Rates struct {
	LoginsPerMinute        int // from one address: sign-ins, and looks at a ticket
	TicketsPerSecond       int // of one token: tickets and tokens
	ReadsPerSecond         int // of one token in one shop: lists and single alerts
	ShopReadsPerSecond     int // of one shop, by all tokens
	SearchesPerSecond      int // of one token in one shop: by text or type, figures, ledger
	ShopSearchesPerSecond  int // of one shop, by all tokens
	RemindersPerMinute     int // of one customer, over all orders
	ShopRemindersPerMinute int // of one shop, by all its customers
}

// paces are the rates with those who used them of late.
type paces struct {
	logins, tickets          *pace
	reads, shopReads         *pace
	searches, shopSearches   *pace
	reminders, shopReminders *pace
}

func newPaces(r Rates) paces {
	return paces{
		logins:        perMinute("logins_per_minute", r.LoginsPerMinute),
		tickets:       perSecond("tickets_per_second", r.TicketsPerSecond),
		reads:         perSecond("reads_per_second", r.ReadsPerSecond),
		shopReads:     perSecond("shop_reads_per_second", r.ShopReadsPerSecond),
		searches:      perSecond("searches_per_second", r.SearchesPerSecond),
		shopSearches:  perSecond("shop_searches_per_second", r.ShopSearchesPerSecond),
		reminders:     perMinute("reminders_per_minute", r.RemindersPerMinute),
		shopReminders: perMinute("shop_reminders_per_minute", r.ShopRemindersPerMinute),
	}
}

// keepPace counts one use by who, or returns the refusal with the time to wait.
func (h *web) keepPace(ctx context.Context, p *pace, who string) error {
	wait := p.wait(who, time.Now())
	if wait == 0 {
		return nil
	}
	h.refused.WithLabelValues(p.setting).Inc()
	if h.crowdLog.due() {
		h.log.WarnContext(ctx, "client limit reached", "limit", p.n, "setting", "limits."+p.setting)
	}
	e := doorbell.Refuse(TooMany, "Too often: limits.%s is %d. Come again later.", "请求过于频繁：limits.%s 为 %d，请稍后再试。", p.setting, p.n)
	e.RetryAfter = wait
	return e
}

// maySignIn counts a sign-in, or a look at a ticket, by the caller's address. An
// address that says nothing about the client is not counted.
func (h *web) maySignIn(c *gin.Context) error {
	from := h.client(c)
	if from == "" {
		return nil
	}
	return h.keepPace(c.Request.Context(), h.paces.logins, from)
}

// mayRead counts a read of a shop's log. Each shop is counted alone: one token may
// belong to the consoles of a whole chain, which all read their shops' open alerts
// when they reconnect at once.
func (h *web) mayRead(c *gin.Context, shop doorbell.ShopID) error {
	return h.keepPaces(c, shop, h.paces.reads, h.paces.shopReads)
}

// maySearch counts what may read a shop's whole log.
func (h *web) maySearch(c *gin.Context, shop doorbell.ShopID) error {
	return h.keepPaces(c, shop, h.paces.searches, h.paces.shopSearches)
}

func (h *web) keepPaces(c *gin.Context, shop doorbell.ShopID, token, all *pace) error {
	ctx := c.Request.Context()
	if err := h.keepPace(ctx, token, grantOf(c).Holder()+" "+shop.String()); err != nil {
		return err
	}
	return h.keepPace(ctx, all, shop.String())
}

// mayRemind counts a reminder by the customer and by the shop. A customer is
// counted by the user's id, because every sign-in makes another token; an order
// system, which reminds for all its customers, by the shop alone.
func (h *web) mayRemind(c *gin.Context, shop doorbell.ShopID) error {
	ctx := c.Request.Context()
	if g := grantOf(c); g.Role == doorbell.RoleCustomer {
		if err := h.keepPace(ctx, h.paces.reminders, g.Subject); err != nil {
			return err
		}
	}
	return h.keepPace(ctx, h.paces.shopReminders, shop.String())
}

// pace limits how often each client may do something: a rate, with a burst at
// once.
type pace struct {
	setting string // its key below limits
	n       int    // so many in a period; 0: no limit
	period  time.Duration
	burst   time.Duration // the time whose worth may come at once

	mu    sync.Mutex           // guards next and swept
	next  map[string]time.Time // when the last call would be due at an even pace
	swept time.Time            // when expired entries were last removed
}

// maxPaced bounds the remembered clients of one pace.
const maxPaced = 10_000

// perSecond's burst is ten seconds' worth: after an outage all consoles of a token
// look at the same time.
func perSecond(setting string, n int) *pace {
	return &pace{setting: setting, n: n, period: time.Second, burst: 10 * time.Second}
}

func perMinute(setting string, n int) *pace {
	return &pace{setting: setting, n: n, period: time.Minute, burst: time.Minute}
}

// wait returns how long who must wait; 0: who may go on, and is counted.
func (p *pace) wait(who string, now time.Time) time.Duration {
	if p.n == 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	due, known := p.next[who]
	if !known && len(p.next) >= maxPaced {
		if now.Sub(p.swept) >= time.Second { // not at each call of a flood
			p.forget(now)
			p.swept = now
		}
		if len(p.next) >= maxPaced {
			return time.Second
		}
	}
	if due.Before(now) {
		due = now
	}
	due = due.Add(p.period / time.Duration(p.n))
	if over := due.Sub(now) - p.burst; over > 0 {
		return over
	}
	if p.next == nil {
		p.next = map[string]time.Time{}
	}
	p.next[who] = due
	return 0
}

// forget removes those that have their whole burst again. Needs p.mu.
func (p *pace) forget(now time.Time) {
	for who, due := range p.next {
		if !due.After(now) {
			delete(p.next, who)
		}
	}
}
