// Package client follows a doorbell server from Go: over WebSocket, SSE or
// long poll, from a cursor on, every alert once.
package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"doorbell/internal/doorbell"
)

// Options of Follow.
type Options struct {
	URL       string // the server, ending in /
	Token     string
	Transport string // ws, sse or poll
	Shops     string // as in the query: 1,2
	After     string // a cursor, 0, or empty for now
	// Alert gets each alert once, in order; Event the rest. Neither is called
	// from two goroutines.
	Alert func(alert []byte)
	Event func(name string, data []byte)
	TLS   *tls.Config // nil: as any client does
}

const (
	firstWait = 500 * time.Millisecond
	maxWait   = 15 * time.Second
	// silence is how long nothing may come: two heartbeats and a half.
	silence = 40 * time.Second
	maxLine = 1 << 20
	// maxAfter bounds what a server may ask for.
	maxAfter = 5 * time.Minute
)

var errStopping = errors.New("the server is stopping")

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

// follower is one Follow.
type follower struct {
	Options
	client *http.Client
	cursor doorbell.Cursor
	known  bool          // the cursor was told by the server
	wait   time.Duration // the longest that is waited before the next try
	asked  time.Duration // what the server asked for in its bye; 0: nothing
	ended  error         // why the server ends the stream for good; nil: it does not
}

// steady is how long a connection must have stood to count as one that works:
// a server that says hello and cuts must not be dialled anew at once for ever.
const steady = 30 * time.Second

