// Package sky stands in front of a sky-take-out backend: it passes on what is not
// doorbell's own, and notices what that backend has done with an order.
package sky

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"doorbell/internal/doorbell"
)

const (
	// maxNoticed bounds what is read of a call and its answer to notice it: an id and
	// a reason. Everything else is streamed.
	maxNoticed = 64 << 10
	// maxAtOnce bounds the requests that are passed on at once, streams included.
	maxAtOnce = 1024
	// noticeWait bounds the writing of what was noticed: the answer waits for it.
	noticeWait = 5 * time.Second
	// slowest is how long a request that is passed on may take; their exports of
	// figures take a while.
	slowest = 10 * time.Minute
)

// Options of New; all are needed.
type Options struct {
	Target *url.URL
	// Own reports whether a path is doorbell's.
	Own func(path string) bool
	// Next serves what is.
	Next http.Handler
	// Trusted reports whether a request comes from a proxy whose X-Forwarded headers
	// count.
	Trusted func(*http.Request) bool
	// Closed is told that the backend has taken care of an order, or called it off.
	Closed func(ctx context.Context, order doorbell.OrderID, t doorbell.Type) error
	// Paid is told that the backend has answered a payment of its own with success.
	Paid func()
	Log  *slog.Logger
	// OwnCookies are not passed on.
	OwnCookies []string
}

// Upstream passes on to a backend what is not doorbell's own.
type Upstream struct {
	Options
	proxy *httputil.ReverseProxy
	room  chan struct{}
}

// New makes one.
func New(o Options) *Upstream {
	u := &Upstream{Options: o, room: make(chan struct{}, maxAtOnce)}
	u.proxy = &httputil.ReverseProxy{
		Rewrite: u.rewrite, ModifyResponse: u.answered, ErrorHandler: u.failed, FlushInterval: -1,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			ResponseHeaderTimeout: 2 * time.Minute, MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
		},
	}
	return u
}

// Close ends the idle connections.
func (u *Upstream) Close() {
	if t, ok := u.proxy.Transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// ServeHTTP implements http.Handler.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if u.Own(r.URL.Path) {
		u.Next.ServeHTTP(w, r)
		return
	}
	select {
	case u.room <- struct{}{}:
		defer func() { <-u.room }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "doorbell passes on as many requests as it can; try again / 转发请求过多，请稍后重试", http.StatusServiceUnavailable)
		return
	}
	rc, deadline := http.NewResponseController(w), time.Now().Add(slowest)
	_, _ = rc.SetReadDeadline(deadline), rc.SetWriteDeadline(deadline) // not supported: a test's recorder
	if t, ok := closing(r.Method, r.URL.Path); ok {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxNoticed+1))
		if err != nil {
			http.Error(w, "the body can't be read", http.StatusBadRequest)
			return
		}
		if id := orderOf(r.URL.Path, body); (id != 0 || t == doorbell.NewOrder) && len(body) <= maxNoticed {
			r = r.WithContext(context.WithValue(r.Context(), callKey{}, call{id, t}))
		}
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	}
	u.proxy.ServeHTTP(w, r)
}

// rewrite points a request at the backend, and tells it who has asked.
func (u *Upstream) rewrite(p *httputil.ProxyRequest) {
	p.SetURL(u.Target)
	p.Out.Host = p.In.Host
	if u.Trusted(p.In) {
		p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
	}
	p.SetXForwarded()
	if u.Trusted(p.In) {
		for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto"} {
			if v := p.In.Header.Get(name); v != "" {
				p.Out.Header.Set(name, v)
			}
		}
	}
	cookies := p.In.Cookies()
	p.Out.Header.Del("Cookie")
	for _, c := range cookies {
		if !slices.Contains(u.OwnCookies, c.Name) { // a session of ours is none of theirs
			p.Out.AddCookie(c)
		}
	}
}

type (
	callKey struct{}
	call    struct {
		order doorbell.OrderID
		t     doorbell.Type
	}
)

// answered notices a success: HTTP 200 with code 1 in their envelope.
func (u *Upstream) answered(res *http.Response) error {
	c, ok := res.Request.Context().Value(callKey{}).(call)
	if !ok || res.StatusCode != http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxNoticed))
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), failing{err}, res.Body), res.Body}
	var envelope struct {
		Code int `json:"code"`
	}
	if err != nil || json.Unmarshal(body, &envelope) != nil || envelope.Code != 1 {
		return nil // the client reads err after what came
	}
	if c.t == doorbell.NewOrder {
		u.Paid()
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(res.Request.Context()), noticeWait)
	defer cancel()
	if err := u.Closed(ctx, c.order, c.t); err != nil {
		u.Log.ErrorContext(ctx, "an order that the backend has closed rings on", "order", c.order, "type", c.t, "error", err)
	}
	return nil
}

// failing gives an error where there is one, else nothing.
type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

func (u *Upstream) failed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	u.Log.WarnContext(r.Context(), "sky.upstream did not answer", "path", r.URL.Path, "target", u.Target.Host, "error", err)
	http.Error(w, "sky.upstream does not answer / 后端无响应", http.StatusBadGateway)
}

// closing tells which of their calls ends an order's ring, and how; NewOrder for the
// one that pays it where WeChat is left out.
func closing(method, path string) (doorbell.Type, bool) {
	if method != http.MethodPut {
		return 0, false
	}
	switch rest, id := splitID(path); {
	case path == "/user/order/payment":
		return doorbell.NewOrder, true
	case path == "/admin/order/confirm", id && (rest == "/admin/order/delivery" || rest == "/admin/order/complete"):
		return doorbell.TakenCare, true
	case path == "/admin/order/rejection", path == "/admin/order/cancel", id && rest == "/user/order/cancel":
		return doorbell.CalledOff, true
	default:
		return 0, false
	}
}

// splitID parts a path from the number at its end.
func splitID(path string) (rest string, numbered bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 || number(path[i+1:]) == 0 {
		return path, false
	}
	return path[:i], true
}

func number(text string) doorbell.OrderID {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > doorbell.MaxID {
		return 0
	}
	return doorbell.OrderID(n)
}

// orderOf returns the order that a call is about: from its path, else from its body,
// where the id is a number from the dashboard and a text from a notification. 0: none.
func orderOf(path string, body []byte) doorbell.OrderID {
	if i := strings.LastIndexByte(path, '/'); number(path[i+1:]) != 0 {
		return number(path[i+1:])
	}
	var named struct {
		ID json.RawMessage `json:"id"`
	}
	if json.Unmarshal(body, &named) != nil {
		return 0
	}
	return number(strings.Trim(string(named.ID), `"`))
}
