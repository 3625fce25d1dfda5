package bus

import (
	"context"
	"errors"
	"sync"
)

// Memory is a broker within one process, for several nodes in one test. It can be
// stopped and started.
type Memory struct {
	mu      sync.Mutex // guards all below
	stopped bool
	conns   map[*memoryConn]struct{}
}

// NewMemory returns a running broker.
func NewMemory() *Memory { return &Memory{conns: map[*memoryConn]struct{}{}} }

// String implements Broker.
func (m *Memory) String() string { return "memory" }

var errStopped = errors.New("the broker was stopped")

// Stop breaks all connections and refuses new ones until Start.
func (m *Memory) Stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
	for c := range m.conns {
		close(c.done)
	}
	clear(m.conns)
}

// Start accepts connections again.
func (m *Memory) Start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = false
}

// Dial implements Broker.
func (m *Memory) Dial(_ context.Context, received func([]byte), _ func(int)) (Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped {
		return nil, errStopped
	}
	c := &memoryConn{broker: m, received: received, subjects: map[string]bool{}, done: make(chan struct{})}
	m.conns[c] = struct{}{}
	return c, nil
}

type memoryConn struct {
	broker   *Memory
	received func([]byte)
	subjects map[string]bool // guarded by broker.mu
	done     chan struct{}
}

// Subscribe implements Conn.
func (c *memoryConn) Subscribe(subjects []string) error { return c.set(subjects, true) }

// Unsubscribe implements Conn.
func (c *memoryConn) Unsubscribe(subjects []string) error { return c.set(subjects, false) }

func (c *memoryConn) set(subjects []string, on bool) error {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	for _, s := range subjects {
		c.subjects[s] = on
	}
	return nil
}

// Sync implements Conn.
func (c *memoryConn) Sync(context.Context) error { return nil }

// Done implements Conn.
func (c *memoryConn) Done() <-chan struct{} { return c.done }

// Err implements Conn.
func (c *memoryConn) Err() error { return errStopped }

// Publish calls the receivers one after the other, under the broker's lock.
func (c *memoryConn) Publish(messages []Outgoing) error {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	for _, m := range messages {
		for other := range c.broker.conns {
			if other.subjects[m.Subject] {
				other.received(append([]byte(nil), m.Data...))
			}
		}
	}
	return nil
}

// Close implements Conn.
func (c *memoryConn) Close() {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	delete(c.broker.conns, c)
}