// Follow runs until ctx ends or the server refuses for good. It reconnects
// with jitter, each time later, and resumes where it was.
func Follow(ctx context.Context, o Options) error {
	f := &follower{Options: o, wait: firstWait, client: &http.Client{Transport: Way(o.TLS)}}
	if c, err := doorbell.ParseCursor(o.After); err == nil {
		f.cursor, f.known = c, true
	}
	once := map[string]func(context.Context) error{"ws": f.webSocket, "sse": f.events, "poll": f.poll}[o.Transport]
	if once == nil {
		return fmt.Errorf("transport %q is none of ws, sse, poll", o.Transport)
	}
	for {
		began := time.Now()
		f.asked = 0
		err := once(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to end
		}
		if err = f.final(err); err != nil {
			if _, ok := errors.AsType[*Refused](err); ok {
				return err
			}
		}
		pause := f.pause(err, time.Since(began))
		if err != nil {
			o.Event("offline", fmt.Appendf(nil, "%v; again in %v", err, pause.Round(100*time.Millisecond)))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
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

// pause returns how long to wait before the next try.
func (f *follower) pause(err error, stood time.Duration) time.Duration {
	if err == nil { // a poll that was answered: the next one at once
		f.wait = firstWait
		return 0
	}
	if stood >= steady {
		f.wait = firstWait
	}
	// At least half of it: nobody comes again at once.
	pause := f.wait/2 + rand.N(f.wait/2)
	f.wait = min(2*f.wait, maxWait)
	asked := f.asked
	if l, ok := errors.AsType[*later](err); ok {
		asked = max(asked, l.after)
	}
	return max(pause, asked)
}

// query returns the stream's query, from the last cursor.
func (f *follower) query() string {
	q := url.Values{}
	if f.Shops != "" {
		q.Set("shops", f.Shops)
	}
	switch {
	case f.known:
		q.Set("after", f.cursor.String())
	case f.After != "":
		q.Set("after", f.After)
	}
	return "?" + q.Encode()
}

func (f *follower) request(ctx context.Context, path, wants string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL+path+f.query(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+f.Token)
	res, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")) // none is the wrong one
	if res.StatusCode != http.StatusOK || kind != wants {
		defer res.Body.Close()                                 //nolint:errcheck // read
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // the status has to do
		return nil, refusal(f.URL+path, res, text)
	}
	return res, nil
}

// take shows an alert, if it is the next one of its shop.
func (f *follower) take(data []byte) {
	var a struct {
		Shop doorbell.ShopID `json:"shopId"`
		Seq  doorbell.Seq    `json:"seq"`
	}
	if json.Unmarshal(data, &a) != nil || a.Seq <= f.cursor.Seqs[a.Shop] {
		return
	}
	f.cursor.Seqs[a.Shop] = a.Seq
	f.Alert(data)
}

// note keeps what hello and reset say of the cursor, and shows the event.
func (f *follower) note(name string, data []byte) error {
	switch name {
	case "hello", "reset":
		var e struct {
			Cursor string            `json:"cursor"`
			Shops  []doorbell.ShopID `json:"shops"`
		}
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		c, err := doorbell.ParseCursor(e.Cursor)
		if err != nil {
			return err
		}
		f.move(c, name == "reset", e.Shops)
	case "bye":
		f.bye(data)
	}
	f.Event(name, data)
	return nil
}

// move takes from a server's cursor what the follower has no place of yet, and the
// places of shops that were reset. A hello alone moves no known place: if the
// connection ends before the reset that belongs to it, the next one must be told
// of that again.
func (f *follower) move(to doorbell.Cursor, reset bool, shops []doorbell.ShopID) {
	if !f.known {
		f.cursor, f.known = to, true
		return
	}
	if reset {
		f.cursor.Epoch = to.Epoch
	}
	for shop, seq := range to.Seqs {
		if _, has := f.cursor.Seqs[shop]; !has || reset && slices.Contains(shops, shop) {
			f.cursor.Seqs[shop] = seq
		}
	}
}

// bye notes when the server asks to be dialled again; after one for the token's
// sake it would be in vain.
func (f *follower) bye(data []byte) {
	var e struct {
		Reason  string `json:"reason"`
		RetryMS int64  `json:"retryMs"`
	}
	if json.Unmarshal(data, &e) != nil {
		return
	}
	if e.Reason == "auth" {
		f.ended = &Refused{Address: f.URL, Reason: "the token ended, or was revoked"}
	}
	f.asked = min(time.Duration(max(e.RetryMS, 0))*time.Millisecond, maxAfter)
}

// Way returns how requests are sent with this trust; nil: as any client does.
func Way(trust *tls.Config) http.RoundTripper {
	way, ok := http.DefaultTransport.(*http.Transport)
	if trust == nil || !ok {
		return http.DefaultTransport
	}
	way = way.Clone()
	way.TLSClientConfig = trust
	return way
}

// http11 returns trust for a WebSocket's handshake, which HTTP/2 knows none of.
func http11(trust *tls.Config) *tls.Config {
	if trust == nil {
		return nil
	}
	trust = trust.Clone()
	trust.NextProtos = []string{"http/1.1"}
	return trust
}

func (f *follower) webSocket(ctx context.Context) error {
	d := websocket.Dialer{HandshakeTimeout: 10 * time.Second, Subprotocols: []string{"doorbell.v1"}, TLSClientConfig: http11(f.TLS)}
	u := "ws" + strings.TrimPrefix(f.URL, "http") + "ws" + f.query()
	c, res, err := d.DialContext( //nolint:bodyclose // the dialer has closed it
		ctx, u, http.Header{"Authorization": {"Bearer " + f.Token}})
	if err != nil {
		if res == nil {
			return err
		}
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // the status has to do
		return refusal(f.URL+"ws", res, text)
	}
	defer c.Close() //nolint:errcheck // over
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	for {
		if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		_, data, err := c.ReadMessage()
		if err != nil {
			return err
		}
		if err := f.dispatch(data); err != nil {
			return err
		}
	}
}

// dispatch tells an event from an alert by its "event".
func (f *follower) dispatch(data []byte) error {
	var e struct {
		Event string `json:"event"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("read a message: %w", err)
	}
	if e.Event != "" {
		return f.note(e.Event, data)
	}
	f.take(data)
	return nil
}

func (f *follower) events(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(silence, cancel)
	defer quiet.Stop()
	res, err := f.request(ctx, "events", "text/event-stream")
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // over
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxLine)
	var data []byte
	for lines.Scan() {
		quiet.Reset(silence)
		line := lines.Bytes()
		if rest, ok := strings.CutPrefix(string(line), "data: "); ok {
			data = []byte(rest)
		}
		if len(line) == 0 && data != nil {
			if err := f.dispatch(data); err != nil {
				return err
			}
			data = nil
		}
	}
	switch err := lines.Err(); {
	case err == nil:
		return errors.New("the stream ended")
	case ctx.Err() != nil: // if it was our caller, nobody reads this
		return fmt.Errorf("no data for %v", silence)
	default:
		return err
	}
}

func (f *follower) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	res, err := f.request(ctx, "poll", "application/json")
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read
	var a struct {
		Cursor string            `json:"cursor"`
		Alerts []json.RawMessage `json:"alerts"`
		Events []json.RawMessage `json:"events"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 16<<20)).Decode(&a); err != nil {
		return fmt.Errorf("read a poll's answer: %w", err)
	}
	if !f.known {
		c, err := doorbell.ParseCursor(a.Cursor)
		if err != nil {
			return err
		}
		f.cursor = doorbell.Cursor{Epoch: c.Epoch, Seqs: map[doorbell.ShopID]doorbell.Seq{}}
	}
	for _, m := range append(a.Events, a.Alerts...) {
		if err := f.dispatch(m); err != nil {
			return err
		}
	}
	c, err := doorbell.ParseCursor(a.Cursor)
	if err != nil {
		return err
	}
	f.cursor, f.known = c, true
	if f.asked > 0 { // it said bye
		return errStopping
	}
	return nil
}
