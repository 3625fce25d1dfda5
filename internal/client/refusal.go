package client

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
)

// Refused is an answer that coming again does not change.
type Refused struct {
	Address string // without the query
	Status  int    // 0: the server ended the stream for good
	Reason  string
}

func (r *Refused) Error() string {
	if r.Status == 0 {
		return fmt.Sprintf("%s ended the stream for good: %s", r.Address, r.Reason)
	}
	return fmt.Sprintf("%s answers %d %s: %s", r.Address, r.Status, http.StatusText(r.Status), r.Reason)
}

// later is an answer after which coming again may help.
type later struct {
	status int
	reason string
	after  time.Duration // 0: the server does not say
}

func (l *later) Error() string {
	return fmt.Sprintf("the server answers %d %s: %s", l.status, http.StatusText(l.status), l.reason)
}

// refusal reads an answer that is no stream.
func refusal(address string, res *http.Response, body []byte) error {
	reason := reasonOf(res, body)
	switch s := res.StatusCode; {
	case s == http.StatusTooManyRequests, s == http.StatusRequestTimeout, s == http.StatusTooEarly,
		s/100 == 5 && s != http.StatusNotImplemented && s != http.StatusHTTPVersionNotSupported:
		wait, _ := strconv.Atoi(res.Header.Get("Retry-After")) // a date, or none: our own back-off
		return &later{status: s, reason: reason, after: min(time.Duration(max(wait, 0))*time.Second, maxAfter)}
	default:
		return &Refused{Address: address, Status: s, Reason: reason}
	}
}

// reasonOf returns a problem's detail, else a line that says what came instead.
func reasonOf(res *http.Response, body []byte) string {
	var p struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(body, &p) == nil && p.Detail != "" {
		if res.StatusCode == http.StatusNotFound { // doorbell's own, under another path
			return fmt.Sprintf("%q Its path is server.base_path; --url names another address", p.Detail)
		}
		return fmt.Sprintf("%q", p.Detail)
	}
	if to := res.Header.Get("Location"); to != "" {
		return fmt.Sprintf("it sends to %q; name that address with --url", to)
	}
	if kind := res.Header.Get("Content-Type"); kind != "" {
		return fmt.Sprintf("%q, which is no answer of doorbell's; is it the right address, and the path its server.base_path?", kind)
	}
	return "no reason given"
}

// final turns an end that coming again does not change into a Refused: a bad
// certificate, a session that ended, a shop that is not ours.
func (f *follower) final(err error) error {
	if f.ended != nil {
		return f.ended
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &Refused{Address: f.URL, Reason: e.Error()}
	}
	if e, ok := errors.AsType[*websocket.CloseError](err); ok && e.Code >= 4400 && e.Code < 4500 {
		return &Refused{Address: f.URL, Reason: fmt.Sprintf("close code %d %q", e.Code, e.Text)}
	}
	return err
}
