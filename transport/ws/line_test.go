package ws

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"doorbell/internal/testrun"
	"doorbell/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a frame as a server writes it.
func server(opcode int, payload []byte) []byte {
	head := []byte{0x80 | byte(opcode), byte(len(payload))}
	if len(payload) > 125 {
		head = []byte{0x80 | byte(opcode), 126, byte(len(payload) >> 8), byte(len(payload))}
	}
	return append(head, payload...)
}

func text(s string) []byte { return server(websocket.TextMessage, []byte(s)) }

// recorder notes each write by itself.
type recorder struct {
	net.Conn
	writes [][]byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.writes = append(r.writes, bytes.Clone(p))
	return len(p), nil
}

func (r *recorder) SetWriteDeadline(time.Time) error { return nil }

// TestWaitingMessagesLeaveTogether: what is held leaves in order with the last
// one that waits, or with whatever else is written, and is counted then.
func TestWaitingMessagesLeaveTogether(t *testing.T) {
	long := slices.Repeat([]byte("x"), 3000)
	for _, c := range []struct {
		name   string
		frames [][]byte
		follow []bool // of each text: whether another one waits
		writes [][]byte
		sent   []int
	}{
		{"one by itself", [][]byte{text("a")}, []bool{false}, [][]byte{text("a")}, []int{1}},
		{
			"three that wait",
			[][]byte{text("a"), text("b"), text("c")},
			[]bool{true, true, false},
			[][]byte{slices.Concat(text("a"), text("b"), text("c"))},
			[]int{3},
		},
		{
			"a ping between",
			[][]byte{text("a"), server(websocket.PingMessage, nil), text("b")},
			[]bool{true, false},
			[][]byte{slices.Concat(text("a"), server(websocket.PingMessage, nil)), text("b")},
			[]int{1, 1},
		},
		{
			"a close behind",
			[][]byte{text("a"), server(websocket.CloseMessage, []byte{3, 232})},
			[]bool{true},
			[][]byte{slices.Concat(text("a"), server(websocket.CloseMessage, []byte{3, 232}))},
			[]int{1},
		},
		{
			"a long one behind",
			[][]byte{text("a"), server(websocket.TextMessage, long)},
			[]bool{true, false},
			[][]byte{text("a"), server(websocket.TextMessage, long)},
			[]int{2},
		},
		{
			"a frame in two writes",
			[][]byte{text("abcd")[:3], text("abcd")[3:]},
			[]bool{false},
			[][]byte{text("abcd")},
			[]int{1},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sent []int
			follow := c.follow
			r := &recorder{}
			l := &line{Conn: r, timeout: time.Second, sent: func(n int) { sent = append(sent, n) }, left: func() ([]transport.Numbered, bool) {
				more := follow[0]
				follow = follow[1:]
				return nil, more
			}}
			for _, f := range c.frames {
				if n, err := l.Write(f); n != len(f) || err != nil {
					t.Fatalf("Write: %d, %v", n, err)
				}
			}
			if !slices.EqualFunc(r.writes, c.writes, bytes.Equal) {
				t.Errorf("writes %q\nwant   %q", r.writes, c.writes)
			}
			if !slices.Equal(sent, c.sent) || len(follow) > 0 {
				t.Errorf("told of %v sent, want %v", sent, c.sent)
			}
		})
	}
}

// TestBurst: alerts behind a message leave with it, in one write, as frames.
func TestBurst(t *testing.T) {
	r := &recorder{}
	var sent []int
	behind := [][]string{nil, {"b", strings.Repeat("x", 200), strings.Repeat("y", 70_000)}, nil}
	l := &line{Conn: r, timeout: time.Second, sent: func(n int) { sent = append(sent, n) }, left: func() (alerts []transport.Numbered, more bool) {
		for _, s := range behind[0] {
			alerts = append(alerts, transport.Numbered{Data: []byte(s)})
		}
		behind = behind[1:]
		return alerts, len(behind) > 0
	}}
	second := text("second")
	for _, p := range [][]byte{text("first"), second[:3], second[3:], text("third")} {
		if n, err := l.Write(p); n != len(p) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	huge := append([]byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70}, strings.Repeat("y", 70_000)...)
	want := [][]byte{slices.Concat(text("first"), second, text("b"), text(strings.Repeat("x", 200)), huge), text("third")}
	if !slices.EqualFunc(r.writes, want, bytes.Equal) {
		t.Errorf("writes of %d, want %d", len(r.writes), len(want))
	}
	if !slices.Equal(sent, []int{5, 1}) {
		t.Errorf("told of %v sent, want 5 and 1", sent)
	}
}

// TestManyThatWaitAreBounded: a console that does not read holds little.
func TestManyThatWaitAreBounded(t *testing.T) {
	r := &recorder{}
	l := &line{Conn: r, timeout: time.Second, sent: func(int) {}, left: func() ([]transport.Numbered, bool) { return nil, true }}
	message := text(string(slices.Repeat([]byte("x"), 100)))
	for range 1000 {
		if _, err := l.Write(message); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range r.writes {
		if len(w) > maxHeld+len(message) {
			t.Fatalf("a write of %d bytes, want at most %d", len(w), maxHeld+len(message))
		}
	}
	if written := len(bytes.Join(r.writes, nil)); 1000*len(message)-written > maxHeld {
		t.Errorf("%d bytes are held, want at most %d", 1000*len(message)-written, maxHeld)
	}
}

// TestDeadlines: a write that makes no progress ends after the timeout and a
// quarter more at most, and one that wants less after that.
func TestDeadlines(t *testing.T) {
	testrun.Bubble(t, func(t *testing.T) {
		near, far := net.Pipe()
		l := &line{Conn: near, timeout: 8 * time.Second, sent: func(int) {}, left: func() ([]transport.Numbered, bool) { return nil, false }}
		write := func(within time.Duration) (time.Duration, error) {
			start := time.Now()
			if err := l.SetWriteDeadline(start.Add(within)); err != nil {
				t.Fatal(err)
			}
			_, err := l.Write(text("a"))
			return time.Since(start), err
		}
		var reading sync.WaitGroup
		reading.Go(func() { _, _ = io.ReadFull(far, make([]byte, 3)) })
		if _, err := write(l.timeout); err != nil {
			t.Fatal(err)
		}
		reading.Wait()
		if took, err := write(100 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) || took != 100*time.Millisecond {
			t.Errorf("in a hurry: %v after %v, want a timeout after 100ms", err, took)
		}
		time.Sleep(time.Second)
		if took, err := write(l.timeout); !errors.Is(err, os.ErrDeadlineExceeded) || took < l.timeout || took > l.timeout*5/4 {
			t.Errorf("%v after %v, want a timeout after 8 to 10 s", err, took)
		}
		_ = near.Close()
		_ = far.Close()
	})
}
