package logqueue

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// gate is a standard error that takes nothing until it is opened.
type gate struct {
	open chan struct{}
	mu   sync.Mutex
	got  bytes.Buffer
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.got.Write(p)
}

// TestALogThatNobodyReads: whoever logs goes on; what has room is there in order
// when somebody reads, with a line on how many were dropped, and what is logged
// after that is there again.
func TestALogThatNobodyReads(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	log, end := NewLogger(g, Text)
	const each, writers = 4000, 8
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				log.Info("line", "writer", w, "n", i, "text", strings.Repeat("x", 100))
			}
		})
	}
	wg.Wait() // it ends: nobody waited
	dropped := Dropped(log)
	if dropped == 0 {
		t.Fatal("all of it found room")
	}
	close(g.open)
	for deadline := time.Now().Add(10 * time.Second); ; {
		g.mu.Lock()
		told := strings.Contains(g.got.String(), "log lines dropped")
		g.mu.Unlock()
		if told {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody is told that lines were dropped")
		}
	}
	log.Info("after")
	end()
	lines := strings.Split(strings.TrimSpace(g.got.String()), "\n")
	next := map[int]int{}
	for _, line := range lines[:len(lines)-2] {
		var w, n int
		_, fields, _ := strings.Cut(line, "msg=line ")
		if _, err := fmt.Sscanf(fields, "writer=%d n=%d", &w, &n); err != nil || n < next[w] {
			t.Fatalf("%q: %v, after %d", line, err, next[w])
		}
		next[w] = n + 1
	}
	if n := int64(len(lines) - 2); n+dropped != each*writers {
		t.Errorf("%d lines written, %d dropped, of %d", n, dropped, each*writers)
	}
	if !strings.Contains(lines[len(lines)-2], fmt.Sprintf("lines=%d", dropped)) || !strings.Contains(lines[len(lines)-1], "msg=after") {
		t.Errorf("ends with %q", lines[len(lines)-2:])
	}
}

// TestTheEndWaitsForTheLog: the last lines are written before the program ends,
// and one that nobody reads does not keep it.
func TestTheEndWaitsForTheLog(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	log, end := NewLogger(g, Text)
	close(g.open)
	for i := range 100 {
		log.Info("line", "n", i)
	}
	end()
	if n := strings.Count(g.got.String(), "\n"); n != 100 {
		t.Errorf("%d lines, want 100", n)
	}
	stuck := &gate{open: make(chan struct{})}
	log, end = NewLogger(stuck, Text)
	log.Info("line")
	began := time.Now()
	end()
	if d := time.Since(began); d < flushWait || d > flushWait+5*time.Second {
		t.Errorf("ended after %v, want %v", d, flushWait)
	}
	close(stuck.open)
}

// BenchmarkLog measures what a line costs whoever logs it, beside a write of its own.
func BenchmarkLog(b *testing.B) {
	line := func(b *testing.B, log *slog.Logger) {
		b.ReportAllocs()
		for b.Loop() {
			log.Info("console connected", "console", "cABCDEFGHIJKLMNO", "sid", "till", "transport", "sse", "shop", 1)
		}
	}
	b.Run("queued", func(b *testing.B) {
		log, end := NewLogger(discard{}, Text)
		defer end()
		line(b, log)
	})
	b.Run("direct", func(b *testing.B) { line(b, slog.New(slog.NewTextHandler(discard{}, nil))) })
}

// discard takes all.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// slowly is a standard error that takes a while for each line, and keeps what it
// was given until then.
type slowly struct {
	wrote chan string
	turn  chan struct{}
}

func (s slowly) Write(p []byte) (int, error) {
	<-s.turn
	s.wrote <- string(p)
	return len(p), nil
}

// TestALineIsNotWrittenOver: what is being written is nobody's to fill, also when
// lines come one by one and the queue is empty between them.
func TestALineIsNotWrittenOver(t *testing.T) {
	s := slowly{make(chan string, 100), make(chan struct{})}
	q := New(s, Text)
	for i := range 20 {
		first, second := fmt.Sprintf("%d first\n", i), fmt.Sprintf("%d other\n", i)
		_, _ = q.Write([]byte(first))
		for waiting := 1; waiting > 0; { // it is being written
			q.mu.Lock()
			waiting = len(q.waiting)
			q.mu.Unlock()
		}
		_, _ = q.Write([]byte(second))
		for _, want := range []string{first, second} {
			s.turn <- struct{}{}
			if got := <-s.wrote; got != want {
				t.Fatalf("wrote %q, want %q", got, want)
			}
		}
	}
	q.Close()
}
