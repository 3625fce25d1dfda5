package transporttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// wsCase is a conversation after the hello: what the client sends, and what it must
// receive. The numbers are those of Autobahn's cases.
type wsCase struct {
	name   string
	piece  int // bytes in one write; 0: all at once
	send   []frame
	echoes []int    // the bytes that "received" tells, in order
	pongs  []string // payloads of the pongs, in order
	code   int      // how it ends; 0: the connection goes on
	orCode int      // another way that the RFC allows
	failed bool     // the connection is failed at once: echoes under way may be lost
	silent bool     // the client does not answer the close: the server waits a second for it
}

// WebSocketRules checks the server against RFC 6455, after Autobahn's list of cases.
// Its client shares no code with the server.
func WebSocketRules(t *testing.T, s *Server) {
	for _, c := range wsCases() {
		t.Run(c.name, func(t *testing.T) { c.run(t, s) })
	}
	t.Run("handshake", func(t *testing.T) { handshakes(t, s) })
}

func wsCases() []wsCase {
	var all []wsCase
	for _, part := range [][]wsCase{framing(), pings(), reserved(), fragments(), utf8Cases(), closes(), limits()} {
		all = append(all, part...)
	}
	return all
}

// framing returns Autobahn's cases 1.
func framing() (cases []wsCase) {
	for i, n := range []int{0, 125, 126, 127, 128, 4096} {
		for _, piece := range []int{0, 1, 997} {
			cases = append(cases, wsCase{
				name: fmt.Sprintf("1.1.%d text of %d bytes in pieces of %d", i+1, n, piece), piece: piece,
				send: []frame{text(strings.Repeat("*", n))}, echoes: []int{n},
			})
		}
	}
	return append(
		cases,
		wsCase{name: "1.2.1 binary, empty", send: []frame{{fin: true, op: opBinary}}, code: 1003},
		wsCase{name: "1.2.2 binary", send: []frame{{fin: true, op: opBinary, payload: []byte("x")}}, code: 1003},
		wsCase{name: "without a mask", send: []frame{{fin: true, op: opText, payload: []byte("x"), bare: true}}, code: 1002},
	)
}

func ping(payload string) frame { return frame{fin: true, op: opPing, payload: []byte(payload)} }

// pings returns Autobahn's cases 2.
func pings() []wsCase {
	ten, tenPongs := []frame{}, []string{}
	for i := range 10 {
		ten, tenPongs = append(ten, ping(fmt.Sprint("p", i))), append(tenPongs, fmt.Sprint("p", i))
	}
	full := strings.Repeat("\xfe", 125)
	return []wsCase{
		{name: "2.1 ping without payload", send: []frame{ping("")}, pongs: []string{""}},
		{name: "2.2 ping with text", send: []frame{ping("Hello, world!")}, pongs: []string{"Hello, world!"}},
		{name: "2.3 ping with bytes", send: []frame{ping("\x00\xff\xfe\xfd\xfc\xfb\x00\xff")}, pongs: []string{"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"}},
		{name: "2.4 ping with 125 bytes", send: []frame{ping(full)}, pongs: []string{full}},
		{name: "2.5 ping with 126 bytes", send: []frame{ping(full + "x")}, code: 1002},
		{name: "2.6 ping in single bytes", piece: 1, send: []frame{ping(full)}, pongs: []string{full}},
		{name: "2.7 pong that nobody asked for", send: []frame{{fin: true, op: opPong}, text("x")}, echoes: []int{1}},
		{name: "2.8 pong with payload", send: []frame{{fin: true, op: opPong, payload: []byte("unasked")}, text("x")}, echoes: []int{1}},
		{name: "2.9 pong, then ping", send: []frame{{fin: true, op: opPong, payload: []byte("unasked")}, ping("asked")}, pongs: []string{"asked"}},
		{name: "2.10 ten pings", send: ten, pongs: tenPongs},
		{name: "2.11 ten pings in single bytes", piece: 1, send: ten, pongs: tenPongs},
	}
}

