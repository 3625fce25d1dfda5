package transporttest

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// webSocketOnly runs the tests of what only WebSocket can do.
func webSocketOnly(t *testing.T, open func(*testing.T) *Server) {
	ws := Transports()[0]
	t.Run("a plain client gets types 1 and 2 and nothing else", func(t *testing.T) { testPlain(t, open(t), ws) })
	t.Run("a browser is told by close codes", func(t *testing.T) { testBrowser(t, open(t), ws) })
	t.Run("what a client sends is answered", func(t *testing.T) {
		s := open(t)
		stream := dial(t, s, ws, Dial{})
		wantEvent(t, stream, "hello")
		send(t, stream, websocket.TextMessage, []byte("你好"))
		if m := wantEvent(t, stream, "received"); m.Bytes != 6 {
			t.Errorf("got %s, want 6 bytes", m.Raw)
		}
	})
	for _, c := range []struct {
		name string
		kind int
		data []byte
		code int
	}{
		{"text that is not UTF-8", websocket.TextMessage, []byte{0xff, 0xfe}, 1007},
		{"a message over 4 KiB", websocket.TextMessage, []byte(strings.Repeat("x", 4097)), 1009},
		{"a binary message", websocket.BinaryMessage, []byte("x"), 1003},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			stream := dial(t, s, ws, Dial{})
			wantEvent(t, stream, "hello")
			send(t, stream, c.kind, c.data)
			_, err := stream.Next()
			if code := CloseError(err); code != c.code {
				t.Errorf("ended with %v, want %d", err, c.code)
			}
		})
	}
	t.Run("4 KiB are taken", func(t *testing.T) {
		s := open(t)
		stream := dial(t, s, ws, Dial{})
		wantEvent(t, stream, "hello")
		send(t, stream, websocket.TextMessage, []byte(strings.Repeat("x", 4096)))
		wantEvent(t, stream, "received")
	})
	t.Run("a flood of messages ends the connection", func(t *testing.T) { testFlood(t, open(t), ws) })
}

func testFlood(t *testing.T, s *Server, ws Transport) {
	stream := dial(t, s, ws, Dial{})
	wantEvent(t, stream, "hello")
	conn := stream.(*WebSocket).Conn
	for range 500 {
		if conn.WriteMessage(websocket.TextMessage, []byte("x")) != nil {
			break // it has been closed
		}
	}
	for {
		_, err := stream.Next()
		if err == nil {
			continue
		}
		// Frames still on their way may reach a closed socket; its reset overtakes
		// the close frame, and the client sees 1006.
		var reset *net.OpError
		if code := CloseError(err); code != 1008 && code != 1006 && !errors.As(err, &reset) {
			t.Errorf("ended with %v, want 1008", err)
		}
		return
	}
}

func send(t *testing.T, s Stream, kind int, data []byte) {
	t.Helper()
	if err := s.(*WebSocket).Conn.WriteMessage(kind, data); err != nil {
		t.Fatal(err)
	}
}

func testPlain(t *testing.T, s *Server, ws Transport) {
	s.Raise(1, 1, 20)
	stream := dial(t, s, ws, Dial{Plain: true, Query: "heartbeat=1&after=other0epoch.1:1"}) // a reset goes without notice
	conn := stream.(*WebSocket).Conn
	pings := make(chan struct{}, 8)
	conn.SetPingHandler(func(string) error {
		select {
		case pings <- struct{}{}:
		default:
		}
		return conn.WriteControl(websocket.PongMessage, nil, time.Now().Add(time.Second))
	})
	send(t, stream, websocket.TextMessage, []byte("hello?"))
	s.Announce("nobody plain hears this")
	s.Raise(1, 2, 20)
	s.Close(1, 1)
	s.Raise(1, 1, 20)
	for _, seq := range []int64{2, 3, 5} {
		m, err := stream.Next()
		if err != nil || m.Event != "" || m.Seq != seq || m.Type > 2 {
			t.Fatalf("got %s, %v; want alert %d", m.Raw, err, seq)
		}
	}
	read := make(chan error, 1)
	go func() {
		_, err := stream.Next()
		read <- err
	}()
	select { // kept alive by control frames
	case <-pings:
	case err := <-read:
		t.Errorf("got a message or %v, want a ping control frame", err)
	}
}

func testBrowser(t *testing.T, s *Server, ws Transport) {
	own := strings.TrimSuffix(s.URL, "/")
	for _, c := range []struct {
		name string
		d    Dial
		code int
	}{
		{"a bad token", Dial{Token: "bad", Origin: own}, 4401},
		{"no token", Dial{Origin: own}, 4401},
		{"a foreign shop", Dial{Token: s.Token(1), Origin: own, Query: "shops=2"}, 4403},
	} {
		stream, err := ws.Dial(s.URL, c.d)
		if err != nil {
			t.Fatalf("%s: %v, want it accepted and closed", c.name, err)
		}
		if _, err := stream.Next(); CloseError(err) != c.code {
			t.Errorf("%s: ended with %v, want %d", c.name, err, c.code)
		}
		stream.Close()
	}
	s.Raise(1, 2, 20)
	stream := dial(t, s, ws, Dial{Origin: own, Query: "after=nonsense"})
	if hello := wantEvent(t, stream, "hello"); hello.Cursor != s.cursor(1, 2) {
		t.Errorf("hello at %s, want the head", hello.Cursor)
	}
	if m := wantEvent(t, stream, "reset"); m.Reason != "bad_cursor" {
		t.Errorf("got %s, want bad_cursor", m.Raw)
	}
	_, err := ws.Dial(s.URL, Dial{Origin: own, Plain: true})
	wantRefused(t, "a plain page without a token", err, 401)
}
