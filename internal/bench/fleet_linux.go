package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// fleet is thousands of consoles on one epoll: a wake-up and a goroutine for each
// would use more of the machine than the server does.
type fleet struct {
	target    Target
	transport string
	addr      netip.AddrPort
	host      string
	path      string

	epoll    int
	received atomic.Int64
	arrived  chan struct{} // buffered 1: something was received
	over     chan struct{} // the poller has returned
	closing  atomic.Bool

	mu      sync.Mutex // guards all below; the poller holds it for a batch
	members []*console
	byFD    map[int32]*console
	latency histogram
	behind  histogram   // delay after the first console that had the same alert
	sentAt  []time.Time // by an alert's number, starting at base
	firstAt []time.Time // when the first console had it
	base    int64
	wrong   faults
	waiting chan struct{} // has one in it for each console that dials
	refused error         // why the first console of a dial failed
}

// faults counts deliveries that were wrong.
type faults struct{ doubled, reordered, missed, cut int64 }

// console is one light client.
type console struct {
	fd    int
	shop  int64
	rest  []byte // of an incomplete frame
	epoch string
	next  int64 // the expected seq; 0: any

	dialing bool // the answer's head is incomplete
	plain   bool // the body is not chunked
}

const (
	// maxDialing is how many consoles connect at the same time.
	maxDialing = 128
	// connectWait bounds the wait for an answer.
	connectWait = 30 * time.Second
	// stallWait is how long nothing may arrive while something is expected.
	stallWait = 20 * time.Second
)

func newFleet(t Target, transport string) (*fleet, error) {
	u, err := url.Parse(t.URL)
	if err != nil {
		return nil, err
	}
	a, err := net.ResolveTCPAddr("tcp", u.Host)
	if err != nil {
		return nil, err
	}
	addr := netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	f := &fleet{
		target: t, transport: transport, addr: addr, host: u.Host, path: u.Path, epoll: ep,
		arrived: make(chan struct{}, 1), over: make(chan struct{}), byFD: map[int32]*console{}, base: 1,
	}
	go f.poll()
	return f, nil
}

// socket returns a socket that connects to a.
func socket(a netip.AddrPort) (fd int, to unix.Sockaddr, err error) {
	if a.Addr().Is4() {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return fd, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, os.NewSyscallError("socket", err)
	}
	fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	return fd, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}, os.NewSyscallError("socket", err)
}

// close ends the fleet and waits for its goroutine.
func (f *fleet) close() {
	f.closing.Store(true)
	<-f.over
	f.cut()
	_ = unix.Close(f.epoll)
}

func (f *fleet) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.members)
}

// perShop counts the consoles of that many shops, starting at the first.
func (f *fleet) perShop(first int64, shops int) []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := make([]int64, shops)
	for _, c := range f.members {
		if i := c.shop - first; i < int64(shops) {
			n[i]++
		}
	}
	return n
}

// connect connects n more consoles.
func (f *fleet) connect(ctx context.Context, n int, shop func(i int) int64) error {
	fresh := make([]*console, n)
	for i := range fresh {
		fresh[i] = &console{shop: shop(i)}
	}
	if err := f.dial(ctx, fresh); err != nil {
		return err
	}
	f.mu.Lock()
	f.members = append(f.members, fresh...)
	f.mu.Unlock()
	return f.placed(ctx)
}

// placed waits until each console knows its position. The floor has no log and
// sends no positions.
func (f *fleet) placed(ctx context.Context) error {
	if f.target.Console == "" {
		return nil
	}
	return f.await(ctx, "every hello", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, c := range f.members {
			if c.next == 0 {
				return false
			}
		}
		return true
	})
}

// reconnect connects all consoles again, each from its last position.
func (f *fleet) reconnect(ctx context.Context) error {
	f.mu.Lock()
	all := f.members
	f.mu.Unlock()
	return f.dial(ctx, all)
}

