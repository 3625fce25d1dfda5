package handlers_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// dialSocket connects a client as programs do.
func (s *testServer) dialSocket(header http.Header) *websocket.Conn {
	s.t.Helper()
	d := websocket.Dialer{Subprotocols: []string{"doorbell.v1"}}
	if header == nil {
		header = http.Header{}
	}
	header.Set("Authorization", "Bearer "+s.token(doorbell.RoleConsole, "till", 1))
	c, res, err := d.Dial("ws"+strings.TrimPrefix(s.url, "http")+"ws", header)
	if err != nil {
		s.t.Fatalf("%v %v", err, res)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// endOf reads until the connection ends, and returns the close code.
func endOf(c *websocket.Conn) int {
	for {
		_, _, err := c.ReadMessage()
		if ce, ok := errors.AsType[*websocket.CloseError](err); ok {
			return ce.Code
		}
		if err != nil {
			return websocket.CloseAbnormalClosure // as a browser reports it
		}
	}
}

// TestBusyClientsAreToldWhy: each client sends for a moment before it reads. If
// the server closed the connection at once, it would be reset, which browsers and
// many programs report as 1006, whatever close frame came before.
func TestBusyClientsAreToldWhy(t *testing.T) {
	s := newServer(t)
	const clients = 100
	codes := make([]int, clients)
	stopping := make(chan struct{})
	var busy sync.WaitGroup
	for i := range clients {
		c := s.dialSocket(nil)
		busy.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for n := 0; n < 10; <-tick.C {
				select {
				case <-stopping:
					n++
				default:
				}
				if c.WriteControl(websocket.PingMessage, make([]byte, 100), time.Now().Add(time.Minute)) != nil {
					codes[i] = websocket.CloseAbnormalClosure
					return
				}
			}
			codes[i] = endOf(c)
		})
	}
	testrun.Eventually(t, "all are connected", func() bool { return s.streams() == clients })
	began := time.Now()
	close(stopping)
	s.Stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
	busy.Wait()
	wrong := map[int]int{}
	for _, code := range codes {
		if code != websocket.CloseServiceRestart {
			wrong[code]++
		}
	}
	if len(wrong) > 0 {
		t.Errorf("of %d clients some saw %v, want 1012", clients, wrong)
	}
}

// TestAFaultIsNotAnsweredByAReset: what follows a frame that is too large is read
// and discarded, otherwise a reset could overtake the close frame.
func TestAFaultIsNotAnsweredByAReset(t *testing.T) {
	s := newServer(t)
	c := s.dialSocket(nil)
	for range 20 {
		if err := c.WriteMessage(websocket.TextMessage, make([]byte, 20<<10)); err != nil {
			t.Fatalf("reset while sending: %v", err)
		}
	}
	if code := endOf(c); code != websocket.CloseMessageTooBig {
		t.Errorf("ended with %d, want 1009", code)
	}
	if _, err := io.Copy(io.Discard, c.NetConn()); err != nil {
		t.Errorf("after the close frame: %v, want the end", err)
	}
}

// TestAClientThatNeverClosesIsCut: it is cut within Grace, whatever it sends, and
// the stop waits no longer.
func TestAClientThatNeverClosesIsCut(t *testing.T) {
	s := newServer(t)
	c := s.dialSocket(nil)
	c.SetCloseHandler(func(int, string) error { return nil }) // no answer
	testrun.Eventually(t, "connected", func() bool { return s.streams() == 1 })
	stopped := make(chan time.Duration, 1)
	began := time.Now()
	go func() {
		s.Stop()
		stopped <- time.Since(began)
	}()
	if code := endOf(c); code != websocket.CloseServiceRestart {
		t.Fatalf("ended with %d, want 1012", code)
	}
	pongs := 0
	for c.WriteControl(websocket.PongMessage, nil, time.Now().Add(time.Minute)) == nil { // until it is cut
		pongs++
	}
	if took := time.Since(began); took < 900*time.Millisecond || took > 5*time.Second {
		t.Errorf("cut after %v, want 1 to 2 s (%d pongs)", took, pongs)
	}
	if took := <-stopped; took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
}
