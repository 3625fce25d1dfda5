package auth

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"doorbell/internal/doorbell"
)

// TokenRevoked is the cause of a 401: somebody revoked the token.
const TokenRevoked doorbell.Code = "token_revoked"

const (
	// noteEvery is how exactly the time of a token's last use is known: a busy token
	// must not write at every request.
	noteEvery = 10 * time.Minute
	// revokedOverlap is how far back each look for revocations reaches: what a token
	// made while it was being revoked ends by the next one.
	revokedOverlap = time.Minute
)

// TokenKeeper is what a Register needs of the store.
type TokenKeeper interface {
	Now() time.Time
	NoteTokens(ctx context.Context, entries []doorbell.TokenEntry) error
	Tokens(ctx context.Context, p doorbell.TokenPage) ([]doorbell.TokenEntry, error)
	RevokeToken(ctx context.Context, id, by string) (revoked []string, err error)
	RevokedTokens(ctx context.Context, since time.Time) ([]string, error)
}

// Register keeps which signed tokens were made or used here, and which are revoked.
// A token is its signature and not a row, so the register can't know one that was
// made elsewhere (doorbell token, an identity provider) before its first use.
// Customers' tokens are many and short-lived, and are not kept; one that is revoked
// is known all the same.
type Register struct {
	keep   TokenKeeper
	tokens *Tokens
	mark   string
	every  time.Duration
	end    func(tokens ...string) // ends the streams that came of them
	log    *slog.Logger

	mu      sync.Mutex                     // guards all below
	noted   map[string]time.Time           // when a token's use was last noted
	pending map[string]doorbell.TokenEntry // uses that are not stored yet
	revoked map[string]struct{}
	looked  time.Time // up to when revocations are known, by the store's clock
}

// RegisterOptions are the arguments of NewRegister; all are required.
type RegisterOptions struct {
	Keep   TokenKeeper
	Tokens *Tokens // which are checked against the register from now on
	// Every is how often uses are stored and other nodes' revocations are read.
	Every time.Duration
	End   func(tokens ...string)
	Log   *slog.Logger
}

// NewRegister reads what is revoked.
func NewRegister(ctx context.Context, o RegisterOptions) (*Register, error) {
	r := &Register{
		keep: o.Keep, tokens: o.Tokens, mark: o.Tokens.Mark(), every: o.Every, end: o.End, log: o.Log,
		noted: map[string]time.Time{}, pending: map[string]doorbell.TokenEntry{}, revoked: map[string]struct{}{},
	}
	if err := r.look(ctx); err != nil {
		return nil, err
	}
	o.Tokens.register = r
	return r, nil
}

// pass notes the use of a token, or refuses it.
func (r *Register) pass(g doorbell.Grant) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ended := r.revoked[g.Source]; ended {
		return doorbell.Refuse(TokenRevoked, "The token was revoked; get another.", "令牌已被吊销，请重新获取。")
	}
	now := time.Now()
	if g.Role == doorbell.RoleCustomer || now.Sub(r.noted[g.Source]) < noteEvery {
		return nil
	}
	if len(r.noted) >= maxKnown {
		clear(r.noted)
	}
	r.noted[g.Source] = now
	if len(r.pending) < maxKnown { // else its next use is noted
		r.pending[g.Source] = r.entry(g, "", true)
	}
	return nil
}

// entry returns what is kept of a token; used says that it was used just now.
func (r *Register) entry(g doorbell.Grant, parent string, used bool) doorbell.TokenEntry {
	e := doorbell.TokenEntry{ID: g.Source, Grant: g, Parent: parent, First: doorbell.Instant(r.keep.Now()), Mark: r.mark}
	if used {
		e.Used = e.First
	}
	return e
}

// Issue makes a token for g as Tokens.Issue does, and keeps that parent made it.
func (r *Register) Issue(ctx context.Context, g doorbell.Grant, parent string) (string, error) {
	token, err := r.tokens.Issue(g)
	if err != nil {
		return "", doorbell.Refuse(doorbell.Conflict, "%v.", "%v。", err)
	}
	made, err := r.tokens.check(token)
	if err != nil {
		return "", err
	}
	return token, r.keep.NoteTokens(ctx, []doorbell.TokenEntry{r.entry(made, parent, false)})
}

