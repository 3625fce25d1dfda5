package payment

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"doorbell/internal/doorbell"
)

// Querier asks a provider for the state of an order's payment. Answers are
// verified as callbacks are.
type Querier interface {
	Provider() string
	// Query returns the notice that the provider's callback would have carried.
	// Without a payment it returns ErrNotPaid, or ErrClosed if none can come any
	// more; any other error means that the state is unknown.
	Query(ctx context.Context, number string) (doorbell.Notice, error)
}

// Errors for an order without a payment.
var (
	ErrNotPaid = errors.New("not paid")
	ErrClosed  = errors.New("closed unpaid")
)

// QueryTimeout bounds one query; both providers advise 5 to 10 s.
const QueryTimeout = 10 * time.Second

// Client returns an HTTP client that reads bounded answers and follows no
// redirects. It sets no timeout; the caller's context bounds the wait: WeChat's
// SDK does not close answers, and with a client timeout each would keep a
// goroutine until that timeout.
func Client(way http.RoundTripper) *http.Client {
	if way == nil {
		way = http.DefaultTransport
	}
	return &http.Client{
		Transport:     wholeAnswers{way},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// wholeAnswers reads each answer up to a bound and closes it.
type wholeAnswers struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (w wholeAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := w.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxBody))
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}
