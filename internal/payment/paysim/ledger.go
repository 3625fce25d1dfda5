package paysim

import (
	"crypto/rsa"
	"net/http"
	"sync"
)

// Asked is a Player that answers queries about an order, as the provider does.
type Asked interface {
	// Asked reports whether the request is a query to this provider.
	Asked(r *http.Request) bool
	// AnswerQuery answers with what the ledger knows, signed as the provider signs.
	// The query must be signed by the ledger's merchant.
	AnswerQuery(l *Ledger, w http.ResponseWriter, r *http.Request) error
}

// Ledger holds the payments that the providers know, and answers queries about
// them over HTTP as the providers do. Queries must be signed with the merchant's
// key; answers are signed with the provider's.
type Ledger struct {
	Players  []Asked
	Merchant *rsa.PublicKey

	mu     sync.Mutex
	paid   map[string]Payment // by provider/number
	states map[string]string  // by provider/number; missing: success
	asked  map[string]int     // by number
	broken int                // how many of the next queries get an error
	mixUp  string             // if set, every answer is about this order
}

// Pay records a customer's payment at this provider.
func (l *Ledger) Pay(provider string, m Payment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paid == nil {
		l.paid, l.states = map[string]Payment{}, map[string]string{}
	}
	l.paid[provider+"/"+m.Number] = m
}

// SetState gives a payment one of the provider's states other than success.
func (l *Ledger) SetState(provider, number, state string) {
	l.Pay(provider, Payment{Number: number, Transaction: "T-" + number, Minor: 1})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.states[provider+"/"+number] = state
}

// Break makes the next queries fail.
func (l *Ledger) Break(questions int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = questions
}

// MixUp makes every answer be about this order, whichever was asked for.
func (l *Ledger) MixUp(number string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mixUp = number
}

// About returns the order that an answer is about.
func (l *Ledger) About(number string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mixUp != "" {
		return l.mixUp
	}
	return number
}

// Asked returns how often an order was queried, at all providers together.
func (l *Ledger) Asked(number string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked[number]
}

// Find looks a payment up and counts the query.
func (l *Ledger) Find(provider, number, success string) (m Payment, state string, known, broken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked == nil {
		l.asked = map[string]int{}
	}
	l.asked[number]++
	if l.broken > 0 {
		l.broken--
		return m, "", false, true
	}
	m, known = l.paid[provider+"/"+number]
	if state = l.states[provider+"/"+number]; state == "" {
		state = success
	}
	return m, state, known, false
}

// ServeHTTP implements http.Handler.
func (l *Ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, p := range l.Players {
		if !p.Asked(r) {
			continue
		}
		if err := p.AnswerQuery(l, w, r); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		return
	}
	http.NotFound(w, r)
}