// Run stores uses and looks for revocations of other nodes until ctx ends.
func (r *Register) Run(ctx context.Context) error {
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := r.flush(ctx); err != nil && ctx.Err() == nil {
				r.log.WarnContext(ctx, "the use of tokens is not stored", "error", err)
			}
			if err := r.look(ctx); err != nil && ctx.Err() == nil {
				r.log.WarnContext(ctx, "revocations of tokens can't be read", "error", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// flush stores the noted uses; what could not be stored is tried again.
func (r *Register) flush(ctx context.Context) error {
	r.mu.Lock()
	entries := make([]doorbell.TokenEntry, 0, len(r.pending))
	for _, e := range r.pending {
		entries = append(entries, e)
	}
	r.mu.Unlock()
	if err := r.keep.NoteTokens(ctx, entries); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		if r.pending[e.ID].Used.Equal(e.Used) {
			delete(r.pending, e.ID)
		}
	}
	return nil
}

// look reads what was revoked since the last time, here or by another program, and
// ends what came of it.
func (r *Register) look(ctx context.Context) error {
	began := r.keep.Now()
	since := r.looked
	if !since.IsZero() {
		since = since.Add(-revokedOverlap)
	}
	ids, err := r.keep.RevokedTokens(ctx, since)
	if err != nil {
		return err
	}
	if !since.IsZero() {
		for _, id := range ids {
			if _, err := r.keep.RevokeToken(ctx, id, "revocation"); err != nil && doorbell.CodeOf(err) != doorbell.NotFound {
				return err
			}
		}
	}
	r.looked = began
	r.ended(ids)
	return nil
}

func (r *Register) ended(ids []string) {
	r.mu.Lock()
	for _, id := range ids {
		r.revoked[id] = struct{}{}
	}
	r.mu.Unlock()
	if len(ids) > 0 {
		r.end(ids...)
	}
}

// Revoke revokes a token and what was made by it. Its calls are refused and its
// streams end here at once, on other nodes within RegisterOptions.Every. by is who
// did it.
func (r *Register) Revoke(ctx context.Context, id, by string) error {
	if err := r.flush(ctx); err != nil { // it may have been used just now
		return err
	}
	ids, err := r.keep.RevokeToken(ctx, id, by)
	if err != nil {
		return err
	}
	r.ended(ids)
	r.log.InfoContext(ctx, "token revoked", "token", id, "ended", len(ids), "by", by)
	return nil
}

// TokenLister is what ListTokens needs of the store.
type TokenLister interface {
	Tokens(ctx context.Context, p doorbell.TokenPage) ([]doorbell.TokenEntry, error)
}

// TokenList is a part of a list of tokens, the latest first.
type TokenList struct {
	Tokens []doorbell.TokenEntry
	Next   string // empty at the end
}

// List returns the tokens that are known, revoked ones among them, until they
// expire.
func (r *Register) List(ctx context.Context, after string, limit int) (out TokenList, err error) {
	if err := r.flush(ctx); err != nil { // the list is good without the last uses
		r.log.WarnContext(ctx, "the use of tokens is not stored", "error", err)
	}
	return ListTokens(ctx, r.keep, r.mark, after, limit)
}

// ListTokens returns the tokens of a store that the key with this mark signed; an
// empty mark is every key.
func ListTokens(ctx context.Context, keep TokenLister, mark, after string, limit int) (out TokenList, err error) {
	p := doorbell.TokenPage{Mark: mark, Limit: limit + 1}
	if p.Before, p.ID, err = parsePlace(after); err != nil {
		return out, err
	}
	if out.Tokens, err = keep.Tokens(ctx, p); err != nil {
		return out, err
	}
	if len(out.Tokens) > limit {
		out.Tokens = out.Tokens[:limit]
		last := out.Tokens[limit-1]
		out.Next = place(doorbell.Login{Created: last.First, ID: last.ID})
	}
	return out, nil
}
