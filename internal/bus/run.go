package bus

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// firstWait and longestWait bound the time between two dials: short enough that
	// a broker is used again within a second of its return.
	firstWait, longestWait = 100 * time.Millisecond, time.Second
	// lasted is how long a connection must have lasted for the next wait to be short
	// again.
	lasted = 5 * time.Second
	// repeatLog is how often an unchanged cause is logged again.
	repeatLog = time.Minute
	// lastWords is how long a stopping node tries to send what is queued.
	lastWords = 500 * time.Millisecond
)

// Run keeps a connection to the broker until ctx ends.
func (b *Bus) Run(ctx context.Context, to Receiver) error {
	if b.Alone() {
		<-ctx.Done()
		return nil
	}
	var said complaint
	for wait := firstWait; ; {
		began := time.Now()
		err := b.connected(ctx, to)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the node is stopping
		}
		b.down(err)
		if said.due(err) {
			b.log.WarnContext(ctx, "bus not connected; this node goes on without it", "broker", b.broker.String(), "error", err)
		}
		if time.Since(began) > lasted {
			wait = firstWait
		}
		select {
		case <-time.After(jittered(wait)):
		case <-ctx.Done():
			return nil
		}
		wait = min(2*wait, longestWait)
	}
}

// jittered returns a random part of a wait, so that the nodes don't all reconnect
// at once.
func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// complaint is the last cause that was logged.
type complaint struct {
	text string
	at   time.Time
}

// due reports whether a cause is new, or was last logged long ago.
func (c *complaint) due(err error) bool {
	if err.Error() == c.text && time.Since(c.at) < repeatLog {
		return false
	}
	c.text, c.at = err.Error(), time.Now()
	return true
}

func (b *Bus) down(err error) {
	b.up.Store(false)
	b.mu.Lock()
	b.why = err
	b.mu.Unlock()
	for { // what is queued now would be outdated at the next connection
		select {
		case <-b.queue:
			b.figures.dropped.Add(1)
		default:
			return
		}
	}
}

// connected dials and moves messages until the connection breaks, and returns the
// cause, or until ctx ends.
func (b *Bus) connected(ctx context.Context, to Receiver) error {
	conn, err := b.broker.Dial(ctx, func(data []byte) { b.receive(data, to) }, func(n int) {
		b.figures.lost.Add(int64(n))
		to.AuditNow()
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := b.resume(ctx, conn); err != nil {
		return err
	}
	b.mu.Lock()
	b.why = nil
	b.mu.Unlock()
	b.up.Store(true)
	b.figures.connects.Add(1)
	b.log.InfoContext(ctx, "bus connected", "broker", b.broker.String())
	to.AuditNow() // alerts missed before the subscriptions are in the log
	b.enqueue(queued{message: b.here()})
	alive := time.NewTicker(hereEvery)
	defer alive.Stop()
	for {
		select {
		case q := <-b.queue:
			err = b.publish(conn, q)
		case <-alive.C:
			err = conn.Publish([]Outgoing{b.here()})
		case <-b.wake:
			err = b.tell(conn)
		case <-conn.Done():
			return conn.Err()
		case <-ctx.Done():
			return b.lastWords(conn) //nolint:contextcheck // ctx is over
		}
		if err != nil {
			return err
		}
	}
}

// lastWords sends what a stopping node committed last.
func (b *Bus) lastWords(conn Conn) error {
	b.up.Store(false)
	for {
		select {
		case q := <-b.queue:
			if err := b.publish(conn, q); err != nil {
				return err
			}
		default:
			ctx, cancel := context.WithTimeout(context.Background(), lastWords)
			defer cancel()
			return conn.Sync(ctx)
		}
	}
}

// publish sends a message, with those that are queued after it.
func (b *Bus) publish(conn Conn, first queued) error {
	batch, alerts := make([]Outgoing, 0, 8), int64(0)
	for q, more := first, true; more; {
		if q.message.Data == nil {
			q.message = b.sealer.seal(q.alert)
			alerts++
		}
		batch = append(batch, q.message)
		if more = len(batch) < maxPublish; more {
			select {
			case q = <-b.queue:
			default:
				more = false
			}
		}
	}
	if err := conn.Publish(batch); err != nil {
		b.figures.dropped.Add(alerts)
		return err
	}
	b.figures.sent.Add(alerts)
	return nil
}

// subscribeChunk bounds one command to the broker.
const subscribeChunk = 500

// resume subscribes to every shop that this node follows.
func (b *Bus) resume(ctx context.Context, conn Conn) error {
	b.mu.Lock()
	clear(b.changed)
	subjects := append(make([]string, 0, len(b.follows)+2), b.sealer.everybody(), b.sealer.inbox(b.sealer.node))
	for shop := range b.follows {
		subjects = append(subjects, b.sealer.subject(shop))
	}
	b.mu.Unlock()
	if err := inChunks(subjects, conn.Subscribe); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	return conn.Sync(ctx)
}

// tell subscribes and unsubscribes what changed since the last call.
func (b *Bus) tell(conn Conn) error {
	var on, off []string
	b.mu.Lock()
	for shop := range b.changed {
		if b.follows[shop] {
			on = append(on, b.sealer.subject(shop))
		} else {
			off = append(off, b.sealer.subject(shop))
		}
	}
	clear(b.changed)
	b.mu.Unlock()
	if err := inChunks(on, conn.Subscribe); err != nil {
		return err
	}
	return inChunks(off, conn.Unsubscribe)
}

func inChunks(subjects []string, do func([]string) error) error {
	for from := 0; from < len(subjects); from += subscribeChunk {
		if err := do(subjects[from:min(from+subscribeChunk, len(subjects))]); err != nil {
			return err
		}
	}
	return nil
}
