package handlers_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"doorbell/internal/doorbell"
	"doorbell/transport/transporttest"
)

// FuzzFrames sends random bytes on a WebSocket: the server may end that
// connection, and another console is not affected.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x81\x85\x00\x00\x00\x00hello"))
	f.Add([]byte("\x88\x82\x00\x00\x00\x00\x03\xe8"))
	f.Add([]byte("\x01\x81\x00\x00\x00\x00a\x89\x80\x00\x00\x00\x00\x80\x81\x00\x00\x00\x00b"))
	f.Add([]byte("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add([]byte("\xf1\x80\x00\x00\x00\x00"))
	s := newServer(f)
	address := strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), "/")
	token := s.token(doorbell.RoleConsole, "fuzz", 1)
	f.Fuzz(func(t *testing.T, frames []byte) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // the end of a case
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		head := "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: doorbell.v1\r\nAuthorization: Bearer " + token + "\r\n\r\n"
		if _, err := io.WriteString(c, head); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(c)
		res, err := http.ReadResponse(in, nil)
		if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v %v", res, err)
		}
		_, _ = c.Write(frames)            // the server may end it in between
		_ = c.(*net.TCPConn).CloseWrite() // no more will come
		_, _ = io.Copy(io.Discard, in)    // to its end: a hang is a failure
		if strings.Contains(s.Log.String(), "panic") {
			t.Errorf("%q: a panic:\n%s", frames, s.Log)
		}
	})
}

// FuzzStreams puts random text into events and alerts: each arrives as one
// complete message on WebSocket and SSE, and the next one follows in its place.
func FuzzStreams(f *testing.F) {
	for _, text := range []string{"", "您有新的订单", "a\n\nid: x\ndata: {}\n\n", "\r", "\u2028", "\x00", "\xff\xfe", `"\`, "\ufeff", ": c"} {
		f.Add(text, text)
	}
	s := newServer(f)
	token := s.token(doorbell.RoleConsole, "fuzz", 1)
	var streams []transporttest.Stream
	for _, tr := range transporttest.Transports()[:2] {
		stream, err := tr.Dial(s.url, transporttest.Dial{Token: token})
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(stream.Close)
		if m, err := stream.Next(); err != nil || m.Event != "hello" {
			f.Fatalf("%s %v", m.Raw, err)
		}
		streams = append(streams, stream)
	}
	f.Fuzz(func(t *testing.T, text, content string) {
		s.Hub.Announce(text, nil, false)
		alert, _, err := s.Service.RaiseAlert(t.Context(), doorbell.Raise{Type: doorbell.NewOrder, Shop: 1, OrderID: 1, Content: content}, doorbell.Key{})
		for _, stream := range streams {
			m := nextOf(t, stream)
			var announced struct{ Text string }
			if jsonErr := json.Unmarshal([]byte(m.Raw), &announced); jsonErr != nil || m.Event != "announce" || utf8.ValidString(text) && announced.Text != text {
				t.Fatalf("announced %q, got %q", text, m.Raw)
			}
			if err != nil {
				continue // refused: it is not in the log
			}
			if m := nextOf(t, stream); m.Seq != int64(alert.Seq) || m.Content != alert.Content || m.Raw != string(alert.Encode()) {
				t.Fatalf("raised %q, got %q", content, m.Raw)
			}
		}
	})
}

// nextOf returns the next message that is not a ping.
func nextOf(t *testing.T, stream transporttest.Stream) transporttest.Message {
	t.Helper()
	for {
		m, err := stream.Next()
		if err != nil {
			t.Fatal(err)
		}
		if m.Event != "ping" {
			return m
		}
	}
}
