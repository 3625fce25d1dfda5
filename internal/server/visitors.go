package server

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"

	"doorbell/handlers"
	"doorbell/transport"
)

const (
	// socketBuffer bounds what the kernel holds for a console that does not
	// read; a burst of alerts fits many times.
	socketBuffer = 64 << 10
	// crowdTold is how many connections beyond its limit an address is told of:
	// they get a request in, and an answer. Further ones are closed at once.
	crowdTold = 64
)

// visitors counts the open connections of each client address. It counts none of
// this machine's and of trusted proxies, behind which many clients stand.
type visitors struct {
	limit  int
	counts func(netip.Addr) bool // whether an address is one client's

	mu   sync.Mutex
	open map[netip.Prefix]int
}

// newVisitors returns a counter with a limit for each address; 0: no limit.
func newVisitors(limit int, proxies []string) *visitors {
	var trusted []netip.Prefix
	for _, p := range proxies {
		trusted = append(trusted, handlers.Prefix(p))
	}
	return &visitors{limit: limit, open: map[netip.Prefix]int{}, counts: func(a netip.Addr) bool {
		return handlers.Countable(a) && !slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
	}}
}

// come counts a connection in, and tells how many there are with it; 0 where it
// is not counted.
func (c *visitors) come(addr net.Addr) (from netip.Prefix, n int) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return from, 0
	}
	a := tcp.AddrPort().Addr().Unmap()
	if !c.counts(a) {
		return from, 0
	}
	from = handlers.ClientNetwork(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[from]++
	return from, c.open[from]
}

// left counts a connection off.
func (c *visitors) left(from netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[from]--; c.open[from] <= 0 {
		delete(c.open, from)
	}
}

// boundedListener bounds each connection's send buffer, and how many an address
// has.
type boundedListener struct {
	net.Listener
	visitors *visitors // nil: no bound
}

// Accept implements net.Listener.
func (l boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := c.(*net.TCPConn)
		if !ok {
			return c, nil
		}
		_ = tcp.SetWriteBuffer(socketBuffer) // a bound, not a need
		if l.visitors == nil || l.visitors.limit == 0 {
			return c, nil
		}
		from, n := l.visitors.come(tcp.RemoteAddr())
		switch {
		case n == 0:
			return c, nil
		case n > l.visitors.limit+crowdTold:
			l.visitors.left(from)
			_ = tcp.SetLinger(0) // nothing of it is to stay
			_ = tcp.Close()
		default:
			counted := &countedConn{TCPConn: tcp, visitors: l.visitors, from: from, tooMany: n > l.visitors.limit}
			return counted, nil
		}
	}
}

// countedConn counts itself off when it is closed, whoever closes it.
type countedConn struct {
	*net.TCPConn
	visitors *visitors
	from     netip.Prefix
	tooMany  bool
	once     sync.Once
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.once.Do(func() { c.visitors.left(c.from) })
	return c.TCPConn.Close()
}

// markCrowded tells the handlers which connections are one too many.
func markCrowded(next func(context.Context, net.Conn) context.Context) func(context.Context, net.Conn) context.Context {
	return func(ctx context.Context, c net.Conn) context.Context {
		ctx = next(ctx, c)
		if counted, ok := tcp(c).(*countedConn); ok && counted.tooMany {
			who := &transport.CrowdedError{Bound: transport.PerAddress, Limit: counted.visitors.limit, Who: counted.from.String()}
			ctx = handlers.Crowded(ctx, who)
		}
		return ctx
	}
}
