package store

import (
	"errors"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"doorbell/internal/doorbell"
)

// TestCommitWithoutAnAnswer: the connection is cut during a commit. The caller is
// told that the outcome is unknown, and nothing is published that the log may not
// contain.
func TestCommitWithoutAnAnswer(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		at := db.url(t)
		u, _ := url.Parse(at)
		wire := wireTo(t, u.Host)
		published := atomic.Int64{}
		s := openURL(t, changed(t, at, func(u *url.URL) { u.Host = wire.addr }), func(a []doorbell.Alert) { published.Add(int64(len(a))) })
		appendOne(t, s, alertOf(1, 1, doorbell.NewOrder))
		err := s.Write(t.Context(), func(tx doorbell.Tx) error {
			_, err := tx.Append(alertOf(1, 2, doorbell.NewOrder))
			wire.cut.Store(true) // the next packet is the commit
			return err
		})
		if doorbell.CodeOf(err) != doorbell.Unavailable || !errors.Is(err, errOutcome) {
			t.Errorf("got %v, want that the outcome is unknown", err)
		}
		if published.Load() != 1 {
			t.Errorf("%d published, want 1", published.Load())
		}
		if a := appendOne(t, s, alertOf(1, 3, doorbell.NewOrder)); a.Seq != 3 { // it had been written after all
			t.Errorf("seq %d, want 3", a.Seq)
		}
	})
}

// wire forwards between a client and a server.
type wire struct {
	addr string
	cut  atomic.Bool // the next packet is forwarded, and its answer is dropped
}

func wireTo(t *testing.T, server string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String()}
	var running sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", server)
			if err != nil {
				_ = in.Close()
				continue
			}
			mu.Lock()
			open = append(open, in, out)
			mu.Unlock()
			var mute atomic.Bool
			running.Go(func() {
				buf := make([]byte, 64<<10)
				for {
					n, err := in.Read(buf)
					if err != nil {
						_ = out.Close()
						return
					}
					if w.cut.CompareAndSwap(true, false) {
						mute.Store(true)
					}
					if _, err := out.Write(buf[:n]); err != nil {
						return
					}
				}
			})
			running.Go(func() {
				defer in.Close() //nolint:errcheck // a test's
				buf := make([]byte, 64<<10)
				for {
					n, err := out.Read(buf)
					if err != nil || mute.Load() {
						return
					}
					if _, err := in.Write(buf[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return w
}