// dial connects consoles. After an error the fleet can only be closed.
func (f *fleet) dial(ctx context.Context, all []*console) error {
	waiting := make(chan struct{}, maxDialing)
	f.mu.Lock()
	f.waiting, f.refused = waiting, nil
	f.mu.Unlock()
	enter := func() error {
		select {
		case waiting <- struct{}{}:
			return nil
		case <-time.After(connectWait):
			return fmt.Errorf("no answer to new consoles within %v", connectWait)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, c := range all {
		if err := enter(); err != nil {
			return err
		}
		if err := f.refusal(); err != nil {
			return err
		}
		if err := f.dialOne(c); err != nil {
			return err
		}
	}
	for range maxDialing { // until each waiting console has finished
		if err := enter(); err != nil {
			return err
		}
	}
	return f.refusal()
}

func (f *fleet) refusal() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused
}

// dialOne connects, sends the request, and passes the socket to the poller.
func (f *fleet) dialOne(c *console) (err error) {
	fd, to, err := socket(f.addr)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	wait := unix.NsecToTimeval(connectWait.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := retry(func() error { return unix.Connect(fd, to) }); err != nil {
		return os.NewSyscallError("connect", err)
	}
	if _, err := unix.Write(fd, f.request(c)); err != nil {
		return os.NewSyscallError("write", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c.fd, c.rest, c.dialing = fd, nil, true
	f.byFD[int32(fd)] = c
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(fd)}))
}

// greeted ends a console's dial; err is why it failed. Needs f.mu.
func (f *fleet) greeted(c *console, err error) {
	c.dialing = false
	if err != nil && f.refused == nil {
		f.refused = err
	}
	<-f.waiting
}

func retry(call func() error) (err error) {
	for {
		if err = call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// request returns the request for the console's stream from its last position.
func (f *fleet) request(c *console) []byte {
	f.mu.Lock()
	after := ""
	if c.next > 0 && c.epoch != "" {
		after = fmt.Sprintf("&after=%s.%d:%d", c.epoch, c.shop, c.next-1)
	}
	f.mu.Unlock()
	var b bytes.Buffer
	path := map[string]string{"ws": "ws", "sse": "events"}[f.transport]
	fmt.Fprintf(&b, "GET %s%s?shops=%d%s HTTP/1.1\r\nHost: %s\r\n", f.path, path, c.shop, after, f.host)
	if f.target.Console != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", f.target.Console)
	}
	if f.transport == "ws" {
		b.WriteString("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: doorbell.v1\r\n")
	} else {
		b.WriteString("Accept: text/event-stream\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// head removes the answer's head from the received bytes, and returns the rest.
// Needs f.mu.
func (f *fleet) head(c *console, b []byte) (rest []byte) {
	head, rest, whole := bytes.Cut(b, []byte("\r\n\r\n"))
	if !whole {
		return b
	}
	status, fields, _ := strings.Cut(string(head), "\r\n")
	c.plain = !strings.Contains(strings.ToLower(fields), "transfer-encoding: chunked")
	if !strings.HasPrefix(status, "HTTP/1.1 101") && !strings.HasPrefix(status, "HTTP/1.1 200") {
		f.greeted(c, fmt.Errorf("a new console was refused: %s: %s", status, rest))
		return nil
	}
	f.greeted(c, nil)
	return rest
}

// cut resets every console's connection.
func (f *fleet) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.members {
		if f.byFD[int32(c.fd)] == c {
			f.drop(c)
		}
	}
}

// drop closes one connection. Needs f.mu.
func (f *fleet) drop(c *console) {
	if c.dialing {
		f.greeted(c, errors.New("the server hung up on a new console"))
	}
	delete(f.byFD, int32(c.fd))
	_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.Close(c.fd)
}

// poll reads until close.
func (f *fleet) poll() {
	defer close(f.over)
	events := make([]unix.EpollEvent, 512)
	buffer := make([]byte, 64<<10)
	for !f.closing.Load() {
		n, err := unix.EpollWait(f.epoll, events, 50)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return // closed
		}
		f.mu.Lock()
		for i := range max(n, 0) {
			if c := f.byFD[events[i].Fd]; c != nil {
				f.read(c, buffer)
			}
		}
		f.mu.Unlock()
		if n > 0 {
			select {
			case f.arrived <- struct{}{}:
			default:
			}
		}
	}
}

// read reads one connection. Needs f.mu.
func (f *fleet) read(c *console, buffer []byte) {
	n, err := unix.Read(c.fd, buffer)
	switch {
	case n > 0:
		f.take(c, buffer[:n])
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
	default:
		f.wrong.cut++
		f.drop(c)
	}
}

// await waits until holds returns true, as long as something arrives.
func (f *fleet) await(ctx context.Context, what string, holds func() bool) error {
	if holds() {
		return nil
	}
	quiet := time.NewTimer(stallWait)
	defer quiet.Stop()
	last := f.received.Load()
	for !holds() {
		select {
		case <-f.arrived:
			if n := f.received.Load(); n != last {
				last = n
				quiet.Reset(stallWait)
			}
		case <-time.After(10 * time.Millisecond): // another waiter took the signal
		case <-quiet.C:
			return fmt.Errorf("%s did not come: nothing for %v, %d alerts received, %d connections cut", what, stallWait, f.received.Load(), f.cutCount())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (f *fleet) cutCount() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wrong.cut
}
