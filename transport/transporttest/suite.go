package transporttest

import (
	"fmt"
	"strings"
	"testing"
)

// Server is a running server and what the suite changes in it.
type Server struct {
	URL   string // ends in /
	Token func(shops ...int64) string
	// Raise appends n alerts of type 1 to the shop, each for another order, with
	// content of size bytes; Close appends a type 3 for an order.
	Raise func(shop int64, n, size int)
	Close func(shop int64, order int64)
	// RaiseContent appends an alert of type 1 with this content.
	RaiseContent func(shop int64, content string)
	// Head and Epoch return the log's position; Prune deletes old alerts of all
	// shops; NewEpoch draws another epoch.
	Head     func(shop int64) int64
	Epoch    func() string
	Prune    func()
	NewEpoch func()
	Announce func(text string)
	// Slowest returns the seq that the slowest connected console has reached.
	Slowest  func(shop int64) int64
	Shutdown func()
}

// Transport dials streams of one kind.
type Transport struct {
	Name string
	Dial func(base string, d Dial) (Stream, error)
}

// Transports returns all three transports.
func Transports() []Transport {
	return []Transport{{"websocket", DialWebSocket}, {"sse", DialSSE}, {"poll", DialPoll}}
}

// Suite runs every test on every transport; open starts a new server.
func Suite(t *testing.T, open func(t *testing.T) *Server) {
	for _, tr := range Transports() {
		t.Run(tr.Name, func(t *testing.T) {
			for name, test := range map[string]func(*testing.T, *Server, Transport){
				"hello first, then alerts in order, the same bytes": testOrder,
				"resumes by cursor":                              testResume,
				"Last-Event-ID wins over after":                  testLastEventID,
				"several shops, each in order":                   testShops,
				"types are filtered and the cursor moves on":     testTypes,
				"every cause of a reset":                         testResets,
				"a reset in mid-stream":                          testMidStreamReset,
				"a slow reader misses nothing and delays nobody": testSlowReader,
				"bye when the server stops":                      testBye,
				"two consoles with one sid":                      testSameSID,
				"bad input is refused by name":                   testRefusals,
			} {
				t.Run(name, func(t *testing.T) { test(t, open(t), tr) })
			}
		})
	}
	for _, from := range Transports() {
		for _, to := range Transports() {
			t.Run("switch from "+from.Name+" to "+to.Name, func(t *testing.T) { testSwitch(t, open(t), from, to) })
		}
	}
	t.Run("websocket only", func(t *testing.T) { webSocketOnly(t, open) })
	t.Run("heartbeat", func(t *testing.T) { testHeartbeat(t, open(t)) })
	t.Run("poll shares its limit out over the shops", func(t *testing.T) { testPollLimit(t, open(t)) })
}

func dial(t *testing.T, s *Server, tr Transport, d Dial) Stream {
	t.Helper()
	if d.Token == "" {
		d.Token = s.Token(1)
	}
	stream, err := tr.Dial(s.URL, d)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(stream.Close)
	return stream
}

// next returns the next message that is not a ping.
func next(t *testing.T, s Stream) Message {
	t.Helper()
	for {
		m, err := s.Next()
		if err != nil {
			t.Fatalf("next message: %v", err)
		}
		if m.Event != "ping" {
			return m
		}
	}
}

func wantEvent(t *testing.T, s Stream, name string) Message {
	t.Helper()
	m := next(t, s)
	if m.Event != name {
		t.Fatalf("got %q %s, want %s", m.Event, m.Raw, name)
	}
	return m
}

// wantSeqs reads the alerts of one shop with the seqs from to upto.
func wantSeqs(t *testing.T, s Stream, shop, from, upto int64) (last Message) {
	t.Helper()
	for seq := from; seq <= upto; seq++ {
		last = next(t, s)
		if last.Event != "" || last.Shop != shop || last.Seq != seq {
			t.Fatalf("got %q %s, want alert %d of shop %d", last.Event, last.Raw, seq, shop)
		}
	}
	return last
}

func (s *Server) cursor(at ...int64) string {
	var parts []string
	for i := 0; i+1 < len(at); i += 2 {
		parts = append(parts, fmt.Sprintf("%d:%d", at[i], at[i+1]))
	}
	return s.Epoch() + "." + strings.Join(parts, ",")
}

