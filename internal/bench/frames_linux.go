package bench

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxRest bounds the bytes that a console keeps of an incomplete frame.
const maxRest = 256 << 10

// take processes what was received on a console's connection. Needs f.mu.
func (f *fleet) take(c *console, b []byte) {
	if len(c.rest) > 0 {
		b = append(c.rest, b...)
	}
	if c.dialing {
		b = f.head(c, b)
	}
	rest := b
	switch {
	case c.dialing:
	case f.transport == "ws":
		rest = f.webSocketFrames(c, b)
	case c.plain:
		end := bytes.LastIndexByte(b, '\n') + 1
		f.events(c, b[:end])
		rest = b[end:]
	default:
		rest = f.chunks(c, b)
	}
	c.rest = append(c.rest[:0], rest...)
	if len(c.rest) > maxRest {
		f.wrong.cut++
		f.drop(c)
	}
}

// webSocketFrames processes complete frames, which a server never masks, and
// returns the rest.
func (f *fleet) webSocketFrames(c *console, b []byte) []byte {
	for len(b) >= 2 {
		size, head := int(b[1]&0x7f), 2
		switch {
		case size == 126 && len(b) >= 4:
			size, head = int(binary.BigEndian.Uint16(b[2:])), 4
		case size == 127 && len(b) >= 10:
			size, head = int(binary.BigEndian.Uint64(b[2:])), 10
		case size >= 126:
			return b
		}
		if len(b) < head+size {
			return b
		}
		switch opcode := b[0] & 0xf; opcode {
		case 1:
			f.message(c, b[head:head+size])
		case 9:
			f.pong(c, b[head:head+size])
		}
		b = b[head+size:]
	}
	return b
}

// pong answers with an all-zero mask, which is valid.
func (f *fleet) pong(c *console, payload []byte) {
	frame := append([]byte{0x8a, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
	_, _ = unix.Write(c.fd, frame) // reading finds a broken connection
}

// chunks processes complete chunks of a chunked body; each holds complete events.
func (f *fleet) chunks(c *console, b []byte) []byte {
	for {
		line, body, whole := bytes.Cut(b, []byte("\r\n"))
		if !whole {
			return b
		}
		size, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil || len(body) < int(size)+2 {
			return b
		}
		f.events(c, body[:size])
		b = body[size+2:]
	}
}

// events processes the data of each event.
func (f *fleet) events(c *console, text []byte) {
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			f.message(c, data)
		}
		text = rest
	}
}

var (
	eventStart = []byte(`{"event":"`)
	alertStart = []byte(`{"type":1,"orderId":`)
	seqField   = []byte(`"seq":`)
	cursorName = []byte(`"cursor":"`)
)

// message counts one alert or event. It does not parse JSON: a thousand consoles
// get the same bytes, and only the server's cost is of interest.
func (f *fleet) message(c *console, m []byte) {
	if name, ok := bytes.CutPrefix(m, eventStart); ok {
		f.event(c, name)
		return
	}
	order, ok := number(m, alertStart)
	if !ok {
		return
	}
	seq, ok := number(m, seqField)
	if !ok {
		return
	}
	switch {
	case c.next == 0 || seq == c.next:
		c.next = seq + 1
	case seq < c.next:
		f.wrong.doubled++
		return
	default:
		f.wrong.reordered++
		f.wrong.missed += seq - c.next
		c.next = seq + 1
	}
	if i := order - f.base; i >= 0 && i < int64(len(f.sentAt)) {
		now := time.Now()
		if f.firstAt[i].IsZero() {
			f.firstAt[i] = now
		}
		f.latency.add(now.Sub(f.sentAt[i]))
		f.behind.add(now.Sub(f.firstAt[i]))
	}
	f.received.Add(1)
}

// event stores the position from hello.
func (f *fleet) event(c *console, m []byte) {
	if !bytes.HasPrefix(m, []byte("hello")) {
		return
	}
	_, rest, ok := bytes.Cut(m, cursorName)
	if !ok {
		return
	}
	cursor, _, _ := strings.Cut(string(rest[:min(len(rest), 200)]), `"`)
	epoch, place, _ := strings.Cut(cursor, ".")
	_, seq, _ := strings.Cut(place, ":")
	n, err := strconv.ParseInt(seq, 10, 64)
	if err != nil {
		return
	}
	if c.next == 0 {
		c.next = n + 1
	}
	c.epoch = epoch
}

// number returns the integer behind a field's name.
func number(m, name []byte) (n int64, ok bool) {
	i := bytes.Index(m, name)
	if i < 0 {
		return 0, false
	}
	for _, d := range m[i+len(name):] {
		if d < '0' || d > '9' {
			break
		}
		n, ok = n*10+int64(d-'0'), true
	}
	return n, ok
}

// number reserves n numbers for alerts and returns the first.
func (f *fleet) number(n int) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	from := f.base + int64(len(f.sentAt))
	f.sentAt = append(f.sentAt, make([]time.Time, n)...)
	f.firstAt = append(f.firstAt, make([]time.Time, n)...)
	return from
}

// left records when an alert was sent.
func (f *fleet) left(number int64, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sentAt[number-f.base] = at
}

// resetLatency discards the recorded times.
func (f *fleet) resetLatency() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latency.reset()
	f.behind.reset()
}

// latencyAt returns how long an alert took to a console since it was sent, and
// since the first console of the shop had it.
func (f *fleet) latencyAt(q float64) (whole, behind time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.latency.quantile(q), f.behind.quantile(q)
}

// faultsOf returns the faults, given the expected number of deliveries.
func (f *fleet) faultsOf(due int64) (lost, doubled, reordered, cut int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(0, due-f.received.Load()), f.wrong.doubled, f.wrong.reordered, f.wrong.cut
}
