package transporttest

import (
	"bufio"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// Opcodes of RFC 6455, 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// frame is one WebSocket frame as it is on the wire.
type frame struct {
	fin     bool
	rsv     byte // three bits
	op      byte
	payload []byte
	bare    bool // without a mask, which a client must not send
}

func (f frame) String() string {
	return fmt.Sprintf("frame fin=%v rsv=%d opcode=%d of %d bytes %.60q", f.fin, f.rsv, f.op, len(f.payload), f.payload)
}

// encode writes the frame as a client does.
func (f frame) encode() []byte {
	first := f.rsv<<4 | f.op
	if f.fin {
		first |= 0x80
	}
	mask := byte(0x80)
	if f.bare {
		mask = 0
	}
	b := []byte{first}
	switch n := len(f.payload); {
	case n <= 125:
		b = append(b, mask|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), uint64(n))
	}
	if f.bare {
		return append(b, f.payload...)
	}
	var key [4]byte
	_, _ = rand.Read(key[:]) // never fails
	b = append(b, key[:]...)
	for i, c := range f.payload {
		b = append(b, c^key[i%4])
	}
	return b
}

// rawSocket is a WebSocket client written from the RFC alone. It sends any frame,
// valid or not, and refuses what a server must not send.
type rawSocket struct {
	conn net.Conn
	in   *bufio.Reader
}

// rawRequest is a handshake; empty fields stand for those of a valid one.
type rawRequest struct {
	method, version string
	header          map[string]string // replaces, or adds; "-" leaves out
}

const rawKey = "dGhlIHNhbXBsZSBub25jZQ=="

// dialRaw makes a handshake, and checks the answer if the handshake is valid.
func dialRaw(base, token string, q rawRequest) (*rawSocket, *http.Response, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, nil, err
	}
	conn, err := dialTCP(u.Host, false)
	if err != nil {
		return nil, nil, err
	}
	header := map[string]string{
		"Host": u.Host, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": rawKey, "Sec-WebSocket-Protocol": "doorbell.v1", "Authorization": "Bearer " + token,
	}
	for name, value := range q.header {
		header[name] = value
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %sws HTTP/%s\r\n", or(q.method, "GET"), u.Path, or(q.version, "1.1"))
	for name, value := range header {
		if value != "-" {
			fmt.Fprintf(&text, "%s: %s\r\n", name, value)
		}
	}
	err = errors.Join(conn.SetDeadline(time.Now().Add(patience)), write(conn, []byte(text.String()+"\r\n")))
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, &http.Request{Method: http.MethodGet})
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return nil, res, conn.Close()
	}
	return &rawSocket{conn, in}, res, nil
}

// acceptOf returns a server's answer to a key (RFC 6455, 4.2.2).
func acceptOf(key string) string {
	h := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
	return base64.StdEncoding.EncodeToString(h[:])
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

func write(w io.Writer, b []byte) error {
	_, err := w.Write(b)
	return err
}

// send writes frames in pieces of piece bytes; 0 means all at once.
func (r *rawSocket) send(piece int, frames ...frame) error {
	var all []byte
	for _, f := range frames {
		all = append(all, f.encode()...)
	}
	if piece == 0 {
		piece = len(all)
	}
	for len(all) > 0 {
		n := min(piece, len(all))
		if err := write(r.conn, all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// read reads one frame and checks the rules for every server frame.
func (r *rawSocket) read() (f frame, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return f, err
	}
	f = frame{fin: head[0]&0x80 != 0, rsv: head[0] >> 4 & 7, op: head[0] & 0xf}
	if head[1]&0x80 != 0 {
		return f, errors.New("the server masks")
	}
	n := uint64(head[1] & 0x7f)
	least := uint64(0)
	switch n {
	case 126:
		var b [2]byte
		_, err = io.ReadFull(r.in, b[:])
		n, least = uint64(binary.BigEndian.Uint16(b[:])), 126
	case 127:
		var b [8]byte
		_, err = io.ReadFull(r.in, b[:])
		n, least = binary.BigEndian.Uint64(b[:]), 0x10000
	}
	if err != nil {
		return f, err
	}
	if n < least || n > 1<<20 {
		return f, fmt.Errorf("a length of %d is written the long way, or too much", n)
	}
	f.payload = make([]byte, n)
	if _, err = io.ReadFull(r.in, f.payload); err != nil {
		return f, err
	}
	switch {
	case f.rsv != 0:
		return f, fmt.Errorf("the server sets reserved bits: %v", f)
	case f.op >= opClose && (!f.fin || n > 125):
		return f, fmt.Errorf("a control frame that is none: %v", f)
	case f.op == opText && !utf8.Valid(f.payload):
		return f, fmt.Errorf("text that is not UTF-8: %v", f)
	}
	return f, nil
}

// closing returns a close frame's code and reason; the code is 0 if it has none.
func (f frame) closing() (code int, reason string) {
	if len(f.payload) < 2 {
		return 0, ""
	}
	return int(binary.BigEndian.Uint16(f.payload)), string(f.payload[2:])
}

// closeFrame returns a close frame with a code and a reason.
func closeFrame(code int, reason string) frame {
	return frame{fin: true, op: opClose, payload: append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)}
}

func text(s string) frame { return frame{fin: true, op: opText, payload: []byte(s)} }