// reserved returns Autobahn's cases 3 and 4.
func reserved() (cases []wsCase) {
	for rsv := byte(1); rsv <= 7; rsv++ {
		cases = append(
			cases,
			wsCase{name: fmt.Sprintf("3.%d reserved bits %d on text", rsv, rsv), send: []frame{{fin: true, rsv: rsv, op: opText, payload: []byte("x")}}, code: 1002},
			wsCase{name: fmt.Sprintf("3.%d reserved bits %d after a good text, in single bytes", rsv, rsv), piece: 1, send: []frame{text("x"), {fin: true, rsv: rsv, op: opText}}, echoes: []int{1}, code: 1002, failed: true},
			wsCase{name: fmt.Sprintf("3.%d reserved bits %d on a ping", rsv, rsv), send: []frame{{fin: true, rsv: rsv, op: opPing}}, code: 1002},
		)
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		cases = append(
			cases,
			wsCase{name: fmt.Sprintf("4 opcode %d", op), send: []frame{{fin: true, op: op}}, code: 1002},
			wsCase{name: fmt.Sprintf("4 opcode %d with payload after a good text", op), send: []frame{text("x"), {fin: true, op: op, payload: []byte("y")}, ping("")}, echoes: []int{1}, code: 1002, failed: true},
		)
	}
	return cases
}

func part(op byte, fin bool, payload string) frame {
	return frame{fin: fin, op: op, payload: []byte(payload)}
}

// fragments returns Autobahn's cases 5.
func fragments() []wsCase {
	two := []frame{part(opText, false, "frag1"), part(opContinuation, true, "frag2")}
	pinged := []frame{two[0], ping("mid"), two[1]}
	many := []frame{part(opText, false, "a")}
	for range 20 {
		many = append(many, part(opContinuation, false, "b"), ping("p"))
	}
	many = append(many, part(opContinuation, true, "c"))
	manyPongs := strings.Split(strings.Repeat("p", 20), "")
	return []wsCase{
		{name: "5.1 fragmented ping", send: []frame{part(opPing, false, "fragment1"), part(opContinuation, true, "fragment2")}, code: 1002},
		{name: "5.2 fragmented pong", send: []frame{part(opPong, false, "fragment1"), part(opContinuation, true, "fragment2")}, code: 1002},
		{name: "5.3 text in two", send: two, echoes: []int{10}},
		{name: "5.5 text in two, in single bytes", piece: 1, send: two, echoes: []int{10}},
		{name: "5.6 ping between fragments", send: pinged, echoes: []int{10}, pongs: []string{"mid"}},
		{name: "5.8 ping between fragments, in single bytes", piece: 1, send: pinged, echoes: []int{10}, pongs: []string{"mid"}},
		{name: "5.9 continuation of nothing", send: []frame{part(opContinuation, true, "x"), text("y")}, code: 1002},
		{name: "5.12 unfinished continuation of nothing", send: []frame{part(opContinuation, false, "x"), text("y")}, code: 1002},
		{name: "5.15 continuation after the end", send: append(two, part(opContinuation, false, "x"), text("y")), echoes: []int{10}, code: 1002, failed: true},
		{name: "5.18 text within text", send: []frame{part(opText, false, "frag1"), text("frag2")}, code: 1002},
		{name: "5.19 pings between many fragments", send: many, echoes: []int{22}, pongs: manyPongs},
		{name: "5.20 the same in single bytes", piece: 1, send: many, echoes: []int{22}, pongs: manyPongs},
		{name: "empty fragments", send: []frame{part(opText, false, ""), part(opContinuation, false, ""), part(opContinuation, true, "")}, echoes: []int{0}},
		{name: "a close between fragments", send: []frame{two[0], closeFrame(1000, "")}, code: 1000},
	}
}

