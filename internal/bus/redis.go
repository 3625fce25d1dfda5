package bus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisBroker is pub/sub of Redis or Valkey.
type redisBroker struct{ address }

// quiet keeps the client from writing to standard error: its errors are returned
// and logged here.
type quiet struct{}

// Printf implements the client's interface.
func (quiet) Printf(context.Context, string, ...any) {}

var silenceClient = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

// Dial implements Broker.
func (b redisBroker) Dial(ctx context.Context, received func([]byte), _ func(int)) (Conn, error) {
	silenceClient()
	user, password, err := b.login()
	if err != nil {
		return nil, err
	}
	client := redis.NewClient(&redis.Options{
		Addr: b.hosts[0], Username: user, Password: password, TLSConfig: b.tls,
		// One connection publishes, the other is for pub/sub. Bus reconnects itself,
		// and a message that was not sent in time is not worth a retry.
		MaxRetries: -1, Protocol: 2, DisableIdentity: true,
		// After PoolSize failed dials the client starts a goroutine that keeps
		// dialling for a second after Close. No more than one connection is opened.
		PoolSize:    64,
		DialTimeout: ioTimeout, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout, ContextTimeoutEnabled: true,
		DialerRetries: 1,
	})
	reads, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &redisConn{client: client, sub: client.Subscribe(reads), reads: reads, stop: stop, pongs: make(chan string, 16), broken: make(chan struct{})}
	dialing, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	if err := c.hello(dialing); err != nil {
		c.stop()
		return nil, errors.Join(err, c.sub.Close(), client.Close())
	}
	c.heard.Store(time.Now().UnixNano())
	c.running.Go(func() { c.read(received) })
	c.running.Go(c.ping)
	return c, nil
}

// hello checks both connections.
func (c *redisConn) hello(ctx context.Context) error {
	err := c.client.Ping(ctx).Err()
	if err == nil {
		err = c.sub.Ping(ctx)
	}
	switch {
	case err == nil:
		return nil
	case strings.HasPrefix(err.Error(), "NOAUTH"), strings.HasPrefix(err.Error(), "WRONGPASS"), strings.HasPrefix(err.Error(), "ERR AUTH"):
		return fmt.Errorf("Redis: %w: %w", ErrRefused, err) //nolint:staticcheck // a proper noun
	case strings.HasPrefix(err.Error(), "NOPERM"):
		return fmt.Errorf("Redis: %w to publish and subscribe: %w", ErrRefused, err) //nolint:staticcheck // a proper noun
	default:
		return fmt.Errorf("connect to Redis: %w", err)
	}
}

type redisConn struct {
	client  *redis.Client
	sub     *redis.PubSub
	reads   context.Context //nolint:containedctx // of the two goroutines below
	stop    context.CancelFunc
	pongs   chan string
	heard   atomic.Int64 // when something was last received, in ns
	running sync.WaitGroup

	once   sync.Once
	broken chan struct{}
	why    error // set before broken is closed
}

func (c *redisConn) fail(err error) {
	c.once.Do(func() {
		c.why = err
		close(c.broken)
	})
}

// read receives until the connection breaks.
func (c *redisConn) read(received func([]byte)) {
	for {
		got, err := c.sub.Receive(c.reads)
		if err != nil {
			c.fail(fmt.Errorf("read from Redis: %w", err))
			return
		}
		c.heard.Store(time.Now().UnixNano())
		switch m := got.(type) {
		case *redis.Message:
			received([]byte(m.Payload))
		case *redis.Pong:
			select {
			case c.pongs <- m.Payload:
			default:
			}
		}
	}
}

var errSilent = errors.New("the broker is silent")

// ping asks the broker for an answer: a frozen broker's socket stays open.
func (c *redisConn) ping() {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.broken:
			return
		case <-c.reads.Done():
			return
		}
		if time.Since(time.Unix(0, c.heard.Load())) > silence {
			c.fail(errSilent)
			return
		}
		if err := c.sub.Ping(c.reads, "alive"); err != nil {
			c.fail(fmt.Errorf("ping Redis: %w", err))
			return
		}
	}
}

// Subscribe implements Conn.
func (c *redisConn) Subscribe(subjects []string) error {
	if err := c.sub.Subscribe(c.reads, subjects...); err != nil {
		return fmt.Errorf("subscribe on Redis: %w", err)
	}
	return nil
}

// Unsubscribe implements Conn.
func (c *redisConn) Unsubscribe(subjects []string) error {
	if err := c.sub.Unsubscribe(c.reads, subjects...); err != nil {
		return fmt.Errorf("unsubscribe on Redis: %w", err)
	}
	return nil
}

// Sync waits for the answer to a ping that was sent after the subscriptions, and
// for one on the connection that publishes.
func (c *redisConn) Sync(ctx context.Context) error {
	const word = "sync"
	if err := c.sub.Ping(ctx, word); err != nil {
		return fmt.Errorf("wait for Redis: %w", err)
	}
	for {
		select {
		case got := <-c.pongs:
			if got == word {
				return nil
			}
		case <-c.broken:
			return c.why
		case <-ctx.Done():
			return fmt.Errorf("wait for Redis: %w", ctx.Err())
		}
	}
}

// Publish implements Conn.
func (c *redisConn) Publish(messages []Outgoing) error {
	ctx, cancel := context.WithTimeout(c.reads, ioTimeout)
	defer cancel()
	pipe := c.client.Pipeline()
	for _, m := range messages {
		pipe.Publish(ctx, m.Subject, m.Data)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("publish on Redis: %w", err)
	}
	return nil
}

// Done implements Conn.
func (c *redisConn) Done() <-chan struct{} { return c.broken }

// Err implements Conn.
func (c *redisConn) Err() error { return c.why }

// Close implements Conn.
func (c *redisConn) Close() {
	c.stop()
	// Errors of a connection that is given up are of no interest.
	if err := errors.Join(c.sub.Close(), c.client.Close()); err != nil && !errors.Is(err, net.ErrClosed) {
		c.fail(err)
	}
	c.running.Wait()
}
