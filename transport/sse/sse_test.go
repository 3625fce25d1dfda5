package sse

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"doorbell/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder records the bytes of each flush.
type recorder struct {
	waiting string
	flushes []string
}

func (r *recorder) Header() http.Header { return http.Header{} }
func (r *recorder) WriteHeader(int)     {}

func (r *recorder) Write(p []byte) (int, error) {
	r.waiting += string(p)
	return len(p), nil
}

func (r *recorder) FlushError() error {
	r.flushes = append(r.flushes, r.waiting)
	r.waiting = ""
	return nil
}

func (r *recorder) SetWriteDeadline(time.Time) error { return nil }

// print writes an event in three calls, as r3labs does.
func (c *conn) print(m transport.Message) {
	_, _ = c.Write([]byte(": " + string((*eventOf(m))[0].Comment) + "\n")) // never fails
	_, _ = c.Write([]byte("\n"))
	c.Flush()
}

// TestWaitingEventsLeaveTogether: queued events leave in order together with the
// last one, a few kilobytes at a time, as events and not as comments.
func TestWaitingEventsLeaveTogether(t *testing.T) {
	alert := transport.Message{Data: []byte(`{"seq":1}`), Cursor: "e.1:1"}
	ping := transport.Message{Data: []byte(`{"event":"ping"}`), Event: "ping"}
	long := transport.Message{Data: []byte(strings.Repeat("x", maxWaiting)), Cursor: "e.1:2"}
	const alertText, pingText = "id: e.1:1\ndata: {\"seq\":1}\n\n", "data: {\"event\":\"ping\"}\nevent: ping\n\n"
	longText := "id: e.1:2\ndata: " + string(long.Data) + "\n\n"
	for _, c := range []struct {
		name   string
		queued []transport.Message
		want   []string
	}{
		{"one by itself", []transport.Message{alert}, []string{alertText}},
		{"three that wait", []transport.Message{alert, ping, alert}, []string{alertText + pingText + alertText}},
		{"more than is written at once", []transport.Message{alert, long, ping}, []string{alertText + longText, pingText}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &recorder{}
			one := &conn{
				transport: New(time.Minute), session: &transport.Session{}, out: r, control: http.NewResponseController(r),
				started: true, queued: len(c.queued), cancel: func() {},
			}
			for _, m := range c.queued {
				one.print(m)
			}
			if !slices.Equal(r.flushes, c.want) || r.waiting != "" {
				t.Errorf("flushed %q\nand left %q, want %q", r.flushes, r.waiting, c.want)
			}
		})
	}
}

// TestBurst: r3labs sees one event, the reader all of its alerts, each with its
// cursor if cursors were asked for; the session learns of each one sent.
func TestBurst(t *testing.T) {
	event := *encodeBurst(transport.Burst{Alerts: []transport.Numbered{{Seq: 1, Data: []byte("a")}, {Seq: 2, Data: []byte("b")}}})
	if got, want := string(event[0].Comment), "data: a\n\ndata: b"; got != want || len(event) != 1 {
		t.Errorf("%d events, %q, want %q", len(event), got, want)
	}
	r := &recorder{}
	one := &conn{
		transport: New(time.Minute), session: &transport.Session{}, out: r, control: http.NewResponseController(r),
		started: true, queued: 2, cancel: func() {},
	}
	one.behind.Add(1, 1)
	_, _ = one.Write([]byte(": data: first\n")) // never fails
	_, _ = one.Write([]byte("\n"))
	one.Flush()
	_, _ = one.Write([]byte(": " + string(event[0].Comment) + "\n"))
	_, _ = one.Write([]byte("\n"))
	if one.Flush(); one.carried != 0 {
		t.Errorf("%d were not reported as sent", one.carried)
	}
	if want := []string{"data: first\n\ndata: a\n\ndata: b\n\n"}; !slices.Equal(r.flushes, want) {
		t.Errorf("flushed %q, want %q", r.flushes, want)
	}
}