// utf8Cases returns Autobahn's cases 6.
func utf8Cases() (cases []wsCase) {
	greek := "Hello-µ@ßöäüàá-UTF-8!!κόσμε"
	good := []string{
		greek, "\x00", "\u0080", "ࠀ", "𐀀", "\x7f", "߿", "￿", "\U0010ffff", "퟿", "", "�", "\ufffe", "\U0001fffe", "\U0010fffe", "您有新的订单", "🔔",
	}
	for i, s := range good {
		cases = append(
			cases,
			wsCase{name: fmt.Sprintf("6 good text %d", i), send: []frame{text(s)}, echoes: []int{len(s)}},
			wsCase{name: fmt.Sprintf("6 good text %d, a byte in a frame", i), send: bytewise(s), echoes: []int{len(s)}},
		)
	}
	bad := []string{
		"κόσμε\xed\xa0\x80edited", "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited",
		"\x80", "\xbf", "\x80\xbf\x80", "\xc0 \xc1 ", "\xe0 \xef ", "\xf0 \xf7 ", "\xf8 \xfb ", "\xfc \xfd ", "\xfe", "\xff", "\xfe\xfe\xff\xff",
		"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xdf", "\xef\xbf", "\xf7\xbf\xbf",
		"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xc0\x80",
		"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf",
		"\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", greek + "\xce",
	}
	for i, s := range bad {
		cases = append(
			cases,
			wsCase{name: fmt.Sprintf("6 bad text %d", i), send: []frame{text(s)}, code: 1007, silent: i == 0},
			wsCase{name: fmt.Sprintf("6 bad text %d, a byte in a frame", i), send: bytewise(s), code: 1007},
		)
	}
	return cases
}

// bytewise returns text as frames of one byte each.
func bytewise(s string) (out []frame) {
	if s == "" {
		return []frame{text(s)}
	}
	op := byte(opText)
	for i := range len(s) {
		out = append(out, part(op, i == len(s)-1, s[i:i+1]))
		op = opContinuation
	}
	return out
}

