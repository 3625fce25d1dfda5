package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/nats-io/nats.go"
)

// natsRoom is how many received messages can wait to be read; further ones are
// lost.
const natsRoom = 8192

// natsBroker is NATS core, without JetStream: the log is in the database.
type natsBroker struct{ address }

func (b natsBroker) options(ctx context.Context) (nats.Options, error) {
	o := nats.GetDefaultOptions()
	for _, host := range b.hosts {
		o.Servers = append(o.Servers, "nats://"+host)
	}
	o.Name = "doorbell"
	o.NoEcho = true
	// Bus reconnects itself: it must audit the heads after every new connection, and
	// nothing of an old one may be sent late.
	o.AllowReconnect = false
	o.Timeout, o.FlusherTimeout = ioTimeout, ioTimeout
	o.PingInterval, o.MaxPingsOut = pingEvery, int(silence/pingEvery)-1
	o.CustomDialer = natsDialer{ctx}
	if b.tls != nil {
		o.Secure, o.TLSConfig = true, b.tls
	}
	var err error
	if o.User, o.Password, err = b.login(); err != nil {
		return o, err
	}
	if o.Password == "" { // nats://TOKEN@host
		o.User, o.Token = "", o.User
	}
	if b.creds != "" {
		err = nats.UserCredentials(b.creds)(&o)
	}
	return o, err
}

// natsDialer cancels a dial when the node stops.
type natsDialer struct{ ctx context.Context } //nolint:containedctx // the client's interface has no context

// Dial implements the client's interface.
func (d natsDialer) Dial(network, addr string) (net.Conn, error) {
	return (&net.Dialer{Timeout: ioTimeout}).DialContext(d.ctx, network, addr)
}

// Dial implements Broker.
func (b natsBroker) Dial(ctx context.Context, received func([]byte), lost func(int)) (Conn, error) {
	o, err := b.options(ctx)
	if err != nil {
		return nil, err
	}
	c := &natsConn{messages: make(chan *nats.Msg, natsRoom), subs: map[string]*nats.Subscription{}, closed: make(chan struct{})}
	o.ClosedCB = func(nc *nats.Conn) {
		c.why = cmp.Or(nc.LastError(), errClosed)
		close(c.closed)
	}
	o.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrSlowConsumer) {
			lost(1)
		}
	}
	if c.nc, err = o.Connect(); err != nil {
		if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) {
			return nil, fmt.Errorf("NATS: %w: %w", ErrRefused, err)
		}
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	c.readers.Go(func() {
		for {
			select {
			case m := <-c.messages:
				received(m.Data)
			case <-c.closed:
				return
			}
		}
	})
	return c, nil
}

var errClosed = errors.New("the broker closed the connection")

type natsConn struct {
	nc       *nats.Conn
	messages chan *nats.Msg // shared by all subjects: no goroutine per shop
	subs     map[string]*nats.Subscription
	closed   chan struct{}
	why      error // set before closed is
	readers  sync.WaitGroup
}

// Subscribe implements Conn.
func (c *natsConn) Subscribe(subjects []string) error {
	for _, s := range subjects {
		if c.subs[s] != nil {
			continue
		}
		sub, err := c.nc.ChanSubscribe(s, c.messages)
		if err != nil {
			return fmt.Errorf("subscribe on NATS: %w", err)
		}
		c.subs[s] = sub
	}
	return nil
}

// Unsubscribe implements Conn.
func (c *natsConn) Unsubscribe(subjects []string) error {
	for _, s := range subjects {
		if sub := c.subs[s]; sub != nil {
			delete(c.subs, s)
			if err := sub.Unsubscribe(); err != nil {
				return fmt.Errorf("unsubscribe on NATS: %w", err)
			}
		}
	}
	return nil
}

// Sync implements Conn.
func (c *natsConn) Sync(ctx context.Context) error {
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("wait for NATS: %w", err)
	}
	return nil
}

// Publish implements Conn.
func (c *natsConn) Publish(messages []Outgoing) error {
	for _, m := range messages {
		if err := c.nc.Publish(m.Subject, m.Data); err != nil {
			return fmt.Errorf("publish on NATS: %w", err)
		}
	}
	return nil
}

// Done implements Conn.
func (c *natsConn) Done() <-chan struct{} { return c.closed }

// Err implements Conn.
func (c *natsConn) Err() error { return c.why }

// Close implements Conn.
func (c *natsConn) Close() {
	c.nc.Close()
	<-c.closed // ClosedCB closes it
	c.readers.Wait()
}