func testOrder(t *testing.T, s *Server, tr Transport) {
	stream := dial(t, s, tr, Dial{})
	hello := wantEvent(t, stream, "hello")
	if hello.Epoch != s.Epoch() || hello.Cursor != s.cursor(1, 0) {
		t.Errorf("hello %s, want epoch %s and cursor %s", hello.Raw, s.Epoch(), s.cursor(1, 0))
	}
	s.Raise(1, 100, 20)
	last := wantSeqs(t, stream, 1, 1, 100)
	if tr.Name == "sse" && last.ID != s.cursor(1, 100) {
		t.Errorf("id %q, want the cursor after it, %q", last.ID, s.cursor(1, 100))
	}
	for _, other := range Transports() {
		again := dial(t, s, other, Dial{Query: "after=" + s.cursor(1, 99)})
		wantEvent(t, again, "hello")
		if got := wantSeqs(t, again, 1, 100, 100); got.Raw != last.Raw {
			t.Errorf("%s sends %s, want the same bytes as %s: %s", other.Name, got.Raw, tr.Name, last.Raw)
		}
	}
}

func testResume(t *testing.T, s *Server, tr Transport) {
	s.Raise(1, 700, 20) // more than the ring: from the log
	all := dial(t, s, tr, Dial{Query: "after=0"})
	wantEvent(t, all, "hello")
	for seq := int64(1); seq <= 700; seq++ { // each with its own cursor, however they left
		if m := wantSeqs(t, all, 1, seq, seq); tr.Name == "sse" && m.ID != s.cursor(1, seq) {
			t.Fatalf("id %q, want the cursor after it, %q", m.ID, s.cursor(1, seq))
		}
	}
	some := dial(t, s, tr, Dial{Query: "after=" + s.cursor(1, 650)})
	if hello := wantEvent(t, some, "hello"); tr.Name != "poll" && hello.Cursor != s.cursor(1, 650) {
		t.Errorf("hello starts at %s, want %s", hello.Cursor, s.cursor(1, 650))
	}
	wantSeqs(t, some, 1, 651, 700)
	now := dial(t, s, tr, Dial{})
	wantEvent(t, now, "hello")
	s.Raise(1, 1, 20)
	for _, stream := range []Stream{all, some, now} {
		wantSeqs(t, stream, 1, 701, 701)
	}
	// A followed shop that the cursor lacks starts from now; one that is not
	// followed is ignored.
	partial := dial(t, s, tr, Dial{Query: "after=" + s.cursor(7, 99)})
	wantEvent(t, partial, "hello")
	s.Raise(1, 1, 20)
	wantSeqs(t, partial, 1, 702, 702)
}

func testLastEventID(t *testing.T, s *Server, tr Transport) {
	s.Raise(1, 5, 20)
	stream := dial(t, s, tr, Dial{Query: "after=" + s.cursor(1, 1), LastEventID: s.cursor(1, 3)})
	wantEvent(t, stream, "hello")
	wantSeqs(t, stream, 1, 4, 5)
}

func testShops(t *testing.T, s *Server, tr Transport) {
	stream := dial(t, s, tr, Dial{Token: s.Token(1, 2, 3), Query: "shops=1,2"})
	wantEvent(t, stream, "hello")
	for range 50 {
		s.Raise(1, 1, 20)
		s.Raise(3, 1, 20) // not followed
		s.Raise(2, 1, 20)
	}
	at := map[int64]int64{}
	for range 100 {
		m := next(t, stream)
		at[m.Shop]++
		if m.Shop == 3 || m.Seq != at[m.Shop] {
			t.Fatalf("got %s, want seq %d", m.Raw, at[m.Shop])
		}
	}
	again := dial(t, s, tr, Dial{Token: s.Token(1, 2), Query: "after=" + s.cursor(1, 40, 2, 45)})
	wantEvent(t, again, "hello")
	at = map[int64]int64{1: 40, 2: 45}
	for range 15 {
		m := next(t, again)
		at[m.Shop]++
		if m.Seq != at[m.Shop] {
			t.Fatalf("resumed with %s, want seq %d", m.Raw, at[m.Shop])
		}
	}
}

func testTypes(t *testing.T, s *Server, tr Transport) {
	stream := dial(t, s, tr, Dial{Query: "types=3"})
	wantEvent(t, stream, "hello")
	s.Raise(1, 3, 20)
	s.Close(1, 1)
	m := next(t, stream)
	if m.Type != 3 || m.Seq != 4 {
		t.Fatalf("got %s, want the type 3 with seq 4", m.Raw)
	}
	if tr.Name == "sse" && m.ID != s.cursor(1, 4) {
		t.Errorf("id %s, want %s: the cursor moves over what is not sent", m.ID, s.cursor(1, 4))
	}
}

func testSlowReader(t *testing.T, s *Server, tr Transport) {
	slow := dial(t, s, tr, Dial{SmallBuffer: true, Token: s.Token(1)})
	wantEvent(t, slow, "hello")
	quick := dial(t, s, tr, Dial{})
	wantEvent(t, quick, "hello")
	const n, size = 1000, 500 // far more than the two socket buffers hold
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Raise(1, n, size)
	}()
	wantSeqs(t, quick, 1, 1, n) // while slow reads nothing
	<-done
	if behind := s.Slowest(1); tr.Name != "poll" && behind >= n {
		t.Errorf("no console is behind %d: the test did not fill a window", behind)
	}
	wantSeqs(t, slow, 1, 1, n)
	s.Raise(1, 1, 20)
	wantSeqs(t, slow, 1, n+1, n+1) // live again
}

