package sse

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// detached is an HTTP/1 response written to the connection itself: net/http's
// buffers, its goroutine and Gin's context are freed when the handler returns (33
// KiB of heap a console became 21), and each flush is one write.
type detached struct {
	conn    net.Conn
	header  http.Header
	chunked bool          // HTTP/1.1; in HTTP/1.0 the stream ends with the connection
	buffer  *bytes.Buffer // nil between two flushes
	head    int           // how much of buffer is the response's head
}

// buffers are shared: a console needs one only during a write.
var buffers = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, maxWaiting+1<<10)) }}

// maxPooled bounds a buffer that returns to the pool, so that a large one is
// freed.
const maxPooled = 8 << 10

// sizeRoom is the space for a chunk's size, filled in later: 8 hex digits and a
// line end.
const sizeRoom = 10

// detach takes the connection over; it returns nil where that is impossible:
// HTTP/2, or no network at all.
func detach(w http.ResponseWriter, r *http.Request) *detached {
	if r.ProtoMajor != 1 {
		return nil
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil
	}
	return &detached{conn: conn, header: w.Header().Clone(), chunked: r.ProtoAtLeast(1, 1)}
}

// Header implements http.ResponseWriter.
func (d *detached) Header() http.Header { return d.header }

func (d *detached) open() *bytes.Buffer {
	if d.buffer == nil {
		b, ok := buffers.Get().(*bytes.Buffer)
		if !ok {
			panic("sse: a pool of other things")
		}
		d.buffer = b
	}
	return d.buffer
}

// WriteHeader implements http.ResponseWriter.
func (d *detached) WriteHeader(status int) {
	if d.chunked {
		d.header.Set("Transfer-Encoding", "chunked")
	}
	// A client that reuses connections would send its next request on this one.
	d.header.Set("Connection", "close")
	if d.header.Get("Date") == "" {
		d.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	b := d.open()
	fmt.Fprintf(b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = d.header.Write(b) // a Buffer never fails
	b.WriteString("\r\n")
	d.head = b.Len()
	d.header = nil // the head is written
}

// Write implements http.ResponseWriter: nothing leaves before FlushError.
func (d *detached) Write(p []byte) (int, error) {
	b := d.open()
	if d.chunked && b.Len() == d.head {
		b.Write(make([]byte, sizeRoom))
	}
	return b.Write(p)
}

// FlushError writes the buffered bytes as one chunk in one write.
func (d *detached) FlushError() error {
	b := d.buffer
	if b == nil {
		return nil
	}
	all, head := b.Bytes(), d.head
	if d.chunked && len(all) > head {
		all = d.frame(all, head)
	}
	_, err := d.conn.Write(all)
	d.buffer, d.head = nil, 0
	if b.Cap() <= maxPooled {
		b.Reset()
		buffers.Put(b)
	}
	return err
}

// frame puts the chunk's size before the chunk and removes the unused digits.
func (d *detached) frame(all []byte, head int) []byte {
	body := len(all) - head - sizeRoom
	size := strconv.AppendInt(make([]byte, 0, sizeRoom), int64(body), 16)
	size = append(size, "\r\n"...)
	start := head + sizeRoom - len(size)
	copy(all[start:], size)
	if head > 0 {
		copy(all[start-head:], all[:head])
	}
	return append(all[start-head:], "\r\n"...)
}

// SetWriteDeadline implements what http.ResponseController needs.
func (d *detached) SetWriteDeadline(t time.Time) error { return d.conn.SetWriteDeadline(t) }

// end ends the response, completely if well, and closes the connection.
func (d *detached) end(well bool) {
	if well && d.chunked {
		if d.conn.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
			_, _ = d.conn.Write([]byte("0\r\n\r\n")) // the client may be gone
		}
	}
	_ = d.conn.Close()
}

// maxInbound bounds what a client may send on a one-way connection: the next
// request, if it pipelines.
const maxInbound = 4 << 10

// wait returns when the client has left or sends unexpected data, or stopReading
// was called.
func (d *detached) wait() {
	b := make([]byte, 16)
	for read := 0; read < maxInbound; {
		n, err := d.conn.Read(b)
		if err != nil {
			return
		}
		read += n
	}
}

// stopReading makes wait return.
func (d *detached) stopReading() {
	_ = d.conn.SetReadDeadline(time.Unix(1, 0)) // on a closed connection there is nothing to stop
}
