//go:build linux

package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// maxCallers is the largest number of concurrent requests.
const maxCallers = 64

// caller is one connection that posts, with little CPU, because the load shares
// the machine with the server.
type caller struct {
	conn net.Conn
	in   *bufio.Reader
	out  bytes.Buffer
	host string
}

// answerWait bounds a call.
const answerWait = 30 * time.Second

func dialCaller(ctx context.Context, base string) (*caller, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" {
		return nil, fmt.Errorf("%s: the load speaks plain http; name the server itself and not its proxy", base)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return &caller{conn: conn, in: bufio.NewReaderSize(conn, 4<<10), host: u.Host}, nil
}

func (c *caller) close() { _ = c.conn.Close() }

// post sends a body; a status other than 2xx is an error.
func (c *caller) post(path string, header map[string]string, body []byte) error {
	c.out.Reset()
	fmt.Fprintf(&c.out, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", path, c.host, len(body))
	for k, v := range header {
		fmt.Fprintf(&c.out, "%s: %s\r\n", k, v)
	}
	c.out.WriteString("\r\n")
	c.out.Write(body)
	if err := c.conn.SetDeadline(time.Now().Add(answerWait)); err != nil {
		return err
	}
	if _, err := c.conn.Write(c.out.Bytes()); err != nil {
		return err
	}
	return c.answer(path)
}

func (c *caller) answer(path string) error {
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read
	if res.StatusCode/100 == 2 {
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	return fmt.Errorf("POST %s: %s: %s %w", path, res.Status, bytes.TrimSpace(text), err)
}

// call runs numbers 0 to n-1 on that many callers; due returns when each number
// may start.
func (s *site) call(ctx context.Context, callers, n int, due func(i int) error, one func(c *caller, i int) error) error {
	for len(s.callers) < callers {
		c, err := dialCaller(ctx, s.target.URL)
		if err != nil {
			return err
		}
		s.callers = append(s.callers, c)
	}
	var next atomic.Int64
	var turn sync.Mutex // numbers are taken in order
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range s.callers[:callers] {
		g.Go(func() error {
			for ctx.Err() == nil {
				turn.Lock()
				i := int(next.Load())
				if i >= n {
					turn.Unlock()
					return nil
				}
				next.Add(1)
				err := due(i)
				turn.Unlock()
				if err != nil {
					return err
				}
				if err := one(c, i); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

// load raises alerts in the shops in turn.
type load struct {
	site  *site
	shops int
	// window is how many alerts may be under way that not all consoles have.
	window int
	blind  bool // the consoles are away: their alerts do not count as under way
	sent   atomic.Int64

	mu    sync.Mutex // guards what follows
	calls histogram  // how long each alert's answer took
}

func (s *site) newLoad(window int) *load { return &load{site: s, shops: s.shops, window: window} }

// deliveries returns the number of deliveries due for the sent alerts.
func (l *load) deliveries() int64 {
	per, n := l.site.fleet.perShop(l.site.shop(0), l.shops), l.sent.Load()
	turns, rest := n/int64(l.shops), n%int64(l.shops)
	all, some := int64(0), int64(0)
	for i, members := range per {
		all += members
		if int64(i) < rest {
			some += members
		}
	}
	return turns*all + some
}

// atRate sends n alerts at a rate, by the clock: a slow answer does not delay the
// next alert.
func (l *load) atRate(ctx context.Context, n, rate int) error {
	start := time.Now()
	return l.send(ctx, min(maxCallers, n), n, func(i int) error {
		return pause(ctx, time.Until(start.Add(time.Duration(i)*time.Second/time.Duration(rate))))
	})
}

// flatOut sends n alerts as fast as the server answers and the consoles follow.
func (l *load) flatOut(ctx context.Context, n int) error {
	f := l.site.fleet
	before := f.received.Load()
	average := max(1, int64(f.size())/int64(l.shops))
	var sent int64
	return l.send(ctx, min(maxCallers, n), n, func(int) error {
		if l.blind {
			return nil
		}
		sent++
		room := func() bool {
			return (sent*average - (f.received.Load() - before)) <= int64(max(l.window, maxCallers))*average
		}
		return f.await(ctx, "room for the next alert", room)
	})
}

// flood sends n alerts as fast as the server answers, whether the consoles follow
// or not.
func (l *load) flood(ctx context.Context, n int) error {
	return l.send(ctx, min(sized(l.site.Publishers, maxCallers), n), n, free)
}

func (l *load) send(ctx context.Context, callers, n int, due func(int) error) error {
	s := l.site
	header := map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + s.target.Service}
	path, err := pathOf(s.target.URL, "api/v1/alerts")
	if err != nil {
		return err
	}
	from := s.fleet.number(n)
	first := l.sent.Load()
	if s.target.Verbatim {
		callers = 1 // one caller keeps the order
	}
	return s.call(ctx, callers, n, due, func(c *caller, i int) error {
		shop := s.shop((first + int64(i)) % int64(l.shops))
		path, body := path, appendAlert(nil, shop, from+int64(i))
		if s.target.Verbatim {
			path += "?shop=" + strconv.FormatInt(shop, 10)
			body = s.numbered(shop, from+int64(i))
		}
		began := time.Now()
		s.fleet.left(from+int64(i), began)
		if err := c.post(path, header, body); err != nil {
			return err
		}
		l.sent.Add(1)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.calls.add(time.Since(began))
		return nil
	})
}

// appendAlert appends the body of an alert; with the server's fields it has some
// 190 bytes on the wire, as a new order usually has.
func appendAlert(b []byte, shop, order int64) []byte {
	b = append(b, `{"type":1,"shopId":`...)
	b = strconv.AppendInt(b, shop, 10)
	b = append(b, `,"orderId":`...)
	b = strconv.AppendInt(b, order, 10)
	return append(b, `,"content":"您有新的外卖订单，请及时处理"}`...)
}

// numbered returns an alert as its shop's consoles should receive it. One caller
// needs no lock.
func (s *site) numbered(shop, order int64) []byte {
	if s.seqs == nil {
		s.seqs = map[int64]int64{}
	}
	s.seqs[shop]++
	return wireAlert(shop, s.seqs[shop], order)
}

func pathOf(base, rest string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	return u.Path + rest, nil
}

// order creates n orders, spread over the shops, and signs a callback for each.
func (s *site) order(ctx context.Context, n int) ([]Payment, error) {
	payments, err := s.target.Payments(n)
	if err != nil {
		return nil, err
	}
	path, err := pathOf(s.target.URL, "api/v1/orders")
	if err != nil {
		return nil, err
	}
	header := map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + s.target.Service}
	err = s.call(ctx, maxCallers, n, free, func(c *caller, i int) error {
		p := payments[i]
		body := fmt.Appendf(nil, `{"number":%q,"shopId":%d,"userId":1,"amount":%d}`, p.Number, s.shop(int64(i%max(s.shops, 1))), p.Fen)
		return c.post(path, header, body)
	})
	return payments, err
}

func free(int) error { return nil }

// send sends callbacks, at a rate or as fast as they are answered, and returns how
// long each took.
func (s *site) send(ctx context.Context, payments []Payment, rate int) ([]time.Duration, error) {
	took := make([]time.Duration, len(payments))
	start := time.Now()
	due := func(i int) error {
		if rate == 0 {
			return nil
		}
		return pause(ctx, time.Until(start.Add(time.Duration(i)*time.Second/time.Duration(rate))))
	}
	err := s.call(ctx, maxCallers, len(payments), due, func(c *caller, i int) error {
		p := payments[i]
		path, err := pathOf(s.target.URL, p.Path)
		if err != nil {
			return err
		}
		began := time.Now()
		err = c.post(path, p.Header, p.Body)
		took[i] = time.Since(began)
		return err
	})
	return slices.Clip(took), err
}