func testBye(t *testing.T, s *Server, tr Transport) {
	stream := dial(t, s, tr, Dial{})
	wantEvent(t, stream, "hello")
	got := make(chan Message, 1)
	fault := make(chan error, 1)
	go func() {
		m, err := stream.Next()
		for err == nil && m.Event == "ping" {
			m, err = stream.Next()
		}
		if err != nil {
			fault <- err
			return
		}
		got <- m
	}()
	if tr.Name == "poll" { // it must be waiting
		s.Raise(1, 1, 20)
		if m := <-got; m.Seq != 1 {
			t.Fatalf("got %s", m.Raw)
		}
		go func() {
			m, err := stream.Next()
			if err != nil {
				fault <- err
				return
			}
			got <- m
		}()
		waitPolling(t, s)
	}
	s.Shutdown()
	select {
	case m := <-got:
		if m.Event != "bye" || m.Reason != "shutdown" || !strings.Contains(m.Raw, `"retryMs":`) {
			t.Errorf("got %s, want bye", m.Raw)
		}
	case err := <-fault:
		t.Fatalf("want bye, got %v", err)
	}
	if tr.Name == "poll" {
		return
	}
	_, err := stream.Next()
	if code := CloseError(err); tr.Name == "websocket" && code != 1012 {
		t.Errorf("ended with %v, want close 1012", err)
	}
	if err == nil {
		t.Error("the stream goes on after bye")
	}
}

// waitPolling waits until the server holds a poll: the shop then has another console.
func waitPolling(t *testing.T, s *Server) {
	t.Helper()
	other, err := DialPoll(s.URL, Dial{Token: s.Token(1), Query: "wait=1"})
	if err != nil {
		t.Fatal(err)
	}
	other.Close() // a second has passed: the first one is being held
}

func testSameSID(t *testing.T, s *Server, tr Transport) {
	a := dial(t, s, tr, Dial{SID: "till.1-a_B"})
	b := dial(t, s, tr, Dial{SID: "till.1-a_B"})
	wantEvent(t, a, "hello")
	wantEvent(t, b, "hello")
	s.Raise(1, 3, 20)
	wantSeqs(t, a, 1, 1, 3)
	wantSeqs(t, b, 1, 1, 3)
}

func testSwitch(t *testing.T, s *Server, from, to Transport) {
	first := dial(t, s, from, Dial{Query: "after=0"})
	wantEvent(t, first, "hello")
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Raise(1, 300, 20)
	}()
	wantSeqs(t, first, 1, 1, 120)
	second := dial(t, s, to, Dial{Query: "after=" + s.cursor(1, 120)}) // before the first one is closed
	wantEvent(t, second, "hello")
	first.Close()
	wantSeqs(t, second, 1, 121, 300)
	<-done
}

func testHeartbeat(t *testing.T, s *Server) {
	for _, tr := range Transports()[:2] {
		stream := dial(t, s, tr, Dial{Query: "heartbeat=1"})
		if m := wantEvent(t, stream, "hello"); !strings.Contains(m.Raw, `"heartbeat":1`) {
			t.Errorf("%s: hello %s, want heartbeat 1", tr.Name, m.Raw)
		}
		for range 2 {
			m, err := stream.Next()
			if err != nil || m.Event != "ping" || !strings.Contains(m.Raw, `"time":"`) {
				t.Fatalf("%s: got %q, %v; want a ping", tr.Name, m.Raw, err)
			}
			if tr.Name == "sse" && m.ID != s.cursor(1, 0) {
				t.Errorf("a ping's id is %q, want the cursor as it stands", m.ID)
			}
		}
	}
}

func testPollLimit(t *testing.T, s *Server) {
	s.Raise(1, 30, 20)
	s.Raise(2, 3, 20)
	p, err := DialPoll(s.URL, Dial{Token: s.Token(1, 2), Query: "after=0&limit=10&wait=0"})
	if err != nil {
		t.Fatal(err)
	}
	hello := next(t, p)
	count := map[int64]int{}
	for range 10 {
		count[next(t, p).Shop]++
	}
	if count[2] != 3 || count[1] != 7 {
		t.Errorf("a limit of 10 was shared out as %v, want 7 and 3", count)
	}
	if hello.Cursor != s.cursor(1, 7, 2, 3) {
		t.Errorf("cursor %s, want exactly what was sent: %s", hello.Cursor, s.cursor(1, 7, 2, 3))
	}
}
