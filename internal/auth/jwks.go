package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"doorbell/internal/doorbell"
)

const (
	// keysEvery is how often a key set is fetched when nothing asks for it.
	keysEvery = time.Hour
	// keysGap is the least time between the starts of two fetches that tokens
	// ask for. It is short, so that a stranger's token never makes a real one
	// wait for long; the provider is asked at most 20 times a minute.
	keysGap = 3 * time.Second
	// keysWait bounds one fetch. With keysGap it stays below what a client has
	// for its answer.
	keysWait = 4 * time.Second
	// maxKeyWaiters bounds the tokens of unknown keys that wait for a fetch.
	maxKeyWaiters = 64
	// maxKeySet bounds what is read of a key set, in bytes.
	maxKeySet = 1 << 20
)

// keySet is a JWKS at an address. Who comes with a key that it lacks waits for
// a fetch that begins after they came: whatever strangers asked for before, a
// key that was just published is found.
type keySet struct {
	url    string
	client *http.Client
	log    *slog.Logger
	ended  <-chan struct{} // nobody waits any more

	mu      sync.Mutex // guards all below
	keys    []jwkset.JWK
	started time.Time // of the last fetch
	fetched error     // how it ended
	running chan struct{}
	waiters int
}

// newKeySet fetches the set once; where that fails it is empty until a token
// asks.
func newKeySet(ctx context.Context, address string, way http.RoundTripper, log *slog.Logger) (*keySet, error) {
	if _, err := url.ParseRequestURI(address); err != nil {
		return nil, err
	}
	s := &keySet{url: address, client: &http.Client{Transport: way, Timeout: keysWait}, log: log, ended: ctx.Done()}
	s.refresh(ctx)
	return s, nil
}

func (s *keySet) run(ctx context.Context) error {
	tick := time.NewTicker(keysEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.refresh(ctx)
		case <-ctx.Done():
			s.client.CloseIdleConnections()
			return nil
		}
	}
}

// key implements jwt.Keyfunc: the key that the token names, or all of them
// where it names none.
func (s *keySet) key(token *jwt.Token) (any, error) {
	named, has := token.Header["kid"]
	if !has {
		return s.all()
	}
	kid, ok := named.(string)
	if !ok {
		return nil, errors.New("kid in the token's header is not a string")
	}
	key, found := s.find(kid)
	if !found {
		if err := s.newer(time.Now()); err != nil {
			return nil, err
		}
		if key, found = s.find(kid); !found {
			return nil, fmt.Errorf("the key set has no key %.40q", kid)
		}
	}
	if alg := key.Marshal().ALG.String(); alg != "" && alg != token.Method.Alg() {
		return nil, fmt.Errorf("the key %.40q is for %s", kid, alg)
	}
	return key.Key(), nil
}

func (s *keySet) all() (set jwt.VerificationKeySet, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		set.Keys = append(set.Keys, k.Key())
	}
	return set, nil
}

func (s *keySet) find(kid string) (jwkset.JWK, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if k.Marshal().KID == kid {
			return k, true
		}
	}
	return jwkset.JWK{}, false
}

// newer waits until a fetch that began after since has ended. Its error is for
// the client: the set could not be fetched, and the token may be good.
func (s *keySet) newer(since time.Time) error {
	s.mu.Lock()
	if s.waiters >= maxKeyWaiters {
		s.mu.Unlock()
		return keysUnavailable(errors.New("too many tokens with an unknown kid are waiting"))
	}
	s.waiters++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.waiters--
		s.mu.Unlock()
	}()
	for {
		s.mu.Lock()
		running, gap := s.running, time.Until(s.started.Add(keysGap))
		done, failed := running == nil && s.started.After(since), s.fetched
		s.mu.Unlock()
		switch {
		case done && failed != nil:
			return keysUnavailable(failed)
		case done:
			return nil
		case running != nil:
			<-running // within keysWait
		case gap > 0:
			select {
			case <-time.After(gap):
			case <-s.ended:
				return keysUnavailable(context.Canceled)
			}
		default:
			s.refresh(context.Background())
		}
	}
}

func keysUnavailable(cause error) error {
	e := doorbell.Refuse(doorbell.Unavailable, "The keys that verify tokens can't be fetched just now; try again.", "暂时无法获取用于验证令牌的密钥，请稍后重试。").Because(cause)
	e.RetryAfter = time.Second
	return e
}

// refresh fetches the set, unless somebody else is at it. A set that can't be
// fetched leaves the keys that are known.
func (s *keySet) refresh(ctx context.Context) {
	s.mu.Lock()
	if s.running != nil {
		s.mu.Unlock()
		return
	}
	done := make(chan struct{})
	s.running, s.started = done, time.Now()
	s.mu.Unlock()
	keys, err := s.fetch(ctx)
	if err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "key set not fetched", "url", s.url, "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.keys = keys
	}
	s.fetched, s.running = err, nil
	close(done)
}

func (s *keySet) fetch(ctx context.Context) ([]jwkset.JWK, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	res, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // read
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the key set's server answers %s", res.Status)
	}
	var set jwkset.JWKSMarshal
	if err := json.NewDecoder(io.LimitReader(res.Body, maxKeySet)).Decode(&set); err != nil {
		return nil, fmt.Errorf("read the key set: %w", err)
	}
	var keys []jwkset.JWK
	for _, m := range set.Keys {
		if m.USE == jwkset.UseEnc {
			continue // made to encrypt to: what it signs proves nothing
		}
		k, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil { // one key that we can't use must not keep us from the others
			s.log.WarnContext(ctx, "key of the key set ignored", "url", s.url, "kid", m.KID, "error", err)
			continue
		}
		keys = append(keys, k)
	}
	return keys, nil
}