// closes returns Autobahn's cases 7.
func closes() []wsCase {
	long := strings.Repeat("*", 123)
	cases := []wsCase{
		{name: "7.1.1 a text, then a close", send: []frame{text("x"), closeFrame(1000, "")}, echoes: []int{1}, code: 1000},
		{name: "7.1.2 two closes", send: []frame{closeFrame(1000, ""), closeFrame(1000, "")}, code: 1000},
		{name: "7.1.3 a ping after the close", send: []frame{closeFrame(1000, ""), ping("late")}, code: 1000},
		{name: "7.1.4 a text after the close", send: []frame{closeFrame(1000, ""), text("late")}, code: 1000},
		{name: "7.1.5 a continuation after the close", send: []frame{part(opText, false, "frag1"), closeFrame(1000, ""), part(opContinuation, true, "frag2")}, code: 1000},
		{name: "7.3.1 a close without a payload", send: []frame{{fin: true, op: opClose}}, code: codeNone},
		{name: "7.3.2 a close with one byte", send: []frame{{fin: true, op: opClose, payload: []byte("a")}}, code: 1002, orCode: codeNone},
		{name: "7.3.4 a close with a reason", send: []frame{closeFrame(1000, "Hello World!")}, code: 1000},
		{name: "7.3.5 a close with the longest reason", send: []frame{closeFrame(1000, long)}, code: 1000},
		{name: "7.3.6 a close with a longer one", send: []frame{closeFrame(1000, long+"*")}, code: 1002},
		{name: "7.5.1 a reason that is not UTF-8", send: []frame{closeFrame(1000, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80")}, code: 1007, orCode: 1002},
		{name: "a close in fragments", send: []frame{{op: opClose, payload: []byte{3, 232}}}, code: 1002},
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		cases = append(cases, wsCase{name: fmt.Sprintf("7.7 close code %d", code), send: []frame{closeFrame(code, "")}, code: code})
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535} {
		cases = append(cases, wsCase{name: fmt.Sprintf("7.9 close code %d", code), send: []frame{closeFrame(code, "")}, code: 1002})
	}
	return cases
}

// codeNone stands for a close frame without a code.
const codeNone = 1005

// limits returns Autobahn's cases 9 at our sizes: 4 KiB a message.
func limits() []wsCase {
	var pieces []frame
	op := byte(opText)
	for range 5 {
		pieces = append(pieces, part(op, false, strings.Repeat("*", 1000)))
		op = opContinuation
	}
	return []wsCase{
		{name: "9.1 text over 4 KiB", send: []frame{text(strings.Repeat("*", 4097))}, code: 1009},
		{name: "9.1 text of 65,535 bytes", send: []frame{text(strings.Repeat("*", 65535))}, code: 1009},
		{name: "9.1 text of 70,000 bytes", send: []frame{text(strings.Repeat("*", 70000))}, code: 1009},
		{name: "9.3 fragments over 4 KiB", send: pieces, code: 1009},
	}
}

func (c wsCase) run(t *testing.T, s *Server) {
	r, _, err := dialRaw(s.URL, s.Token(1), rawRequest{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.conn.Close() //nolint:errcheck // the end of a test
	if f, err := r.read(); err != nil || !bytes.Contains(f.payload, []byte(`"event":"hello"`)) {
		t.Fatalf("got %v, %v; want hello", f, err)
	}
	if err := r.send(c.piece, c.send...); err != nil && !gone(err) {
		t.Fatal(err)
	}
	var echoes []int
	var pongs []string
	for c.code != 0 || len(echoes) < len(c.echoes) || len(pongs) < len(c.pongs) {
		f, err := r.read()
		if err != nil {
			t.Fatalf("after echoes %v and pongs %q: %v; want close %d", echoes, pongs, err, c.code)
		}
		switch f.op {
		case opPong:
			pongs = append(pongs, string(f.payload))
		case opText:
			var e struct {
				Event string
				Bytes int
			}
			if err := json.Unmarshal(f.payload, &e); err != nil || e.Event != "received" {
				t.Fatalf("got %v", f)
			}
			echoes = append(echoes, e.Bytes)
		case opClose:
			c.closed(t, r, f, echoes, pongs)
			return
		default:
			t.Fatalf("got %v", f)
		}
	}
	if fmt.Sprint(echoes) != fmt.Sprint(c.echoes) || fmt.Sprint(pongs) != fmt.Sprint(c.pongs) {
		t.Errorf("got echoes %v and pongs %q, want %v and %q", echoes, pongs, c.echoes, c.pongs)
	}
	// The connection still works, and a close ends it properly.
	if err := r.send(0, text("alive"), closeFrame(1000, "")); err != nil {
		t.Fatal(err)
	}
	alive := wsCase{code: 1000, echoes: []int{5}}
	f, err := r.read()
	if err != nil || !bytes.Contains(f.payload, []byte(`"bytes":5`)) {
		t.Fatalf("got %v, %v; the connection does not go on", f, err)
	}
	if f, err = r.read(); err != nil {
		t.Fatalf("close: %v", err)
	}
	alive.closed(t, r, f, []int{5}, nil)
}

// closed checks the close frame, and that nothing follows it.
func (c wsCase) closed(t *testing.T, r *rawSocket, f frame, echoes []int, pongs []string) {
	t.Helper()
	code, reason := f.closing()
	if len(f.payload) == 0 {
		code = codeNone
	}
	if code != c.code && (c.orCode == 0 || code != c.orCode) {
		t.Errorf("closed with %d %q, want %d", code, reason, c.code)
	}
	if !c.failed && fmt.Sprint(echoes) != fmt.Sprint(c.echoes) || len(pongs) != len(c.pongs) {
		t.Errorf("got echoes %v and pongs %q before the close, want %v and %q", echoes, pongs, c.echoes, c.pongs)
	}
	if !c.silent { // as the RFC has it; each case would take a second else
		if err := r.send(0, closeFrame(1000, "")); err != nil && !gone(err) {
			t.Error(err)
		}
	}
	if f, err := r.read(); err == nil {
		t.Errorf("after the close came %v", f)
	} else if !gone(err) {
		t.Errorf("after the close: %v, want the end of the connection", err)
	}
}

// gone reports whether the other side ended the connection.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

// handshakes tests the handshakes of RFC 6455, 4.2.
func handshakes(t *testing.T, s *Server) {
	token := s.Token(1)
	for _, c := range []struct {
		name   string
		q      rawRequest
		status int
	}{
		{"a good one", rawRequest{}, 101},
		{"Connection names more", rawRequest{header: map[string]string{"Connection": "keep-alive, Upgrade"}}, 101},
		{"Upgrade in capitals", rawRequest{header: map[string]string{"Upgrade": "WebSocket", "Connection": "upgrade"}}, 101},
		{"several subprotocols", rawRequest{header: map[string]string{"Sec-WebSocket-Protocol": "chat, doorbell.v1"}}, 101},
		{"subprotocols in two lines", rawRequest{header: map[string]string{"Sec-WebSocket-Protocol": "chat\r\nSec-WebSocket-Protocol: doorbell.v1"}}, 101},
		{"an extension", rawRequest{header: map[string]string{"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}}, 101},
		{"Upgrade names more", rawRequest{header: map[string]string{"Upgrade": "h2c, websocket"}}, 101},
		{"Upgrade in two lines", rawRequest{header: map[string]string{"Upgrade": "h2c\r\nUpgrade: websocket"}}, 101},
		{"HTTP/1.0", rawRequest{version: "1.0"}, 426},
		{"version 8", rawRequest{header: map[string]string{"Sec-WebSocket-Version": "8"}}, 426},
		{"two versions", rawRequest{header: map[string]string{"Sec-WebSocket-Version": "13\r\nSec-WebSocket-Version: 8"}}, 426},
		{"no version", rawRequest{header: map[string]string{"Sec-WebSocket-Version": "-"}}, 426},
		{"two keys", rawRequest{header: map[string]string{"Sec-WebSocket-Key": rawKey + "\r\nSec-WebSocket-Key: " + rawKey}}, 400},
		{"a body", rawRequest{header: map[string]string{"Content-Length": "1"}}, 400},
		{"no key", rawRequest{header: map[string]string{"Sec-WebSocket-Key": "-"}}, 400},
		{"a key that is too short", rawRequest{header: map[string]string{"Sec-WebSocket-Key": "AAAA"}}, 400},
		{"no Connection", rawRequest{header: map[string]string{"Connection": "keep-alive"}}, 426},
		{"no Upgrade", rawRequest{header: map[string]string{"Upgrade": "-"}}, 426},
		{"a POST", rawRequest{method: "POST"}, 405},
		{"no Host", rawRequest{header: map[string]string{"Host": "-"}}, 400},
	} {
		r, res, err := dialRaw(s.URL, token, c.q)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if res.StatusCode != c.status {
			t.Errorf("%s: HTTP %d, want %d", c.name, res.StatusCode, c.status)
		}
		if r == nil {
			checkHandshakeRefusal(t, c.name, res)
			continue
		}
		if got := res.Header.Get("Sec-WebSocket-Accept"); got != acceptOf(rawKey) {
			t.Errorf("%s: Sec-WebSocket-Accept %q, want %q", c.name, got, acceptOf(rawKey))
		}
		if got := res.Header.Get("Sec-WebSocket-Protocol"); got != "doorbell.v1" {
			t.Errorf("%s: subprotocol %q", c.name, got)
		}
		if got := res.Header.Get("Sec-WebSocket-Extensions"); got != "" {
			t.Errorf("%s: takes the extension %q", c.name, got)
		}
		_ = r.conn.Close() // the end of a case
	}
}

// checkHandshakeRefusal checks that a refused client is told what would be accepted.
func checkHandshakeRefusal(t *testing.T, name string, res *http.Response) {
	t.Helper()
	if name == "no Host" { // net/http's own
		return
	}
	if got := res.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("%s: refused with %q, want a problem document", name, got)
	}
	if res.StatusCode != http.StatusUpgradeRequired {
		return
	}
	for header, want := range map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"} {
		if got := res.Header.Get(header); !strings.EqualFold(got, want) && (header != "Connection" || name != "HTTP/1.0") { // net/http takes it out there
			t.Errorf("%s: 426 with %s %q, want %q", name, header, got, want)
		}
	}
}
